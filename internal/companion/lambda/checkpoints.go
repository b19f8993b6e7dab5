package lambda

import (
	"context"
	"fmt"
	"time"

	"encoding/json"

	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
	"github.com/rheostream/rheo/internal/keys"
)

// checkpoints keeps how far mappings have come: a catalog of its own, for its
// commands are many and nobody else is to wait for them.
//
//	at/<uuid>/<shard>   a sealed checkpointDoc
//	result/<uuid>       resultDoc: LastProcessingResult
//
// One Store is one command, so one record of the log, however many shards it is
// of; what is stored at the same time shares a sync. It implements mapping.Checkpoints.
type checkpoints struct {
	docs     *catalog.Catalog
	size     size
	bytesMax int64
	sealer   keys.Sealer
}

type checkpointDoc struct {
	Shard  string
	Stream time.Time
	From   positionDoc
	Done   string     `json:",omitempty"`
	Lanes  []string   `json:",omitempty"`
	Ended  bool       `json:",omitempty"`
	Window *windowDoc `json:",omitempty"`
}

type positionDoc struct {
	Kind     string
	Time     time.Time `json:",omitzero"`
	Sequence string    `json:",omitempty"`
}

type windowDoc struct {
	Start, End time.Time
	State      []byte
}

type resultDoc struct{ Result string }

func openCheckpoints(ctx context.Context, c Config) (*checkpoints, error) {
	docs, err := catalog.Open(ctx, catalog.Config{Log: c.Log, Blobs: c.Blobs, Shard: CheckpointsShardID, Logger: c.Logger})
	if err != nil {
		return nil, err
	}
	cp := &checkpoints{docs: docs, bytesMax: c.StateBytesMax, sealer: c.Sealer}
	docs.Watch("", cp.size.follow)
	return cp, nil
}

func (c *checkpoints) close() { c.docs.Close() }

func checkpointsOf(uuid string) string { return "at/" + uuid + "/" }

func resultOf(uuid string) string { return "result/" + uuid }

// Load implements mapping.Checkpoints.
func (c *checkpoints) Load(_ context.Context, uuid string) ([]mapping.Checkpoint, error) {
	all, err := list[sealed](c.docs, checkpointsOf(uuid))
	if err != nil {
		return nil, err
	}
	out := make([]mapping.Checkpoint, 0, len(all))
	for i := range all {
		var d checkpointDoc
		if err := all[i].open(c.sealer, sealCheckpoint, &d); err != nil {
			return nil, err
		}
		out = append(out, d.checkpoint())
	}
	return out, nil
}

// Store implements mapping.Checkpoints.
func (c *checkpoints) Store(ctx context.Context, uuid string, all ...mapping.Checkpoint) error {
	t := catalog.Txn{Write: make(map[string]json.RawMessage, len(all))}
	grows := int64(0)
	for i := range all {
		sealed, err := seal(c.sealer, sealCheckpoint, documentOf(&all[i]))
		if err != nil {
			return err
		}
		b, err := json.Marshal(sealed)
		if err != nil {
			return err
		}
		key := checkpointsOf(uuid) + string(all[i].Shard)
		t.Write[key] = b
		old, _, _ := c.docs.Get(key)
		grows += int64(len(b) - len(old))
	}
	if grows > 0 && c.size.bytes()+grows > c.bytesMax {
		return fmt.Errorf("lambda: the memory for checkpoints, %d bytes, is used up", c.bytesMax)
	}
	return c.docs.Commit(ctx, t)
}

// Delete implements mapping.Checkpoints.
func (c *checkpoints) Delete(ctx context.Context, uuid string, shards ...mapping.ShardID) error {
	t := catalog.Txn{Write: make(map[string]json.RawMessage, len(shards))}
	for _, shard := range shards {
		t.Write[checkpointsOf(uuid)+string(shard)] = json.RawMessage("null")
	}
	return c.docs.Commit(ctx, t)
}

// deleteAll forgets a mapping.
func (c *checkpoints) deleteAll(ctx context.Context, uuid string) error {
	return c.docs.Commit(ctx, catalog.Txn{Remove: []string{checkpointsOf(uuid)}, Write: map[string]json.RawMessage{resultOf(uuid): json.RawMessage("null")}})
}

// storeResults keeps what mappings last came to.
func (c *checkpoints) storeResults(ctx context.Context, results map[string]string) error {
	t := catalog.Txn{Write: make(map[string]json.RawMessage, len(results))}
	for uuid, result := range results {
		b, err := json.Marshal(resultDoc{result})
		if err != nil {
			return err
		}
		t.Write[resultOf(uuid)] = b
	}
	return c.docs.Commit(ctx, t)
}

// result is what a mapping last came to; empty if it has not come to anything.
func (c *checkpoints) result(uuid string) string {
	var d resultDoc
	if ok, err := read(c.docs, resultOf(uuid), &d, nil); err != nil || !ok {
		return ""
	}
	return d.Result
}

func documentOf(c *mapping.Checkpoint) *checkpointDoc {
	d := &checkpointDoc{Shard: string(c.Shard), Stream: c.Stream, Done: string(c.Done), Ended: c.Ended,
		From: positionDoc{string(c.From.Kind), c.From.Time, string(c.From.Sequence)}}
	for _, at := range c.Lanes {
		d.Lanes = append(d.Lanes, string(at))
	}
	if w := c.Window; w != nil {
		d.Window = &windowDoc{w.Start, w.End, w.State}
	}
	return d
}

func (d *checkpointDoc) checkpoint() mapping.Checkpoint {
	c := mapping.Checkpoint{Shard: mapping.ShardID(d.Shard), Stream: d.Stream, Done: mapping.SequenceNumber(d.Done), Ended: d.Ended,
		From: mapping.Position{Kind: mapping.PositionKind(d.From.Kind), Time: d.From.Time, Sequence: mapping.SequenceNumber(d.From.Sequence)}}
	for _, at := range d.Lanes {
		c.Lanes = append(c.Lanes, mapping.SequenceNumber(at))
	}
	if w := d.Window; w != nil {
		c.Window = &mapping.Window{Start: w.Start, End: w.End, State: w.State}
	}
	return c
}
