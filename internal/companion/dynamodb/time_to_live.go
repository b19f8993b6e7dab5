package dynamodb

import (
	"context"
	"errors"
	"time"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// UpdateTimeToLive says which attribute has the time, in seconds since 1970, after
// which an item goes, or that none has.
func (s *Service) UpdateTimeToLive(ctx context.Context, in *api.UpdateTimeToLiveInput) (*api.UpdateTimeToLiveOutput, error) {
	spec := in.TimeToLiveSpecification
	err := s.changeTable(ctx, in.TableName, func(_ *table, doc *tableDoc) (int64, error) {
		switch on := *spec.Enabled; {
		case on && doc.TTL == *spec.AttributeName:
			return 0, validation("TimeToLive is already enabled")
		case on && doc.TTL != "":
			return 0, validation("TimeToLive is active on a different AttributeName: current AttributeName is %s", doc.TTL)
		case !on && doc.TTL == "":
			return 0, validation("TimeToLive is already disabled")
		case !on && doc.TTL != *spec.AttributeName:
			return 0, validation("TimeToLive is active on a different AttributeName: current AttributeName is %s", doc.TTL)
		case on:
			doc.TTL = *spec.AttributeName
		default:
			doc.TTL = ""
		}
		return 0, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateTimeToLiveOutput{TimeToLiveSpecification: spec}, nil
}

// DescribeTimeToLive tells what UpdateTimeToLive has set.
func (s *Service) DescribeTimeToLive(ctx context.Context, in *api.DescribeTimeToLiveInput) (*api.DescribeTimeToLiveOutput, error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return nil, err
	}
	t, ok := s.machine.view().tables.Get(key)
	if !ok {
		return nil, noTableNamed(name)
	}
	d := &api.TimeToLiveDescription{TimeToLiveStatus: api.TimeToLiveStatusDisabled}
	if t.doc.TTL != "" {
		d.TimeToLiveStatus, d.AttributeName = api.TimeToLiveStatusEnabled, &t.doc.TTL
	}
	return &api.DescribeTimeToLiveOutput{TimeToLiveDescription: d}, nil
}

// expireLoop deletes items whose time is over. DynamoDB takes days for it; until
// then they are read as any other, there as here.
func (s *Service) expireLoop(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var keys []string
		s.machine.view().tables.Scan(func(key string, t *table) bool {
			if t.doc.TTL != "" {
				keys = append(keys, key)
			}
			return true
		})
		for _, key := range keys {
			if err := s.expire(ctx, key); err != nil && ctx.Err() == nil {
				s.logger.Error("cannot delete expired items", "table", key, "err", err)
			}
		}
	}
}

// expireBatch is how many items are deleted by one command.
const expireBatch = 500

// expire deletes the expired items of a table, some at a time, each only if it is
// still the one that was found.
func (s *Service) expire(ctx context.Context, tableKey string) error {
	after := ""
	for ctx.Err() == nil {
		t, ok := s.machine.view().tables.Get(tableKey)
		if !ok || t.doc.TTL == "" {
			return nil
		}
		found, last, err := t.expired(s.now(), after)
		if err != nil {
			return err
		}
		if err := s.deleteExpired(ctx, found); err != nil {
			return err
		}
		if last == "" {
			return nil
		}
		after = last
	}
	return nil
}

// deleteExpired deletes items by one command, or if one of them was written
// meanwhile, which then lives, each by its own.
func (s *Service) deleteExpired(ctx context.Context, found txn) error {
	if len(found) == 0 {
		return nil
	}
	err := s.machine.commit(ctx, found, true)
	if !errors.Is(err, errConflict) {
		return err
	}
	for i := range found {
		if err := s.machine.commit(ctx, found[i:i+1], true); err != nil && !errors.Is(err, errConflict) {
			return err
		}
	}
	return nil
}

// fiveYears is how long ago an item's time may be for it to be deleted: a value
// older than that is taken for something else.
const fiveYears = 5 * 365 * 24 * 60 * 60

// expired finds expired items behind a key; last is where to go on, empty at the end.
func (t *table) expired(now time.Time, after string) (found txn, last string, err error) {
	names := []string{t.doc.TTL}
	t.items.Ascend(after, func(key string, r row) bool {
		if key == after {
			return true
		}
		if len(found) == expireBatch {
			return false
		}
		last = key
		it, pickErr := item.Pick(r.stored, names)
		if pickErr != nil {
			err = pickErr
			return false
		}
		v := it[t.doc.TTL]
		at, ok := v.Num.Int64()
		if v.Type == item.N && ok && at < now.Unix() && at > now.Unix()-fiveYears {
			found = append(found, step{kind: deleteItem, table: t.doc.key(), id: t.doc.ID, key: key, version: r.version})
		}
		return true
	})
	if len(found) < expireBatch {
		last = ""
	}
	return found, last, err
}
