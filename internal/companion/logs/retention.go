package logs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// retentionDays are the retentions that AWS has.
var retentionDays = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// PutRetentionPolicy sets for how many days a group keeps events. With fewer, older
// ones are out of sight at once; with more, what has expired does not come back.
func (s *Service) PutRetentionPolicy(ctx context.Context, in *api.PutRetentionPolicyInput) (*api.PutRetentionPolicyOutput, error) {
	if days := int(*in.RetentionInDays); !slices.Contains(retentionDays, days) {
		return nil, invalid("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %s",
			days, strings.ReplaceAll(fmt.Sprint(retentionDays), " ", ", "))
	}
	if err := s.retain(ctx, *in.LogGroupName, int(*in.RetentionInDays)); err != nil {
		return nil, err
	}
	return &api.PutRetentionPolicyOutput{}, nil
}

// DeleteRetentionPolicy makes a group keep its events for ever.
func (s *Service) DeleteRetentionPolicy(ctx context.Context, in *api.DeleteRetentionPolicyInput) (*api.DeleteRetentionPolicyOutput, error) {
	if err := s.retain(ctx, *in.LogGroupName, 0); err != nil {
		return nil, err
	}
	return &api.DeleteRetentionPolicyOutput{}, nil
}

// retain changes the group, then its log: a crash in between leaves a log that the
// next start tells of it.
func (s *Service) retain(ctx context.Context, name string, days int) error {
	s.retaining.Lock() // so that of two calls the last is the last for both
	defer s.retaining.Unlock()
	doc, err := s.changeGroup(ctx, callersKey(ctx, name), func(d *groupDoc) error {
		d.Floor, d.Days = s.expired(d), days
		return nil
	})
	if err != nil {
		return err
	}
	gl := s.logs.get(doc.ID)
	if gl == nil {
		return noGroup
	}
	return logged(s.logs.log.SetRetention(ctx, gl.shard, retentionOf(days)))
}
