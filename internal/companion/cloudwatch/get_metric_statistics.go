package cloudwatch

import (
	"context"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
)

// statisticsMax is how many datapoints a GetMetricStatistics may ask for.
const statisticsMax = 1440

// GetMetricStatistics returns statistics of one metric. Its periods count from
// StartTime, which is rounded down: to a minute, for data older than 15 days to
// five, than 63 days to an hour. Data of different units are datapoints of their
// own, unless one is asked for. Those of a unit come in order of their time.
func (s *Service) GetMetricStatistics(ctx context.Context, in *api.GetMetricStatisticsInput) (*api.GetMetricStatisticsOutput, error) {
	caller := rheo.CallerFrom(ctx)
	var wrong complaint
	if len(in.Statistics)+len(in.ExtendedStatistics) == 0 {
		wrong.add(missing("At least one of the parameters Statistics or ExtendedStatistics must be specified."))
	}
	if !validPeriod(*in.Period) || int64(*in.Period) > periodMax {
		wrong.add(invalid("The parameter Period must be a value in the set [1, 5, 10, 20, 30] or a multiple of 60."))
	}
	if !in.StartTime.Before(*in.EndTime) {
		wrong.add(invalid("The parameter StartTime must be less than the parameter EndTime."))
	}
	var plain, extended []statistic
	for _, name := range in.Statistics {
		st, _ := parseStatistic(string(name)) // the model has said which there are
		plain = append(plain, st)
	}
	for _, name := range in.ExtendedStatistics {
		st, ok := parseStatistic(name)
		if !ok || !st.spread {
			wrong.add(invalid("The value %s for parameter ExtendedStatistics is invalid. (rheo serves percentages: p99.9, tm99, wm99, tc99, ts99.)", clip(name)))
		}
		extended = append(extended, st)
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	q := &query{unit: -1, period: int64(*in.Period), spread: len(extended) > 0}
	q.from, q.to = startOf(*in.StartTime, s.now(), q.period), endOf(*in.EndTime)
	if n := (q.to - q.from) / q.period; n > statisticsMax {
		return nil, combination("You have requested up to %s datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", thousands(n))
	}
	dimensions := dimensionsOf(in.Dimensions, "Dimensions", &wrong)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	q.key = metricKey(tenantKey(caller.Account, caller.Region), *in.Namespace, *in.MetricName, dimensions)
	if in.Unit != "" {
		q.unit = int(unitOf(in.Unit))
	}
	r := s.newReading(ctx)
	defer r.room.sent(ctx)
	byUnit, err := r.read(q)
	if err != nil {
		return nil, err
	}
	out := &api.GetMetricStatisticsOutput{Label: in.MetricName, Datapoints: []api.Datapoint{}}
	for unit := range units {
		got := byUnit[byte(unit)]
		for _, at := range got.times() {
			if !r.room.take(int64(200 + 64*len(extended))) {
				return nil, errNoRoom
			}
			out.Datapoints = append(out.Datapoints, datapoint(at, got[at], units[unit], plain, extended))
		}
	}
	return out, nil
}

func datapoint(at int64, s *summary, unit api.StandardUnit, plain, extended []statistic) api.Datapoint {
	d := api.Datapoint{Timestamp: new(time.Unix(at, 0).UTC()), Unit: unit}
	for i := range plain {
		v, _ := plain[i].value(s)
		switch plain[i].name {
		case "SampleCount":
			d.SampleCount = &v
		case "Average":
			d.Average = &v
		case "Sum":
			d.Sum = &v
		case "Minimum":
			d.Minimum = &v
		case "Maximum":
			d.Maximum = &v
		}
	}
	for i := range extended {
		if v, ok := extended[i].value(s); ok {
			if d.ExtendedStatistics == nil {
				d.ExtendedStatistics = map[string]float64{}
			}
			d.ExtendedStatistics[extended[i].name] = v
		}
	}
	return d
}
