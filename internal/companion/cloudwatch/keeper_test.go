package cloudwatch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/statelog"
	"github.com/rheostream/rheo/internal/vfs"
)

// TestManifests: two are kept with what they list, the log is trimmed to the older
// one, and if the newer cannot be read the older one and the log have all.
func TestManifests(t *testing.T) {
	b := newBench(t, nil)
	for i := range 5 {
		for range 10 {
			b.want("PutMetricData", putInput("app", "m", `"Value": 1`), "{}")
		}
		if err := b.flush(); err != nil {
			t.Fatal(err)
		}
		b.restart()
		if n := b.count("app", "m"); n != float64(10*(i+1)) {
			t.Errorf("%v samples after %d flushes", n, i+1)
		}
	}
	manifests := b.blobNames(manifestPrefix)
	if len(manifests) != 2 || len(b.blobNames(segmentPrefix)) != 5 {
		t.Fatalf("%v, %v", manifests, b.blobNames(segmentPrefix))
	}
	sh, err := b.cfg.Log.Shard(ShardID)
	if err != nil || sh.Info().First < 40 {
		t.Errorf("the log still begins at %d, %v", sh.Info().First, err)
	}
	if err := b.cfg.Blobs.Put(t.Context(), manifests[1], strings.NewReader("RHEOCWM\x01 but then it is cut")); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if n := b.count("app", "m"); n != 50 {
		t.Errorf("%v samples without the newest manifest", n)
	}
	b.want("PutMetricData", putInput("app", "m", `"Value": 1`), "{}")
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if n := b.count("app", "m"); n != 51 {
		t.Errorf("%v samples after the next manifest", n)
	}

	for _, name := range b.blobNames(manifestPrefix) {
		if err := b.cfg.Blobs.Put(t.Context(), name, strings.NewReader("nothing")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(t.Context(), b.cfg); err == nil || !strings.Contains(err.Error(), "what is between is missing") {
		t.Errorf("started on half of the commands: %v", err)
	}
	for _, name := range b.blobNames(manifestPrefix) {
		if err := b.cfg.Blobs.Put(t.Context(), name, strings.NewReader("RHEOCWM\x02 whatever comes, and comes")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(t.Context(), b.cfg); !errors.Is(err, statelog.ErrNewer) {
		t.Errorf("started on a manifest of a newer version: %v", err)
	}
}

// TestCompaction: a partition does not come to have many segments, however often
// data are flushed, and what is merged is deleted.
func TestCompaction(t *testing.T) {
	b := newBench(t, nil)
	for i := range 4 * segmentsMax {
		b.want("PutMetricData", putInput("app", fmt.Sprint("m", i%3), `"Value": 1`), "{}")
		if err := b.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.store.manifest.segments); n > segmentsMax {
		t.Errorf("%d segments", n)
	}
	if n := len(b.blobNames(segmentPrefix)); n > 2*segmentsMax {
		t.Errorf("%d blobs", n)
	}
	if n := b.count("app", "m0") + b.count("app", "m1") + b.count("app", "m2"); n != 4*segmentsMax {
		t.Errorf("%v samples", n)
	}
}

// TestDamagedSegment: data that were damaged are not taken for others, and do not
// hold up those that come after them.
func TestDamagedSegment(t *testing.T) {
	b := newBench(t, nil)
	b.want("PutMetricData", putInput("app", "m", `"Value": 1`), "{}")
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	name := b.blobNames(segmentPrefix)[0]
	if err := b.cfg.Blobs.Put(t.Context(), name, strings.NewReader(strings.Repeat("x", 200))); err != nil {
		t.Fatal(err)
	}
	b.want("GetMetricStatistics", fmt.Sprintf(`{"Namespace": "app", "MetricName": "m", "StartTime": %d, "EndTime": %d, "Period": 60, "Statistics": ["Sum"]}`,
		begin.Unix()-60, begin.Unix()+60), "our error: "+name)
	b.clock.advance(20 * 24 * time.Hour)
	for range 2 {
		b.want("PutMetricData", putInput("app", "other", `"Value": 1`), "{}")
		if err := b.flush(); err != nil {
			t.Error(err)
		}
	}
	if n := b.count("app", "other"); n != 2 {
		t.Errorf("%v samples", n)
	}
}

// TestLimits: when there are as many series as an account may have, new ones are refused
// and old ones go on, unless one is idle; when memory is used up nothing is taken until data are in
// segments.
func TestLimits(t *testing.T) {
	b := newBench(t, func(c *Config) { c.SeriesMax, c.MemoryBytes = 4, 64<<10 })
	for i := range 3 {
		b.want("PutMetricData", putInput("app", fmt.Sprint("m", i), `"Value": 1`), "{}")
	}
	b.want("PutMetricData", putInput("app", "m3", `"Value": 1`), "LimitExceededException: There are 3 metrics of the account of at most 3: no room for 1 more, and none that had no data for fifteen days.")
	b.want("PutMetricData", putInput("app", "m1", `"Value": 1, "Unit": "Bytes"`), "LimitExceededException")
	b.want("PutMetricData", putInput("app", "m1", `"Value": 1`), "{}")

	// One that has had no data for fifteen days makes room, the one that has had none for longest.
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(24 * time.Hour)
	b.want("PutMetricData", putInput("app", "m1", `"Value": 1`), "{}")
	b.clock.advance(15 * 24 * time.Hour)
	b.want("PutMetricData", putInput("app", "m2", `"Value": 1`), "{}")
	b.want("PutMetricData", putInput("app", "m3", `"Value": 1`), "{}")
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	b.restart()
	for name, want := range map[string]float64{"m0": 0, "m1": 3, "m2": 2, "m3": 1} {
		if n := b.count("app", name); n != want {
			t.Errorf("%s has %v samples, want %v", name, n, want)
		}
	}
	b.want("PutMetricData", putInput("app", "m0", `"Value": 1`), "LimitExceededException")
	now := b.clock.Wall().Unix()

	minutes := 0
	for ; minutes < 2000; minutes++ {
		out := b.do("PutMetricData", putInput("app", "m1", fmt.Sprintf(`"Value": 1, "Timestamp": %d`, now-60*int64(minutes))))
		if out == "{}" {
			continue
		}
		if !strings.HasPrefix(out, "ThrottlingException: Rate exceeded: the memory for metrics is used up") {
			t.Fatal(out)
		}
		break
	}
	if minutes < 300 || minutes > 700 {
		t.Errorf("%d points went into 64 KiB", minutes)
	}
	if !b.keeper.full() {
		t.Error("the keeper does not see that it should flush")
	}
	if err := b.keeper.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want("PutMetricData", putInput("app", "m1", `"Value": 1`), "{}")
	if used := b.store.memory(); used > 8<<10 {
		t.Errorf("%d bytes are used after a flush", used)
	}
	b.restart()
	b.want("PutMetricData", putInput("app", "m4", `"Value": 1`), "LimitExceededException")
}

// TestFailedFlush: what could not be written stays where it was, and is written
// the next time, once.
func TestFailedFlush(t *testing.T) {
	for _, done := range []bool{true, false} {
		for _, prefix := range []string{segmentPrefix, manifestPrefix} {
			t.Run(fmt.Sprint(prefix, done), func(t *testing.T) {
				b := newBench(t, nil)
				b.want("PutMetricData", putInput("app", "m", `"Value": 1`), "{}")
				b.blobs.fail = func(name string) (bool, error) {
					if strings.HasPrefix(name, prefix) {
						return done, errFlaky
					}
					return false, nil
				}
				if err := b.flush(); !errors.Is(err, errFlaky) {
					t.Fatal(err)
				}
				b.want("PutMetricData", putInput("app", "m", `"Value": 1`), "{}")
				if n := b.count("app", "m"); n != 2 {
					t.Errorf("%v samples", n)
				}
				b.blobs.fail = nil
				if err := b.flush(); err != nil {
					t.Fatal(err)
				}
				if n := b.count("app", "m"); n != 2 {
					t.Errorf("%v samples after the next flush", n)
				}
				b.restart()
				if n := b.count("app", "m"); n != 2 {
					t.Errorf("%v samples after a restart", n)
				}
			})
		}
	}
}

// TestListPages: pages are of 500, each metric on one of them.
func TestListPages(t *testing.T) {
	b := newBench(t, nil)
	const all = 1203
	for first := 0; first < all; first += 100 {
		var data []string
		for i := first; i < min(first+100, all); i++ {
			data = append(data, fmt.Sprintf(`{"MetricName": "m%d", "Value": 1, "Unit": "Bytes"}, {"MetricName": "m%[1]d", "Value": 1}`, i))
		}
		b.want("PutMetricData", `{"Namespace": "app", "MetricData": [`+strings.Join(data, ", ")+`]}`, "{}")
	}
	seen, pages := map[string]int{}, 0
	for token := ""; ; pages++ {
		out := b.do("ListMetrics", `{"Namespace": "app"`+token+`}`)
		for part := range strings.SplitSeq(out, `"MetricName":"`) {
			if name, _, ok := strings.Cut(part, `","Dimensions"`); ok {
				seen[name]++
			}
		}
		_, next, more := strings.Cut(out, `"NextToken":"`)
		if !more {
			break
		}
		token = `, "NextToken": "` + next[:strings.IndexByte(next, '"')] + `"`
	}
	if len(seen) != all || pages != 2 {
		t.Errorf("%d metrics on %d pages", len(seen), pages+1)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s is on %d pages", name, n)
		}
	}
}

// TestTenants: metrics are one account's in one region.
func TestTenants(t *testing.T) {
	b := newBench(t, nil)
	b.want("PutMetricData", putInput("app", "m", `"Value": 1`), "{}")
	for _, other := range []*rheo.Caller{{Account: "123456789012", Region: "eu-west-1"}, {Account: "210987654321", Region: "us-east-1"}} {
		if out := b.doAs(other, "ListMetrics", `{}`); out != `{"Metrics":[]}` {
			t.Error(out)
		}
		if out := b.doAs(other, "GetMetricStatistics", fmt.Sprintf(`{"Namespace": "app", "MetricName": "m", "StartTime": %d, "EndTime": %d, "Period": 60, "Statistics": ["Sum"]}`,
			begin.Unix()-60, begin.Unix()+60)); out != `{"Label":"m","Datapoints":[]}` {
			t.Error(out)
		}
	}
}

// TestManyValues: a period of many different values keeps some of them, and knows
// percentiles to within some percent.
func TestManyValues(t *testing.T) {
	var s summary
	for i := 1; i <= 10_000; i++ {
		one := single(float64(i), 1)
		s.add(&one)
	}
	if len(s.values) > valuesMax {
		t.Errorf("%d values are kept", len(s.values))
	}
	if s.count != 10_000 || s.sum != 10_000*10_001/2 || s.min != 1 || s.max != 10_000 {
		t.Errorf("%+v", s)
	}
	for _, p := range []float64{0, 1, 50, 99, 99.9, 100} {
		got, ok := s.percentile(p)
		want := max(1, p*100)
		if !ok || got < want*0.95 || got > want*1.05 {
			t.Errorf("p%g is %g, want about %g", p, got, want)
		}
	}
	r := reader{rest: appendSummary(nil, &s)}
	if again := r.summary(); r.failed || len(r.rest) > 0 || fmt.Sprint(again) != fmt.Sprint(s) {
		t.Errorf("read %+v, wrote %+v", again, s)
	}
}

// TestOwn: what streams count is data of AWS/Kinesis of the minute that it was
// counted in, with AWS's dimensions.
func TestOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs, err := blob.OpenDir(vfs.NewCrash(0), "blobs")
		if err != nil {
			t.Fatal(err)
		}
		own := metrics.New()
		s, err := New(t.Context(), Config{Log: shardlog.NewMemory(), Blobs: blobs, Own: own})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{Service: s, t: t}
		stream := own.Stream(caller.Account, caller.Region, "orders")
		stream.PutRecord.Success.Success(true)
		stream.PutRecord.Success.Success(false)
		stream.Shard("shardId-000000000000").OutgoingBytes.Add(700)
		time.Sleep(2 * time.Minute)
		minute := time.Now().Truncate(time.Minute).Add(-2 * time.Minute).Unix()
		b.want("ListMetrics", `{"Namespace": "AWS/Kinesis"}`, `{"Metrics":[`+
			`{"Namespace":"AWS/Kinesis","MetricName":"OutgoingBytes","Dimensions":[{"Name":"ShardId","Value":"shardId-000000000000"},{"Name":"StreamName","Value":"orders"}]},`+
			`{"Namespace":"AWS/Kinesis","MetricName":"PutRecord.Success","Dimensions":[{"Name":"StreamName","Value":"orders"}]}]}`)
		b.want("GetMetricStatistics", fmt.Sprintf(`{"Namespace": "AWS/Kinesis", "MetricName": "PutRecord.Success", "Dimensions": [{"Name": "StreamName", "Value": "orders"}],
			"StartTime": %d, "EndTime": %d, "Period": 60, "Statistics": ["Average", "SampleCount", "Minimum", "Maximum"]}`, minute-600, minute+600),
			fmt.Sprintf(`{"Label":"PutRecord.Success","Datapoints":[{"Timestamp":%d,"SampleCount":2,"Average":0.5,"Minimum":0,"Maximum":1,"Unit":"Count"}]}`, minute))
		s.Close()
	})
}

// TestOwnLimit: rheo's own metrics take no more than half of the series; those that
// are there go on.
func TestOwnLimit(t *testing.T) {
	b := newBench(t, func(c *Config) { c.SeriesMax = 8 })
	own := metrics.New()
	count := func(streams int) error {
		for i := range streams {
			own.Stream(caller.Account, caller.Region, fmt.Sprint("s", i)).IncomingBytes.Add(1)
		}
		return b.putOwn(t.Context(), own, begin)
	}
	if err := count(3); err != nil {
		t.Error(err)
	}
	if err := count(6); err != nil {
		t.Errorf("those that there are: %v", err)
	}
	out := b.do("GetMetricData", fmt.Sprintf(`{"StartTime": %d, "EndTime": %d, "MetricDataQueries": [
		{"Id": "a", "MetricStat": {"Metric": {"Namespace": "AWS/Kinesis", "MetricName": "IncomingBytes", "Dimensions": [{"Name": "StreamName", "Value": "s0"}]}, "Period": 60, "Stat": "Sum"}},
		{"Id": "b", "MetricStat": {"Metric": {"Namespace": "AWS/Kinesis", "MetricName": "IncomingBytes", "Dimensions": [{"Name": "StreamName", "Value": "s5"}]}, "Period": 60, "Stat": "Sum"}}]}`, begin.Unix()-60, begin.Unix()+60))
	if !strings.Contains(out, `"Values":[2]`) || !strings.Contains(out, `"Values":[]`) {
		t.Error(out)
	}
	for i := range 5 {
		b.want("PutMetricData", putInput("app", fmt.Sprint("m", i), `"Value": 1`), "{}")
	}
	b.want("PutMetricData", putInput("app", "m5", `"Value": 1`), "LimitExceededException")
}

// scarce is a Memory of one goroutine.
type scarce struct{ left, least int64 }

func (r *scarce) Reserve(n int64) bool {
	if n > r.left {
		return false
	}
	r.left -= n
	r.least = min(r.least, r.left)
	return true
}

func (r *scarce) Release(n int64) { r.left += n }

// TestAnswersAreBounded: a read that there is no memory for is refused, and gives
// back what it had.
func TestAnswersAreBounded(t *testing.T) {
	memory := &scarce{left: 1 << 20, least: 1 << 20}
	b := newBench(t, func(c *Config) { c.Answers = memory })
	for i := range 30 {
		var data []string
		for j := range 500 {
			data = append(data, fmt.Sprintf(`{"MetricName": "m", "Value": 1, "Timestamp": %d}`, begin.Unix()-60*int64(500*i+j)))
		}
		b.want("PutMetricData", `{"Namespace": "app", "MetricData": [`+strings.Join(data, ", ")+`]}`, "{}")
	}
	query := func(minutes int) string {
		return fmt.Sprintf(`{"StartTime": %d, "EndTime": %d, "MetricDataQueries": [{"Id": "a", "MetricStat": {"Metric": {"Namespace": "app", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}}]}`,
			begin.Unix()-60*int64(minutes), begin.Unix()+60)
	}
	if out := b.do("GetMetricData", query(100)); !strings.HasPrefix(out, "{") {
		t.Error(out)
	}
	b.want("GetMetricData", query(15_000), "ThrottlingException: Rate exceeded: the server is answering as many bytes as it may.")
	if memory.left != 1<<20 || memory.least == 1<<20 {
		t.Errorf("%d bytes are left when nobody holds any, the least were %d", memory.left, memory.least)
	}
}
