package cloudwatch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// wideInput puts 150 different values, which take 25 times what a single one does.
func wideInput(namespace, name string) string {
	var values []string
	for i := range 150 {
		values = append(values, fmt.Sprint(i))
	}
	return putInput(namespace, name, `"Values": [`+strings.Join(values, ", ")+`]`)
}

// fatInput puts one sample of a metric whose key is of 30 KB.
func fatInput(namespace, name string) string {
	var dimensions []string
	for i := range 30 {
		dimensions = append(dimensions, fmt.Sprintf(`{"Name": "d%d", "Value": %q}`, i, strings.Repeat("v", 1000)))
	}
	return putInput(namespace, name, `"Value": 1, "Dimensions": [`+strings.Join(dimensions, ", ")+`]`)
}

// fill puts what input makes until it is refused with an error, and returns how many were taken.
func (b *bench) fill(caller *rheo.Caller, input func(name string) string, want string) int {
	b.t.Helper()
	for n := range 2000 {
		got := b.doAs(caller, "PutMetricData", input(fmt.Sprint("m", n)))
		if got == "{}" {
			continue
		}
		if !strings.HasPrefix(got, want) {
			b.t.Fatalf("put %d: %s, want %s", n, got, want)
		}
		return n
	}
	b.t.Fatal("all were taken")
	return 0
}

// TestMemoryOfValues: what data take with all their values is what has them flushed:
// after they were refused for want of memory, and after a start with a full memory.
// Rheo's own metrics have some room meanwhile.
func TestMemoryOfValues(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MemoryBytes = 1 << 20 })
	own := metrics.New()
	for round := range 3 {
		b.fill(caller, func(name string) string { return wideInput("app", name) }, "ThrottlingException: Rate exceeded: the memory for metrics is used up")
		for i := range 10 {
			own.Stream(caller.Account, caller.Region, fmt.Sprint("s", i)).IncomingBytes.Add(1)
		}
		if err := b.putOwn(t.Context(), own, begin); err != nil {
			t.Error(err)
		}
		b.restart()
		b.want("PutMetricData", wideInput("app", fmt.Sprint("new", round)), "ThrottlingException")
		b.clock.advance(time.Minute)
		if err := b.keeper.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.want("PutMetricData", wideInput("app", fmt.Sprint("new", round)), "{}")
	}
}

// TestFlushAtOnce: a start with a full memory, and a put that is refused for want of
// memory, have data flushed without waiting for the next minute.
func TestFlushAtOnce(t *testing.T) {
	wide := func(name string) string { return wideInput("app", name) }
	const full = "ThrottlingException: Rate exceeded: the memory for metrics is used up"
	for _, early := range []bool{true, false} { // before a put is refused for it
		t.Run(fmt.Sprint(early), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blobs, err := blob.OpenDir(vfs.NewCrash(0), "blobs")
				if err != nil {
					t.Fatal(err)
				}
				b := &bench{t: t, cfg: Config{Log: shardlog.NewMemory(), Blobs: blobs, MemoryBytes: 1 << 20}}
				b.start() // without the keeper's loop
				refused := fmt.Sprint("m", b.fill(caller, wide, full))
				b.Close()

				if b.Service, err = open(t.Context(), b.cfg); err != nil {
					t.Fatal(err)
				}
				if !early {
					b.keeper.memoryFlush = b.cfg.MemoryBytes
				}
				begun, loop := time.Now(), b.apply()
				b.work.Go(func() { b.keeper.loop(loop, b.machine.log.Progress()) })
				defer b.Close()
				synctest.Wait()
				if !early {
					b.want("PutMetricData", wide(refused), full)
					synctest.Wait()
				}
				b.want("PutMetricData", wide(refused), "{}")
				if d := time.Since(begun); d != 0 {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// TestStartFlushes: what a start has from the log does not wait for another hour, so
// that starting again and again does not have the log grow.
func TestStartFlushes(t *testing.T) {
	b := newBench(t, nil)
	for range 3 {
		b.want("PutMetricData", putInput("app", "m", `"Value": 1`), "{}")
		b.clock.advance(50 * time.Minute)
		b.restart()
		if err := b.keeper.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b.store.fresh != 0 {
			t.Errorf("%d bytes are in the log alone", b.store.fresh)
		}
	}
	if n := b.count("app", "m"); n != 3 {
		t.Errorf("%v samples", n)
	}
}

// TestMemoryOfSeries: series take no more than half of the memory, however long their
// dimensions are, and idle ones make room.
func TestMemoryOfSeries(t *testing.T) {
	const memory = 1 << 20
	b := newBench(t, func(c *Config) { c.MemoryBytes = memory })
	others := []*rheo.Caller{caller, {Account: "210987654321", Region: "us-east-1"}}
	fat := func(name string) string { return fatInput("app", name) }
	taken := 0
	for _, who := range others {
		taken += b.fill(who, fat, "LimitExceededException: There are ")
	}
	if have := b.store.shareOf(scope{}); have.bytes > memory/2 || have.bytes < memory/3 || have.series != int64(taken) {
		t.Errorf("%+v, %d were taken", have, taken)
	}
	b.want("PutMetricData", fat("m0"), "{}") // one that there is
	for n := range 100 {
		b.want("PutMetricData", putInput("app", "m", fmt.Sprintf(`"Value": 1, "Timestamp": %d`, begin.Unix()-60*int64(n))), "{}")
	}

	// With a smaller memory series take more than their half; data have theirs all the same.
	b.cfg.MemoryBytes = memory / 4
	b.restart()
	if err := b.keeper.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want("PutMetricData", wideInput("app", "m"), "{}")
	b.want("PutMetricData", putInput("app", "new", `"Value": 1`), "LimitExceededException")
	b.cfg.MemoryBytes = memory
	b.restart()

	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(idleFor + 2*time.Minute)
	before := b.store.shareOf(scope{})
	var data []string
	for n := range 500 {
		data = append(data, fmt.Sprintf(`{"MetricName": "many%d", "Value": 1}`, n))
	}
	b.want("PutMetricData", `{"Namespace": "app", "MetricData": [`+strings.Join(data, ", ")+`]}`, "LimitExceededException: ")
	if have := b.store.shareOf(scope{}); have != before {
		t.Errorf("%+v, and %+v after a put that could never fit", before, have)
	}
	for n := range 5 {
		b.want("PutMetricData", fat(fmt.Sprint("new", n)), "{}")
	}
	if have := b.store.shareOf(scope{}); have.bytes > memory/2 {
		t.Errorf("%+v after others were forgotten", have)
	}
}

// TestShares: neither one account nor all of them, nor rheo's own metrics, take
// the room of the others.
func TestShares(t *testing.T) {
	b := newBench(t, func(c *Config) { c.SeriesMax = 16 })
	app := func(name string) string { return putInput("app", name, `"Value": 1`) }
	if n := b.fill(caller, app, "LimitExceededException: There are 12 metrics of the account of at most 12: no room for 1 more"); n != 12 {
		t.Errorf("one account has %d", n)
	}
	b.want("PutMetricData", app("m3"), "{}")
	elsewhere := &rheo.Caller{Account: caller.Account, Region: "eu-west-1"}
	if n := b.fill(elsewhere, app, "LimitExceededException"); n != 0 {
		t.Errorf("in another region it has %d more", n)
	}
	other := &rheo.Caller{Account: "210987654321", Region: "us-east-1"}
	if n := b.fill(other, app, "LimitExceededException: There are 14 metrics that are not rheo's own of at most 14"); n != 2 {
		t.Errorf("another account has %d", n)
	}
	own := metrics.New()
	for i := range 2 {
		own.Stream(caller.Account, caller.Region, fmt.Sprint("s", i)).IncomingBytes.Add(1)
	}
	if err := b.putOwn(t.Context(), own, begin); err != nil {
		t.Error(err)
	}
	if have := b.store.shareOf(scope{}); have.series != 16 {
		t.Errorf("%+v", have)
	}

	// An account that has all that it may have does not have others' idle ones forgotten.
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(idleFor - time.Hour)
	for n := range 12 {
		b.want("PutMetricData", app(fmt.Sprint("m", n)), "{}")
	}
	b.clock.advance(2 * time.Hour)
	b.want("PutMetricData", app("m12"), "LimitExceededException")
	if have := b.store.shareOf(scope{}); have.series != 16 {
		t.Errorf("%+v: another one's were forgotten", have)
	}
	if got := b.doAs(other, "PutMetricData", app("new")); got != "{}" {
		t.Error(got)
	}
	if own := b.store.shareOf(scope{kind: ownSeries}); own.series != 2 {
		t.Errorf("%+v: rheo's own were forgotten", own)
	}
}

// TestTooMuch: what could never fit is not told to try again.
func TestTooMuch(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MemoryBytes = 64 << 10 })
	var data []string
	for i := range 400 {
		data = append(data, fmt.Sprintf(`{"MetricName": "m", "Value": 1, "Timestamp": %d}`, begin.Unix()-60*int64(i)))
	}
	b.want("PutMetricData", `{"Namespace": "app", "MetricData": [`+strings.Join(data, ", ")+`]}`, "RequestEntityTooLarge: The data of the request take more memory")
}

// TestFullDisk: data are refused with an error of PutMetricData's own that SDKs
// retry, and are taken as soon as there is space; reads go on.
func TestFullDisk(t *testing.T) {
	log := new(fullLog)
	b := newBench(t, func(c *Config) { log.Log = c.Log; c.Log = log })
	b.want("PutMetricData", putInput("app", "m", `"Value": 1`), "{}")
	log.full = true
	_, err := b.PutMetricData(rheo.WithCaller(t.Context(), caller), &api.PutMetricDataInput{Namespace: new("app"),
		MetricData: []api.MetricDatum{{MetricName: new("m"), Value: new(1.0)}}})
	var e *rheo.Error
	if !errors.As(err, &e) || e.Code != api.InternalServiceFault || e.Status != 500 || api.Service.Op("PutMetricData").ErrorShape(e.Code) == nil {
		t.Errorf("%+v", err)
	}
	if n := b.count("app", "m"); n != 1 {
		t.Errorf("%v samples", n)
	}
	log.full = false
	b.want("PutMetricData", putInput("app", "m", `"Value": 1`), "{}")
	if n := b.count("app", "m"); n != 2 {
		t.Errorf("%v samples once there is space", n)
	}
}
