package streams

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// States last as long as they are said to, and no longer.
func TestTransitionsLast(t *testing.T) {
	inTime(t, Config{Limits: -1, Transition: 3 * time.Second}, func(w *world) {
		t := w.t
		lasts := func(what string, want kinesis.StreamStatus) {
			t.Helper()
			for _, step := range []struct {
				after time.Duration
				want  kinesis.StreamStatus
			}{{0, want}, {2900 * time.Millisecond, want}, {200 * time.Millisecond, "ACTIVE"}} {
				w.advance(step.after)
				if got := w.status("s"); got != step.want {
					t.Errorf("%s: %s after another %s, want %s", what, got, step.after, step.want)
				}
			}
		}
		do := func(_ any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		s := new("s")
		w.create("s", 2)
		lasts("CreateStream", "CREATING")
		do(w.SplitShard(w.ctx(), &kinesis.SplitShardInput{StreamName: s, ShardToSplit: new(shard0), NewStartingHashKey: new("1000")}))
		// Puts and gets go on; another change has to wait.
		w.put("s", "k", "while UPDATING")
		w.iterator("s", shard0, "LATEST", nil, nil)
		_, err := w.MergeShards(w.ctx(), &kinesis.MergeShardsInput{StreamName: s, ShardToMerge: new(shard0), AdjacentShardToMerge: new("shardId-000000000001")})
		wantCode(t, err, "ResourceInUseException")
		lasts("SplitShard", "UPDATING")
		do(w.UpdateShardCount(w.ctx(), &kinesis.UpdateShardCountInput{StreamName: s, TargetShardCount: new(int32(2)), ScalingType: "UNIFORM_SCALING"}))
		lasts("UpdateShardCount", "UPDATING")
		do(w.UpdateStreamMode(w.ctx(), &kinesis.UpdateStreamModeInput{StreamARN: new(arnOf("s")), StreamModeDetails: &kinesis.StreamModeDetails{StreamMode: "ON_DEMAND"}}))
		lasts("UpdateStreamMode", "UPDATING")
		do(w.EnableEnhancedMonitoring(w.ctx(), &kinesis.EnableEnhancedMonitoringInput{StreamName: s, ShardLevelMetrics: []kinesis.MetricsName{"ALL"}}))
		lasts("EnableEnhancedMonitoring", "UPDATING")

		consumer := w.register("s", "c")
		_, err = w.subscribe(consumer, "LATEST")
		wantCode(t, err, "ResourceInUseException")
		if want := "Consumer c with creation timestamp "; err != nil && !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
		w.advance(3100 * time.Millisecond)
		r, err := w.subscribe(consumer, "LATEST")
		do(r, err)
		r.events.Close()

		do(w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: s, EnforceConsumerDeletion: new(true)}))
		w.advance(2900 * time.Millisecond)
		if got := w.status("s"); got != "DELETING" {
			t.Errorf("%s, want DELETING", got)
		}
		w.advance(200 * time.Millisecond)
		_, err = w.DescribeStreamSummary(w.ctx(), &kinesis.DescribeStreamSummaryInput{StreamName: s})
		wantCode(t, err, "ResourceNotFoundException")
	})
}

// A transition that a power cut interrupts goes on at the next start.
func TestTransitionsSurvivePowerCuts(t *testing.T) {
	inTime(t, Config{Limits: -1, Transition: 3 * time.Second}, func(w *world) {
		w.create("a", 2)
		w.advance(5 * time.Second)
		w.create("b", 2)
		if _, err := w.UpdateShardCount(w.ctx(), &kinesis.UpdateShardCountInput{StreamName: new("a"), TargetShardCount: new(int32(4)), ScalingType: "UNIFORM_SCALING"}); err != nil {
			w.t.Fatal(err)
		}
		w.crash()
		if a, b := w.status("a"), w.status("b"); a != "UPDATING" || b != "CREATING" {
			w.t.Errorf("after the cut: %s %s", a, b)
		}
		w.advance(5 * time.Second)
		if a, b := w.status("a"), w.status("b"); a != "ACTIVE" || b != "ACTIVE" {
			w.t.Errorf("at the end: %s %s", a, b)
		}
		if n := len(w.byStream("a").route.Load().shards); n != 4 {
			w.t.Errorf("%d shards", n)
		}
	})
}

func TestIteratorsExpire(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 1)
		it := w.iterator("s", shard0, "LATEST", nil, nil)
		if len(it) > 512 {
			w.t.Errorf("%d characters", len(it))
		}
		w.crash() // iterators survive a restart
		w.advance(300 * time.Second)
		if _, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &it}); err != nil {
			w.t.Errorf("after 300 s: %v", err)
		}
		w.advance(time.Second)
		_, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &it})
		wantCode(w.t, err, "ExpiredIteratorException")
		want := "Iterator expired. The iterator was created at time Sat Jan 01 00:00:0"
		if err != nil && (!strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), "which is further in the future than the tolerated delay of 300000 milliseconds.")) {
			w.t.Error(err)
		}
	})
}

// Every bit of a token counts, and a token of one kind is none of another.
func TestTamperedTokens(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 1)
	it := w.iterator("s", shard0, "LATEST", nil, nil)
	bad := func(token string) {
		t.Helper()
		_, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &token})
		if !api.IsCode(err, "InvalidArgumentException") || !strings.Contains(err.Error(), "Invalid ShardIterator.") {
			t.Errorf("%s: %v", token, err)
		}
	}
	raw, err := base64.StdEncoding.DecodeString(it)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			bad(base64.StdEncoding.EncodeToString(raw))
			raw[i] ^= 1 << bit
		}
	}
	for n := range raw {
		bad(base64.StdEncoding.EncodeToString(raw[:n]))
	}
	bad(it + "\n")
	bad(strings.TrimRight(it, "="))
	if strings.HasSuffix(it, "==") { // the last character before it has four bits of no meaning
		last := it[len(it)-3]
		for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
			if byte(c) != last {
				bad(it[:len(it)-3] + string(c) + "==")
			}
		}
	}
	bad(w.sealPage(listShardsToken, shardPage{}))
}

// The sealing key changes daily; what it sealed is good for its five minutes nevertheless.
func TestTokenKeyRotation(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 1)
		first := w.tokens.keys.Load().doc.Current.ID
		w.advance(24*time.Hour - 90*time.Second)
		it := w.iterator("s", shard0, "LATEST", nil, nil)
		w.advance(4 * time.Minute)
		k := w.tokens.keys.Load().doc
		if k.Current.ID != first+1 || k.Previous == nil {
			w.t.Fatalf("keys %d and %v after a day", k.Current.ID, k.Previous)
		}
		if _, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &it}); err != nil {
			w.t.Error(err)
		}
		w.crash()
		if _, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &it}); err != nil {
			w.t.Errorf("after a restart: %v", err)
		}
		w.advance(15 * time.Minute)
		if k := w.tokens.keys.Load().doc; k.Previous != nil {
			w.t.Error("the old key is still there")
		}
	})
}

func TestNextTokensExpire(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 3)
		out, err := w.ListShards(w.ctx(), &kinesis.ListShardsInput{StreamName: new("s"), MaxResults: new(int32(1))})
		if err != nil {
			w.t.Fatal(err)
		}
		w.advance(300 * time.Second)
		if _, err := w.ListShards(w.ctx(), &kinesis.ListShardsInput{NextToken: out.NextToken}); err != nil {
			w.t.Error(err)
		}
		w.advance(time.Second)
		_, err = w.ListShards(w.ctx(), &kinesis.ListShardsInput{NextToken: out.NextToken})
		wantCode(w.t, err, "ExpiredNextTokenException")
	})
}

// Quotas with a memory of 24 hours survive restarts, and the hours pass.
func TestQuotasOfADay(t *testing.T) {
	inTime(t, Config{Limits: 1000}, func(w *world) {
		t := w.t
		w.create("s", 1)
		count := func() error {
			n := int32(3 - len(w.byStream("s").route.Load().shards))
			_, err := w.UpdateShardCount(w.ctx(), &kinesis.UpdateShardCountInput{StreamName: new("s"), TargetShardCount: &n, ScalingType: "UNIFORM_SCALING"})
			return err
		}
		mode := func(m kinesis.StreamMode) error {
			_, err := w.UpdateStreamMode(w.ctx(), &kinesis.UpdateStreamModeInput{StreamARN: new(arnOf("s")), StreamModeDetails: &kinesis.StreamModeDetails{StreamMode: m}})
			return err
		}
		for i := range 10 {
			if err := count(); err != nil {
				t.Fatal(i, err)
			}
			w.advance(time.Minute)
		}
		for _, m := range []kinesis.StreamMode{"ON_DEMAND", "PROVISIONED"} {
			if err := mode(m); err != nil {
				t.Fatal(err)
			}
		}
		w.crash()
		wantCode(t, count(), "LimitExceededException")
		wantCode(t, mode("ON_DEMAND"), "LimitExceededException")
		w.advance(24*time.Hour - 10*time.Minute - time.Second)
		wantCode(t, count(), "LimitExceededException")
		w.advance(2 * time.Second) // the first of the ten is a day ago
		if err := count(); err != nil {
			t.Error(err)
		}
		wantCode(t, count(), "LimitExceededException")
		w.advance(10 * time.Minute)
		if err := mode("ON_DEMAND"); err != nil {
			t.Error(err)
		}
	})
}

func TestAccountCommitment(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		set := func(status kinesis.MinimumThroughputBillingCommitmentInputStatus) string {
			w.t.Helper()
			out, err := w.UpdateAccountSettings(w.ctx(), &kinesis.UpdateAccountSettingsInput{MinimumThroughputBillingCommitment: &kinesis.MinimumThroughputBillingCommitmentInput{Status: status}})
			if err != nil {
				w.t.Fatal(err)
			}
			return string(out.MinimumThroughputBillingCommitment.Status)
		}
		now := func() string {
			out, err := w.DescribeAccountSettings(w.ctx(), &kinesis.DescribeAccountSettingsInput{})
			if err != nil {
				w.t.Fatal(err)
			}
			return string(out.MinimumThroughputBillingCommitment.Status)
		}
		set("ENABLED")
		w.advance(time.Hour)
		if got := set("DISABLED"); got != "ENABLED_UNTIL_EARLIEST_ALLOWED_END" {
			w.t.Error(got)
		}
		w.advance(23*time.Hour - time.Second)
		if got := now(); got != "ENABLED_UNTIL_EARLIEST_ALLOWED_END" {
			w.t.Error(got)
		}
		w.advance(2 * time.Second)
		if got := now(); got != "DISABLED" {
			w.t.Error(got)
		}
		set("ENABLED")
		w.advance(25 * time.Hour)
		if got := set("DISABLED"); got != "DISABLED" {
			w.t.Errorf("after its day it ends at once: %s", got)
		}
	})
}

// Records are visible for as long as the retention says; raising it does not bring any back.
func TestRetention(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 1)
		first := w.put("s", "k", "first")
		w.advance(12 * time.Hour)
		w.put("s", "k", "second")
		read := func() string { return texts(w.get(w.iterator("s", shard0, "TRIM_HORIZON", nil, nil)).Records) }
		w.advance(11 * time.Hour)
		if got := read(); got != "[first second]" {
			w.t.Error(got)
		}
		w.advance(2 * time.Hour)
		if got := read(); got != "[second]" {
			w.t.Error(got)
		}
		// A number below the horizon reads from the horizon.
		if got := texts(w.get(w.iterator("s", shard0, "AT_SEQUENCE_NUMBER", first.SequenceNumber, nil)).Records); got != "[second]" {
			w.t.Error(got)
		}
		old := time.Now().Add(-100 * time.Hour)
		if got := texts(w.get(w.iterator("s", shard0, "AT_TIMESTAMP", nil, &old)).Records); got != "[second]" {
			w.t.Error(got)
		}
		if _, err := w.IncreaseStreamRetentionPeriod(w.ctx(), &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: new("s"), RetentionPeriodHours: new(int32(48))}); err != nil {
			w.t.Fatal(err)
		}
		if got := read(); got != "[second]" {
			w.t.Errorf("after raising: %s", got)
		}
		w.advance(20 * time.Hour)
		if got := read(); got != "[second]" {
			w.t.Errorf("after more than the old retention: %s", got)
		}
		if _, err := w.DecreaseStreamRetentionPeriod(w.ctx(), &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: new("s"), RetentionPeriodHours: new(int32(24))}); err != nil {
			w.t.Fatal(err)
		}
		if got := read(); got != "[]" {
			w.t.Errorf("after lowering: %s", got)
		}
	})
}

// MillisBehindLatest is the age of the next record to read.
func TestMillisBehindLatest(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 1)
		for _, d := range []string{"a", "b", "c"} {
			w.put("s", "k", d)
			w.advance(10 * time.Second)
		}
		it := w.iterator("s", shard0, "TRIM_HORIZON", nil, nil)
		for _, want := range []int64{20_000, 10_000, 0, 0} {
			out, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &it, Limit: new(int32(1))})
			if err != nil {
				w.t.Fatal(err)
			}
			if *out.MillisBehindLatest != want {
				w.t.Errorf("behind %d, want %d", *out.MillisBehindLatest, want)
			}
			it = *out.NextShardIterator
		}
		at := time.Now().Add(-20 * time.Second) // the arrival of b, to the millisecond
		if got := texts(w.get(w.iterator("s", shard0, "AT_TIMESTAMP", nil, &at)).Records); got != "[b c]" {
			w.t.Errorf("AT_TIMESTAMP: %s", got)
		}
		at = at.Add(time.Millisecond)
		if got := texts(w.get(w.iterator("s", shard0, "AT_TIMESTAMP", nil, &at)).Records); got != "[c]" {
			w.t.Errorf("a millisecond later: %s", got)
		}
	})
}
