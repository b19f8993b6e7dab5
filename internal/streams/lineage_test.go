package streams

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/vfs"
)

// TestOrderAndDurabilityUnderResharding lets writers, readers and a resharder
// work on one stream while the power is cut again and again, and holds the
// stream to its word after each cut: following the lineage, parents before
// children, one finds
//
//   - every acknowledged record, once, and none that was not written;
//   - the records of a key in the order in which they were put, with growing numbers;
//   - whatever any reader saw, acknowledged or not, at the same number.
//
// STREAMS_CYCLES=n makes n cuts with another seed instead of a few.
func TestOrderAndDurabilityUnderResharding(t *testing.T) {
	cycles, seed := 8, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("STREAMS_CYCLES")); err == nil {
		cycles, seed = n, uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
	}
	w := &world{t: t, fs: vfs.NewCrash(seed), cfg: Config{Limits: -1}}
	w.start()
	t.Cleanup(func() { w.stop() })
	w.create("s", 2)
	w.register("s", "c")
	h := &history{rnd: rand.New(rand.NewPCG(seed, 0)), keys: make([]keyHistory, 24), seen: map[string]string{}}
	for cycle := range cycles {
		h.live(w, time.Duration(5+h.rnd.IntN(60))*time.Millisecond)
		h.check(w)
		if t.Failed() {
			t.Fatalf("after cut %d", cycle+1)
		}
	}
	acked := 0
	for i := range h.keys {
		acked += len(h.keys[i].acked)
	}
	t.Logf("%d acknowledged, %d seen, %d shards", acked, len(h.seen), len(w.shards("s")))
}

type history struct {
	rnd  *rand.Rand
	keys []keyHistory

	mu   sync.Mutex
	seen map[string]string // mu; sequence number -> data, as some reader saw it
}

// keyHistory is its writer's while one runs.
type keyHistory struct {
	next  int   // number of the next record
	acked []int // ascending
}

// live runs everything for a while, then cuts the power and starts again.
func (h *history) live(w *world, d time.Duration) {
	ctx, cancel := context.WithCancel(w.ctx())
	s := w.Service
	var g sync.WaitGroup
	const writers = 6
	for i := range writers {
		rnd := rand.New(rand.NewPCG(h.rnd.Uint64(), 0))
		g.Go(func() {
			for ctx.Err() == nil {
				h.write(ctx, s, rnd, i, writers)
			}
		})
	}
	for range 2 {
		rnd := rand.New(rand.NewPCG(h.rnd.Uint64(), 0))
		g.Go(func() {
			for ctx.Err() == nil {
				h.read(ctx, s, rnd)
			}
		})
	}
	rnd := rand.New(rand.NewPCG(h.rnd.Uint64(), 0))
	g.Go(func() {
		for ctx.Err() == nil {
			reshardSomehow(ctx, s, rnd)
		}
	})
	time.Sleep(d) // the power goes at a random moment
	next := w.fs.Crash()
	cancel()
	g.Wait()
	w.stop()
	w.fs = next
	w.start()
}

func keyName(i int) string { return "key-" + strconv.Itoa(i) }

// write puts one record, or one of several keys each, and notes what was acknowledged.
func (h *history) write(ctx context.Context, s *Service, rnd *rand.Rand, writer, writers int) {
	var mine []int
	for k := writer; k < len(h.keys); k += writers {
		mine = append(mine, k)
	}
	stream := "s"
	data := func(k int) []byte {
		n := h.keys[k].next
		h.keys[k].next++
		return fmt.Appendf(nil, "%s:%d:%s", keyName(k), n, strings.Repeat("x", rnd.IntN(300)))
	}
	if rnd.IntN(2) == 0 {
		k := mine[rnd.IntN(len(mine))]
		n := h.keys[k].next
		_, err := s.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &stream, PartitionKey: new(keyName(k)), Data: data(k)})
		if err == nil {
			h.keys[k].acked = append(h.keys[k].acked, n)
		}
		return
	}
	in := &kinesis.PutRecordsInput{StreamName: &stream}
	first := map[int]int{}
	for _, k := range mine {
		first[k] = h.keys[k].next
		for range 1 + rnd.IntN(3) {
			in.Records = append(in.Records, kinesis.PutRecordsRequestEntry{PartitionKey: new(keyName(k)), Data: data(k)})
		}
	}
	out, err := s.PutRecords(ctx, in)
	if err != nil {
		return
	}
	at := first
	for i := range in.Records {
		k, _ := strconv.Atoi(strings.TrimPrefix(*in.Records[i].PartitionKey, "key-"))
		if out.Records[i].ErrorCode == nil {
			h.keys[k].acked = append(h.keys[k].acked, at[k])
		}
		at[k]++
	}
}

// read looks at the newest records of some shard and remembers what it saw.
func (h *history) read(ctx context.Context, s *Service, rnd *rand.Rand) {
	stream := "s"
	list, err := s.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil || len(list.Shards) == 0 {
		return
	}
	recent := list.Shards[max(0, len(list.Shards)-6):]
	kind := []kinesis.ShardIteratorType{"TRIM_HORIZON", "LATEST"}[rnd.IntN(2)]
	if rnd.IntN(2) == 0 {
		h.subscribe(ctx, s, recent[rnd.IntN(len(recent))].ShardId, kind)
		return
	}
	it, err := s.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &stream, ShardId: recent[rnd.IntN(len(recent))].ShardId, ShardIteratorType: kind})
	if err != nil {
		return
	}
	next := it.ShardIterator
	for range 5 {
		out, err := s.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next, Limit: new(int32(1 + rnd.IntN(500)))})
		if err != nil {
			return
		}
		h.mu.Lock()
		for _, r := range out.Records {
			h.seen[*r.SequenceNumber] = string(r.Data)
		}
		h.mu.Unlock()
		if next = out.NextShardIterator; next == nil {
			return
		}
	}
}

// subscribe is read by fan-out, for some events.
func (h *history) subscribe(ctx context.Context, s *Service, shard *string, kind kinesis.ShardIteratorType) {
	list, err := s.ListStreamConsumers(ctx, &kinesis.ListStreamConsumersInput{StreamARN: new(arnOf("s"))})
	if err != nil || len(list.Consumers) == 0 {
		return
	}
	out, err := s.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: list.Consumers[0].ConsumerARN, ShardId: shard, StartingPosition: &kinesis.StartingPosition{Type: kind}})
	if err != nil {
		return
	}
	defer out.EventStream.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	for {
		e, err := out.EventStream.Next(ctx)
		if err != nil {
			return
		}
		h.mu.Lock()
		for _, r := range e.(*kinesis.SubscribeToShardEvent).Records {
			h.seen[*r.SequenceNumber] = string(r.Data)
		}
		h.mu.Unlock()
	}
}

// reshardSomehow splits, merges, or changes the count; what does not fit is refused, which is as well.
func reshardSomehow(ctx context.Context, s *Service, rnd *rand.Rand) {
	stream := "s"
	list, err := s.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream, ShardFilter: &kinesis.ShardFilter{Type: "AT_LATEST"}})
	if err != nil || len(list.Shards) == 0 {
		return
	}
	open := list.Shards
	slices.SortFunc(open, func(a, b kinesis.Shard) int {
		return number(*a.HashKeyRange.StartingHashKey).Cmp(number(*b.HashKeyRange.StartingHashKey))
	})
	i := rnd.IntN(len(open))
	switch action := rnd.IntN(3); {
	case action == 0 && len(open) < 12:
		from, to := number(*open[i].HashKeyRange.StartingHashKey), number(*open[i].HashKeyRange.EndingHashKey)
		at := new(big.Int).Add(from, to)
		at.Div(at, big.NewInt(int64(2+rnd.IntN(2))))
		if at.Cmp(from) <= 0 {
			at.Add(from, to).Rsh(at, 1)
		}
		s.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &stream, ShardToSplit: open[i].ShardId, NewStartingHashKey: new(at.String())})
	case action == 1 && i+1 < len(open):
		s.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &stream, ShardToMerge: open[i].ShardId, AdjacentShardToMerge: open[i+1].ShardId})
	default:
		n := int32(max(1, min(10, len(open)/2+1+rnd.IntN(len(open)+1))))
		s.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: &stream, TargetShardCount: &n, ScalingType: "UNIFORM_SCALING"})
	}
}

func number(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 10)
	return n
}

// check reads the whole stream along its lineage and compares it with the history.
func (h *history) check(w *world) {
	w.t.Helper()
	w.settle(w.ctx(), w.byStream("s").name) // what the cut interrupted is gone on with
	byKey, all := follow(w)
	for k := range h.keys {
		got := byKey[keyName(k)]
		if !slices.IsSorted(got) {
			w.t.Errorf("%s is out of order: %v", keyName(k), got)
		}
		have := map[int]bool{}
		for _, n := range got {
			if have[n] {
				w.t.Errorf("%s: record %d is there twice", keyName(k), n)
			}
			have[n] = true
			if n >= h.keys[k].next {
				w.t.Errorf("%s: record %d was never written", keyName(k), n)
			}
		}
		for _, n := range h.keys[k].acked {
			if !have[n] {
				w.t.Errorf("%s: record %d was acknowledged and is lost", keyName(k), n)
			}
		}
	}
	for seq, data := range h.seen {
		if got, ok := all[seq]; !ok || got != data {
			w.t.Errorf("a reader saw %.20q at %s, where there is now %.20q", data, seq, got)
		}
	}
}

// follow reads every shard to its end or tip, parents before their children,
// and returns the numbers of each key's records in that order, and all records.
func follow(w *world) (byKey map[string][]int, all map[string]string) {
	w.t.Helper()
	byKey, all = map[string][]int{}, map[string]string{}
	lastSeq := map[string]*big.Int{}
	shards := map[string]kinesis.Shard{}
	for _, sh := range w.shards("s") {
		shards[*sh.ShardId] = sh
	}
	covered := map[string]bool{}
	for len(covered) < len(shards) {
		progress := false
		for _, id := range slices.Sorted(maps.Keys(shards)) {
			sh := shards[id]
			waits := func(p *string) bool { return p != nil && !covered[*p] }
			if covered[id] || waits(sh.ParentShardId) || waits(sh.AdjacentParentShardId) {
				continue
			}
			covered[id], progress = true, true
			closed := sh.SequenceNumberRange.EndingSequenceNumber != nil
			next := w.iterator("s", id, "TRIM_HORIZON", nil, nil)
			for {
				out := w.get(next)
				for _, r := range out.Records {
					key, rest, _ := strings.Cut(string(r.Data), ":")
					n, err := strconv.Atoi(rest[:strings.IndexByte(rest, ':')])
					if err != nil || key != *r.PartitionKey {
						w.t.Errorf("%s holds %q", *r.SequenceNumber, r.Data)
					}
					seq := number(*r.SequenceNumber)
					if last := lastSeq[key]; last != nil && seq.Cmp(last) <= 0 {
						w.t.Errorf("%s: number %s comes after %s", key, seq, last)
					}
					if closed && seq.Cmp(number(*sh.SequenceNumberRange.EndingSequenceNumber)) >= 0 || seq.Cmp(number(*sh.SequenceNumberRange.StartingSequenceNumber)) <= 0 {
						w.t.Errorf("%s is outside of %s", seq, id)
					}
					lastSeq[key] = seq
					byKey[key] = append(byKey[key], n)
					all[*r.SequenceNumber] = string(r.Data)
				}
				if (out.NextShardIterator == nil) != (len(out.ChildShards) > 0) || out.NextShardIterator == nil && !closed {
					w.t.Errorf("%s (closed: %t): next iterator %v with %d children", id, closed, out.NextShardIterator, len(out.ChildShards))
				}
				if out.NextShardIterator == nil || !closed && len(out.Records) == 0 && *out.MillisBehindLatest == 0 {
					break
				}
				next = *out.NextShardIterator
			}
		}
		if !progress {
			w.t.Fatal("the lineage has a hole")
		}
	}
	return byKey, all
}
