package dynamodb

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

const batchWriteMax = 25

// batchCommandBytes is about how much of a batch goes into one command.
const batchCommandBytes = 4 << 20

// BatchWriteItem puts and deletes items of several tables, each for itself.
// Nothing comes back as UnprocessedItems: what was answered is done. After an
// error some of the items may have been written.
func (s *Service) BatchWriteItem(ctx context.Context, in *api.BatchWriteItemInput) (*api.BatchWriteItemOutput, error) {
	writes, err := s.readBatch(ctx, in)
	if err != nil {
		return nil, err
	}
	out := &api.BatchWriteItemOutput{UnprocessedItems: map[string][]api.WriteRequest{}}
	units := make(map[string]float64)
	for len(writes) > 0 {
		n, bytes := 0, 0
		for n < len(writes) && (n == 0 || bytes+writes[n].bytes <= batchCommandBytes) {
			bytes += writes[n].bytes
			n++
		}
		if err := s.writeBatch(ctx, writes[:n], in, out, units); err != nil {
			return nil, err
		}
		writes = writes[n:]
	}
	for _, name := range sortedKeys(units) {
		if c := consumed(in.ReturnConsumedCapacity, name, units[name], "", false); c != nil {
			out.ConsumedCapacity = append(out.ConsumedCapacity, *c)
		}
	}
	return out, nil
}

type batchedWrite struct {
	itemWrite
	name  string // of the table
	latch string
	bytes int // about
}

func (s *Service) readBatch(ctx context.Context, in *api.BatchWriteItemInput) ([]batchedWrite, error) {
	var writes []batchedWrite
	st := s.machine.view()
	count, size := 0, 0
	for _, list := range in.RequestItems {
		count += len(list)
	}
	if count > batchWriteMax {
		return nil, validation("Too many items requested for the BatchWriteItem call")
	}
	seen := make(map[string]bool)
	for _, given := range sortedKeys(in.RequestItems) {
		name, key, err := tableName(ctx, &given)
		if err != nil {
			return nil, err
		}
		for _, r := range in.RequestItems[given] {
			b := batchedWrite{itemWrite: itemWrite{table: key}, name: name}
			switch {
			case (r.PutRequest == nil) == (r.DeleteRequest == nil):
				return nil, validation("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
			case r.PutRequest != nil:
				b.kind = putItem
				if b.item, err = readItem(r.PutRequest.Item); err == nil {
					err = checkSize(b.item)
				}
				if err == nil {
					err = s.checkBatchKey(st, key, b.item)
				}
			default:
				b.kind = deleteItem
				b.key, err = readItem(r.DeleteRequest.Key)
			}
			if err != nil {
				return nil, err
			}
			size += b.item.Size()
			if b.latch, err = s.latchKey(st, &b.itemWrite); err != nil {
				return nil, err
			}
			if seen[b.latch] {
				return nil, validation("Provided list of item keys contains duplicates")
			}
			seen[b.latch] = true
			b.bytes = len(b.latch) + 2*b.item.Size()
			writes = append(writes, b)
		}
	}
	if size > batchBytesMax {
		return nil, validation("The size of the batch write request has exceeded the maximum allowed size")
	}
	return writes, nil
}

// checkBatchKey: in a batch an item's key is told of as that of a delete would be.
func (s *Service) checkBatchKey(st *state, table string, it item.Item) error {
	t, err := s.usable(st, table)
	if err == nil {
		_, err = t.doc.readKey(pick(it, t.doc.Key.names()))
	}
	return err
}

// writeBatch makes some of the writes, in one command.
func (s *Service) writeBatch(ctx context.Context, writes []batchedWrite, in *api.BatchWriteItemInput, out *api.BatchWriteItemOutput, units map[string]float64) error {
	latches := make([]string, len(writes))
	for i := range writes {
		latches[i] = writes[i].latch
	}
	done := make([]written, len(writes))
	a := s.newAnswer()
	defer a.release()
	err := s.decide(ctx, latches, func(st *state) (t txn, err error) {
		a.release() // what was taken when it was decided before
		for i := range writes {
			if done[i], err = s.evaluate(st, &writes[i].itemWrite, a); err != nil {
				return nil, err
			}
			done[i].forget()
			if !done[i].nothing {
				t = append(t, done[i].step)
			}
		}
		return t, nil
	})
	if err != nil {
		return err
	}
	for i, w := range done {
		name := writes[i].name
		units[name] += writeUnits(w.oldBytes, w.newBytes)
		if m := collection(in.ReturnItemCollectionMetrics, w.table, writes[i].keyed()); m != nil {
			if out.ItemCollectionMetrics == nil {
				out.ItemCollectionMetrics = make(map[string][]api.ItemCollectionMetrics)
			}
			out.ItemCollectionMetrics[name] = append(out.ItemCollectionMetrics[name], *m)
		}
	}
	return nil
}
