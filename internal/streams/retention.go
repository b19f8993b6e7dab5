package streams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/shardlog"
)

const (
	retentionMinHours = 24
	retentionMaxHours = 8760
)

// IncreaseStreamRetentionPeriod lets records live longer. The present value is
// accepted: infrastructure tools send it. What has expired does not come back.
func (s *Service) IncreaseStreamRetentionPeriod(ctx context.Context, in *kinesis.IncreaseStreamRetentionPeriodInput) (*kinesis.IncreaseStreamRetentionPeriodOutput, error) {
	hours := *in.RetentionPeriodHours
	return &kinesis.IncreaseStreamRetentionPeriodOutput{}, s.setRetention(ctx, in.StreamName, in.StreamARN, hours, func(have int32) error {
		if hours < have {
			return invalidArgument("Requested retention period (%d hours) for stream %%s can not be shorter than existing retention period (%d hours). Use DecreaseRetentionPeriod API.", hours, have)
		}
		return nil
	})
}

// DecreaseStreamRetentionPeriod lets records expire earlier, at once.
func (s *Service) DecreaseStreamRetentionPeriod(ctx context.Context, in *kinesis.DecreaseStreamRetentionPeriodInput) (*kinesis.DecreaseStreamRetentionPeriodOutput, error) {
	hours := *in.RetentionPeriodHours
	return &kinesis.DecreaseStreamRetentionPeriodOutput{}, s.setRetention(ctx, in.StreamName, in.StreamARN, hours, func(have int32) error {
		if hours > have {
			return invalidArgument("Requested retention period (%d hours) for stream %%s can not be longer than existing retention period (%d hours). Use IncreaseRetentionPeriod API.", hours, have)
		}
		return nil
	})
}

func (s *Service) setRetention(ctx context.Context, name, arn *string, hours int32, direction func(have int32) error) error {
	st, d, err := s.lookup(ctx, name, arn)
	if err != nil {
		return err
	}
	switch {
	case hours < retentionMinHours:
		return invalidArgument("Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too short.", retentionMinHours, hours)
	case hours > retentionMaxHours:
		return invalidArgument("Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too long.", retentionMaxHours, hours)
	}
	// One after the other: of two that change the document, the later one must be
	// the later one for the log too.
	select {
	case st.retaining <- struct{}{}:
		defer func() { <-st.retaining }()
	case <-ctx.Done():
		return ctx.Err()
	}
	// From here on whether or not the caller stays: a change of the document that
	// comes to be although he gave up has to come to the logs too.
	ctx = context.WithoutCancel(ctx)
	err = s.update(ctx, st, func(c *change) error {
		if err := active(c.doc); err != nil {
			return err
		}
		if err := direction(c.doc.RetentionHours); err != nil {
			e := err.(*api.Error)
			return invalidArgument(e.Message, d.Name)
		}
		c.doc.RetentionHours = hours
		return nil
	})
	if err != nil {
		return err
	}
	// The document leads, and the logs follow.
	return s.retain(ctx, st, time.Duration(hours)*time.Hour)
}

// retain has the logs of a stream's shards keep their records for so long. One
// that fails keeps none of the others from it, and is made up for by upkeep, as
// what a crash leaves undone is at the next start. The caller has filled st.retaining.
func (s *Service) retain(ctx context.Context, st *stream, d time.Duration) error {
	s.mu.RLock()
	logs := make([]shardlog.Shard, 0, len(st.shards))
	for _, sh := range st.shards {
		logs = append(logs, sh.log)
	}
	s.mu.RUnlock()
	var g errgroup.Group
	g.SetLimit(32)
	for _, log := range logs {
		if log.Info().Retention == d {
			continue
		}
		g.Go(func() error {
			err := s.cfg.Log.SetRetention(ctx, log, d)
			if errors.Is(err, shardlog.ErrNotFound) {
				return nil // the shard is gone, with all that it kept
			}
			if err != nil {
				return fmt.Errorf("cannot set the retention of shard %s: %w", log.ID(), err)
			}
			return nil
		})
	}
	err := g.Wait()
	st.uneven = err != nil
	return err
}

// retainAgain makes up for logs that could not follow their stream's retention.
func (s *Service) retainAgain(ctx context.Context) {
	s.mu.RLock()
	streams := slices.Collect(maps.Values(s.byID))
	s.mu.RUnlock()
	for _, st := range streams {
		select {
		case st.retaining <- struct{}{}:
		default:
			continue // a call is at it
		}
		if d := st.doc.Load(); st.uneven && d != nil {
			if err := s.retain(ctx, st, d.retention()); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Error("a stream's records may expire at another time than it tells", "stream", d.Name, "account", d.Account, "err", err)
			}
		}
		<-st.retaining
	}
}
