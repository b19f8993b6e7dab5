package logs

import (
	"context"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
)

// CreateLogGroup makes a log group, whose events do not expire until it is told
// otherwise. Keys of a group's own and classes other than STANDARD are refused.
func (s *Service) CreateLogGroup(ctx context.Context, in *api.CreateLogGroupInput) (*api.CreateLogGroupOutput, error) {
	switch {
	case strings.HasPrefix(strings.ToLower(*in.LogGroupName), "aws/"):
		return nil, invalid("Log groups starting with aws/ are reserved for AWS.")
	case in.KmsKeyId != nil:
		return nil, unsupported("Keys of a log group's own are")
	case in.LogGroupClass != "" && in.LogGroupClass != api.LogGroupClassStandard:
		return nil, unsupported("Log groups of the class " + string(in.LogGroupClass) + " are")
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	caller := rheo.CallerFrom(ctx)
	doc := groupDoc{ID: newID(), Account: caller.Account, Region: caller.Region, Name: *in.LogGroupName, Created: s.now().UnixMilli(),
		Class: string(api.LogGroupClassStandard), Tags: tags, Protected: in.DeletionProtectionEnabled != nil && *in.DeletionProtectionEnabled}
	if err := s.createGroup(ctx, doc); err != nil {
		return nil, err
	}
	return &api.CreateLogGroupOutput{}, nil
}

// createGroup makes the group's log, then the group: a crash in between leaves a
// log that the next start deletes.
func (s *Service) createGroup(ctx context.Context, doc groupDoc) error {
	return s.withRoom(ctx, func() error { return s.tryGroup(ctx, doc) })
}

func (s *Service) tryGroup(ctx context.Context, doc groupDoc) error {
	key := doc.key()
	check := func(st *state) error {
		if _, ok := st.groups.Get(key); ok {
			return exists("log group")
		}
		return s.roomFor(st, groupCost)
	}
	if err := check(s.machine.view()); err != nil {
		return err
	}
	if err := s.logs.create(ctx, doc.ID, doc.Days); err != nil {
		return logged(err)
	}
	err := s.decide(ctx, false, func(st *state) (*step, error) {
		if err := check(st); err != nil {
			return nil, err
		}
		return &step{kind: putGroup, group: key, doc: doc}, nil
	})
	if err == nil {
		return nil
	}
	if g, ok := s.machine.view().groups.Get(key); ok && g.doc.ID == doc.ID {
		return err // it came to be all the same
	}
	if !rheo.IsCode(err, api.ResourceAlreadyExistsException) && !rheo.IsCode(err, api.LimitExceededException) {
		return err // it may still come to be; if not, the next start deletes the log
	}
	if dropErr := s.logs.drop(context.WithoutCancel(ctx), doc.ID); dropErr != nil {
		s.logger.Warn("the log of a log group that was not made is left for the next start to delete", "group", doc.Name, "err", dropErr)
	}
	return err
}
