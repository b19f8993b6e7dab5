package cloudwatch

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
)

// TestModel compares the service with a list of all samples that were ever put,
// while time passes, data go into segments and age, the store of blobs fails now
// and then, and the service is opened anew.
func TestModel(t *testing.T) {
	rounds := 3
	if s := os.Getenv("CLOUDWATCH_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := &model{bench: newBench(t, nil), rnd: rand.New(rand.NewPCG(uint64(seed), 1))}
			for range 150 {
				m.step()
			}
			m.blobs.fail = nil
			if err := m.flush(); err != nil {
				t.Error(err)
			}
			m.check()
			m.restart()
			m.check()
		})
	}
}

type model struct {
	*bench
	rnd *rand.Rand
	all [5][]put1 // by metric
}

// A put1 is a summary that was put.
type put1 struct {
	at int64
	summary
}

func (m *model) step() {
	switch n := m.rnd.IntN(20); {
	case n < 10:
		m.put()
	case n < 13:
		m.clock.advance(time.Duration(m.rnd.Int64N(int64(2 * time.Hour))))
	case n < 14:
		m.clock.advance(time.Duration(m.rnd.Int64N(int64(9 * 24 * time.Hour))))
	case n < 16:
		if err := m.flush(); err != nil && m.blobs.fail == nil {
			m.t.Error(err)
		}
	case n < 17:
		m.restart()
	case n < 18:
		m.blobs.fail = nil
		if m.rnd.IntN(2) == 0 {
			m.blobs.fail = func(string) (bool, error) {
				if m.rnd.IntN(3) > 0 {
					return false, nil
				}
				return m.rnd.IntN(2) == 0, errFlaky
			}
		}
	default:
		m.check()
	}
}

// put puts up to twenty data of random metrics, times and forms.
func (m *model) put() {
	in := &api.PutMetricDataInput{Namespace: new("app")}
	for range 1 + m.rnd.IntN(20) {
		metric := m.rnd.IntN(len(m.all))
		at := m.clock.Wall().Add(-time.Duration(m.rnd.Int64N(int64(time.Hour))))
		if m.rnd.IntN(10) == 0 {
			at = m.clock.Wall().Add(-time.Duration(m.rnd.Int64N(int64(backMax))))
		}
		d := api.MetricDatum{MetricName: new(fmt.Sprint("m", metric)), Timestamp: &at}
		if m.rnd.IntN(2) == 0 {
			d.StorageResolution = new(int32(1))
		}
		if m.rnd.IntN(3) == 0 {
			d.Unit = "Count"
		}
		p := put1{at: at.Unix()}
		value := func() float64 { return float64(m.rnd.IntN(8)) }
		switch m.rnd.IntN(3) {
		case 0:
			d.Value = new(value())
			p.summary = single(*d.Value, 1)
		case 1:
			for range 1 + m.rnd.IntN(4) {
				v, n := value(), float64(1+m.rnd.IntN(5))
				d.Values, d.Counts = append(d.Values, v), append(d.Counts, n)
				one := single(v, n)
				p.summary.add(&one)
			}
		case 2:
			low := value()
			p.summary = summary{count: 3, sum: 3*low + 4, min: low, max: low + 3, opaque: true}
			d.StatisticValues = &api.StatisticSet{SampleCount: new(3.0), Sum: &p.sum, Minimum: &low, Maximum: new(low + 3)}
		}
		in.MetricData = append(in.MetricData, d)
		m.all[metric] = append(m.all[metric], p)
	}
	if _, err := m.PutMetricData(rheo.WithCaller(m.t.Context(), caller), in); err != nil {
		m.t.Fatal(err)
	}
}

// check compares all metrics, in hours: in those all data are there as long as any.
func (m *model) check() {
	m.t.Helper()
	now := m.clock.Wall()
	stats := []string{"SampleCount", "Sum", "Minimum", "Maximum", "p50"}
	for metric := range m.all {
		want := periods{}
		for i := range m.all[metric] {
			p := &m.all[metric][i]
			at := down(p.at, hour)
			if want[at] == nil {
				want[at] = new(summary)
			}
			want[at].add(&p.summary)
		}
		in := &api.GetMetricDataInput{StartTime: new(now.Add(-400 * 24 * time.Hour)), EndTime: new(now.Add(time.Hour)), MaxDatapoints: new(int32(100 + m.rnd.IntN(2000)))}
		for _, st := range stats {
			in.MetricDataQueries = append(in.MetricDataQueries, api.MetricDataQuery{Id: new("q" + st), MetricStat: &api.MetricStat{
				Metric: &api.Metric{Namespace: new("app"), MetricName: new(fmt.Sprint("m", metric))}, Period: new(int32(hour)), Stat: new(st)}})
		}
		if m.rnd.IntN(2) == 0 {
			in.ScanBy = api.ScanByTimestampAscending
		}
		got := map[string]map[int64]float64{}
		for pages := 0; ; pages++ {
			out, err := m.GetMetricData(rheo.WithCaller(m.t.Context(), caller), in)
			if err != nil || pages > 10_000 {
				m.t.Fatal(pages, err)
			}
			for _, r := range out.MetricDataResults {
				if got[*r.Id] == nil {
					got[*r.Id] = map[int64]float64{}
				}
				for i, at := range r.Timestamps {
					if _, twice := got[*r.Id][at.Unix()]; twice {
						m.t.Fatalf("%s of %v came twice", *r.Id, at)
					}
					got[*r.Id][at.Unix()] = r.Values[i]
				}
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		for _, st := range stats {
			parsed, _ := parseStatistic(st)
			n := 0
			for at, s := range want {
				v, ok := parsed.value(s)
				if !ok {
					continue
				}
				n++
				if have, there := got["q"+st][at]; !there || math.Abs(have-v) > 1e-6*math.Abs(v) {
					m.t.Fatalf("metric %d, %s at %v is %v (there: %t), want %v", metric, st, time.Unix(at, 0).UTC(), have, there, v)
				}
			}
			if len(got["q"+st]) != n {
				m.t.Fatalf("metric %d has %d datapoints of %s, want %d", metric, len(got["q"+st]), st, n)
			}
		}
	}
}
