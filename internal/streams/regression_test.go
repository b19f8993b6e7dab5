package streams

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/shardlog"
)

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if !api.IsCode(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

// The model lets out the partition key, for AUTO distribution alone.
func TestPutRecordsWithoutPartitionKey(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 1)
	in := &kinesis.PutRecordsInput{StreamName: new("s"), Records: []kinesis.PutRecordsRequestEntry{{Data: []byte("x"), PartitionKey: new("k")}, {Data: []byte("x")}}}
	_, err := w.PutRecords(w.ctx(), in)
	wantCode(t, err, "ValidationException")
	if err != nil && !strings.Contains(err.Error(), "'records.2.member.partitionKey'") {
		t.Error(err)
	}
	w.createOnDemand("o")
	if _, err := w.UpdateStreamRecordDistributionStrategy(w.ctx(), &kinesis.UpdateStreamRecordDistributionStrategyInput{StreamARN: new(arnOf("o")), RecordDistributionStrategy: "AUTO"}); err != nil {
		t.Fatal(err)
	}
	in.StreamName = new("o")
	out, err := w.PutRecords(w.ctx(), in)
	if err != nil || *out.FailedRecordCount != 0 {
		t.Errorf("AUTO without a key: %v %+v", err, out)
	}
}

// A transition whose step fails is tried again, with pauses, for as long as it takes.
func TestFailedStepIsTriedAgain(t *testing.T) {
	inTime(t, Config{Limits: -1, Transition: time.Second}, func(w *world) {
		h := w.hook()
		tries := 0
		fail := func(shardlog.ID) error {
			if tries++; tries <= 3 {
				return errors.New("not today")
			}
			return nil
		}
		h.create.Store(&fail)
		w.create("s", 1)
		w.advance(time.Minute)
		if got := w.status("s"); got != "ACTIVE" {
			w.t.Errorf("status %s after %d tries", got, tries)
		}
	})
}

// Clients compare sequence numbers as integers: those of a child are all greater
// than its parents', however fast the rounds follow each other, and its first
// comes at least a second after the parent closed.
func TestChildrensNumbersAreGreater(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 3)
	for _, n := range []int32{6, 5, 7, 4, 8, 5, 9, 6, 3, 4, 7, 5, 4, 6, 9, 5} {
		if _, err := w.UpdateShardCount(w.ctx(), &kinesis.UpdateShardCountInput{StreamName: new("s"), TargetShardCount: &n, ScalingType: "UNIFORM_SCALING"}); err != nil {
			t.Fatal(err)
		}
	}
	number := func(s *string) *big.Int {
		n, _ := new(big.Int).SetString(*s, 10)
		return n
	}
	byID := map[string]kinesis.Shard{}
	for _, sh := range w.shards("s") {
		byID[*sh.ShardId] = sh
		for _, p := range []*string{sh.ParentShardId, sh.AdjacentParentShardId} {
			if p == nil {
				continue
			}
			first, last := number(sh.SequenceNumberRange.StartingSequenceNumber), number(byID[*p].SequenceNumberRange.EndingSequenceNumber)
			if first.Cmp(last) <= 0 {
				t.Errorf("%s begins with %s, its parent %s ends with %s", *sh.ShardId, first, *p, last)
			}
		}
	}
	st := w.byStream("s")
	for _, sh := range st.shards {
		if d := sh.doc.Load(); d.Parent != nil {
			if p := st.shards[*d.Parent].doc.Load(); d.Created < p.Closed+1000 {
				t.Errorf("shard %d was created %d ms after its parent closed", d.Index, d.Created-p.Closed)
			}
		}
	}
}

// A stream deleted while its shards are being made leaves none of them in the log.
func TestDeleteWhileCreatingLeavesNoLogs(t *testing.T) {
	inTime(t, Config{Limits: -1, Transition: time.Second}, func(w *world) {
		h := w.hook()
		hook := func(shardlog.ID) error {
			_, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s")})
			return err
		}
		h.create.Store(&hook)
		w.create("s", 3)
		w.advance(time.Minute)
		if w.byStream("s") != nil {
			w.t.Error("the stream is still there")
		}
		if n := len(w.log.Shards()); n != 1 {
			w.t.Errorf("%d shards in the log, want the catalog's alone", n)
		}
	})
}

func TestSequenceNumbersThatTheShardDidNotGive(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 1)
	last := w.put("s", "k", "a")
	q, _ := parseSequence(*last.SequenceNumber)
	next := q
	next.counter++
	d := w.byStream("s").shards[0].doc.Load()
	for name, n := range map[string]sequence{
		"not yet given":            next,
		"the end of an open shard": endingSequence(0, d.Created, time.Now()),
	} {
		for _, kind := range []kinesis.ShardIteratorType{"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"} {
			_, err := w.GetShardIterator(w.ctx(), &kinesis.GetShardIteratorInput{StreamName: new("s"), ShardId: new(shard0), ShardIteratorType: kind, StartingSequenceNumber: new(n.String())})
			if !api.IsCode(err, "InvalidArgumentException") {
				t.Errorf("%s %s: %v", kind, name, err)
			}
		}
	}
}

// A closed shard goes when its records have expired; who still reads it is told.
func TestExpiredShard(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 1)
		w.put("s", "k", "a")
		consumer := w.register("s", "c")
		if _, err := w.SplitShard(w.ctx(), &kinesis.SplitShardInput{StreamName: new("s"), ShardToSplit: new(shard0), NewStartingHashKey: new("1000")}); err != nil {
			w.t.Fatal(err)
		}
		w.advance(24*time.Hour - 10*time.Second)
		if n := len(w.shards("s")); n != 3 {
			w.t.Errorf("%d shards before the parent expires", n)
		}
		it := w.iterator("s", shard0, "TRIM_HORIZON", nil, nil)
		out, err := w.SubscribeToShard(w.ctx(), &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: new(shard0), StartingPosition: &kinesis.StartingPosition{Type: "TRIM_HORIZON"}})
		if err != nil {
			w.t.Fatal(err)
		}
		w.advance(10 * time.Second)
		if n := len(w.shards("s")); n != 2 {
			w.t.Errorf("ListShards shows %d shards the moment the parent has expired", n)
		}
		w.advance(2 * time.Minute)
		_, err = w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &it})
		wantCode(w.t, err, "ResourceNotFoundException")
		_, err = out.EventStream.Next(w.ctx())
		wantCode(w.t, err, "ResourceNotFoundException")
		if n := len(w.log.Shards()); n != 3 {
			w.t.Errorf("%d shards in the log", n)
		}
	})
}

// Records that come too late for a stream that is being deleted are refused as for one that is not there.
func TestPutIntoVanishingStream(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 1)
	st := w.byStream("s")
	if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s")}); err != nil {
		t.Fatal(err)
	}
	p := newPut(1)
	defer p.free()
	d := &streamDoc{MaxRecordKiB: 1024}
	p.check(d, 0, new("k"), nil, []byte("x"))
	w.Service.put(w.ctx(), st, d, p)
	if p.items[0].code != "ResourceNotFoundException" {
		t.Errorf("got %q %q", p.items[0].code, p.items[0].text)
	}
}

func TestUpdateStreamModeWithWarmThroughput(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	if _, err := w.UpdateAccountSettings(w.ctx(), &kinesis.UpdateAccountSettingsInput{MinimumThroughputBillingCommitment: &kinesis.MinimumThroughputBillingCommitmentInput{Status: "ENABLED"}}); err != nil {
		t.Fatal(err)
	}
	w.create("s", 3)
	if _, err := w.UpdateStreamMode(w.ctx(), &kinesis.UpdateStreamModeInput{StreamARN: new(arnOf("s")), StreamModeDetails: &kinesis.StreamModeDetails{StreamMode: "ON_DEMAND"}, WarmThroughputMiBps: new(int32(7))}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.byStream("s").route.Load().shards); n != 7 {
		t.Errorf("%d shards for 7 MiB/s", n)
	}
}

// A consumer that is registered again is another one: its ARN differs.
func TestConsumerAgain(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 1)
		first := w.register("s", "c")
		if _, err := w.DeregisterStreamConsumer(w.ctx(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: &first}); err != nil {
			w.t.Fatal(err)
		}
		if second := w.register("s", "c"); second == first {
			w.t.Errorf("both are %s", first)
		}
	})
}

// The parents of a round get their END markers side by side: writers wait for the slowest, not for the sum.
func TestParentsAreSealedSideBySide(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		h := w.hook()
		w.create("s", 8)
		slow := func(shardlog.ID) error { time.Sleep(time.Second); return nil }
		h.seal.Store(&slow)
		began := time.Now()
		if _, err := w.UpdateShardCount(w.ctx(), &kinesis.UpdateShardCountInput{StreamName: new("s"), TargetShardCount: new(int32(16)), ScalingType: "UNIFORM_SCALING"}); err != nil {
			w.t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second { // simulated time
			w.t.Errorf("sealing 8 shards took %s", took)
		}
	})
}

// A stream on its way out takes no subscriptions.
func TestSubscribeWhileDeleting(t *testing.T) {
	inTime(t, Config{Limits: -1, Transition: time.Second}, func(w *world) {
		w.create("s", 1)
		w.advance(2 * time.Second)
		consumer := w.register("s", "c")
		w.advance(2 * time.Second)
		if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s"), EnforceConsumerDeletion: new(true)}); err != nil {
			w.t.Fatal(err)
		}
		_, err := w.SubscribeToShard(w.ctx(), &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: new(shard0), StartingPosition: &kinesis.StartingPosition{Type: "LATEST"}})
		wantCode(w.t, err, "ResourceNotFoundException")
	})
}

// A subscription that has to wait for capacity or memory sleeps, and says so in heartbeats.
func TestHeartbeatsWhileHeldBack(t *testing.T) {
	inTime(t, Config{Limits: 0.01}, func(w *world) {
		w.create("s", 1)
		consumer := w.register("s", "c")
		sh := w.byStream("s").shards[0]
		put := []shardlog.Put{{Shard: sh.log, Records: []shardlog.Record{{Data: make([]byte, 256<<10)}}}}
		for range 2 {
			w.log.Append(w.ctx(), put)
		}
		out, err := w.SubscribeToShard(w.ctx(), &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: new(shard0), StartingPosition: &kinesis.StartingPosition{Type: "TRIM_HORIZON"}})
		if err != nil {
			w.t.Fatal(err)
		}
		defer out.EventStream.Close()
		began := time.Now()
		for range 5 {
			e, err := out.EventStream.Next(w.ctx())
			if err != nil {
				w.t.Fatal(err)
			}
			if n := len(e.(*kinesis.SubscribeToShardEvent).Records); n > 0 && time.Since(began) > 0 {
				w.t.Errorf("%d records after %s of a debt of 25 s", n, time.Since(began))
			}
		}
		if took := time.Since(began); took != 4*heartbeatEvery {
			w.t.Errorf("five events took %s", took)
		}
	})
}

// A reshard that ends while the stream is being deleted, or has got another
// goal, does not make it forget that.
func TestReshardEndsOnlyItself(t *testing.T) {
	inTime(t, Config{Limits: -1, Transition: time.Second}, func(w *world) {
		w.create("s", 1)
		w.advance(2 * time.Second)
		st := w.byStream("s")
		if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s")}); err != nil {
			w.t.Fatal(err)
		}
		// What the step had decided on before the deletion.
		if err := w.endReshard(w.ctx(), st, &reshardDoc{Target: 1}); err != nil {
			w.t.Fatal(err)
		}
		w.advance(2 * time.Second)
		if w.byStream("s") != nil {
			w.t.Errorf("still there: %+v", w.byStream("s").doc.Load())
		}
	})
}

// Of calls that each fit the quota and together do not, as many succeed as fit.
func TestQuotaUnderConcurrency(t *testing.T) {
	w := newWorld(t, Config{Limits: -1, ShardLimit: 13})
	for i := range 10 {
		w.create(fmt.Sprint("s", i), 1)
	}
	var g sync.WaitGroup
	var good, refused atomic.Int32
	count := func(err error) {
		switch {
		case err == nil:
			good.Add(1)
		case api.IsCode(err, "LimitExceededException"):
			refused.Add(1)
		default:
			t.Error(err)
		}
	}
	for i := range 10 {
		name := fmt.Sprint("s", i)
		g.Go(func() {
			if i%2 == 0 {
				_, err := w.SplitShard(w.ctx(), &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: new(shard0), NewStartingHashKey: new("1000")})
				count(err)
				return
			}
			_, err := w.UpdateShardCount(w.ctx(), &kinesis.UpdateShardCountInput{StreamName: &name, TargetShardCount: new(int32(2)), ScalingType: "UNIFORM_SCALING"})
			count(err)
		})
	}
	g.Wait()
	if good.Load() != 3 || refused.Load() != 7 {
		t.Errorf("%d succeeded, %d were refused", good.Load(), refused.Load())
	}
	out, err := w.DescribeLimits(w.ctx(), &kinesis.DescribeLimitsInput{})
	if err != nil || *out.OpenShardCount != 13 {
		t.Errorf("%d open shards, %v", *out.OpenShardCount, err)
	}
}

// A log full of records beside a catalog that knows nothing is a lost catalog, not leftovers.
func TestCatalogLost(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 2)
	w.put("s", "k", "kept")
	w.Service.Close()
	w.cat.Close()
	sh, err := w.log.Shard(catalog.ShardID)
	if err == nil {
		err = w.log.Delete(w.ctx(), sh)
	}
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenDir(w.fs, "other")
	if err != nil {
		t.Fatal(err)
	}
	if w.cfg.Catalog, err = catalog.Open(w.ctx(), catalog.Config{Log: w.log, Blobs: blobs}); err != nil {
		t.Fatal(err)
	}
	w.stop = func() { w.cfg.Catalog.Close(); w.log.Close() }
	for _, repair := range []bool{false, true} {
		w.cfg.Repair = repair
		if s, err := New(w.ctx(), w.cfg); err == nil {
			s.Close()
			t.Fatalf("started without a catalog, repair %v", repair)
		} else if !strings.Contains(err.Error(), "the catalog is lost") {
			t.Error(err)
		}
	}
	held := 0
	for _, sh := range w.log.Shards() {
		if isLogID(sh.ID()) && sh.Info().Next > 1 {
			held++
		}
	}
	if held != 1 {
		t.Errorf("%d shards hold records", held)
	}
}
