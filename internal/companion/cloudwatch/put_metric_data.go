package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
	"github.com/rheostream/rheo/internal/shardlog"
)

const (
	dataMax     = 1000 // of a call
	valuesInMax = 150  // of a datum

	backMax  = 14 * 24 * time.Hour // how old data may be
	aheadMax = 2 * time.Hour       // and how much of the future
)

// sampleMax is 2^360, and least or most that a sample may be.
var sampleMax = math.Ldexp(1, 360)

// PutMetricData stores data: they are on disk, and can be read, when it answers.
// Of a call all data are stored or none. Entities are accepted, their data stored,
// and what they say of them is not kept.
func (s *Service) PutMetricData(ctx context.Context, in *api.PutMetricDataInput) (*api.PutMetricDataOutput, error) {
	caller := rheo.CallerFrom(ctx)
	if strings.HasPrefix(*in.Namespace, "AWS/") {
		return nil, invalid("The value AWS/ for parameter Namespace is invalid.")
	}
	if !printable(*in.Namespace) || strings.TrimSpace(*in.Namespace) == "" {
		return nil, invalid("The value %s for parameter Namespace is invalid.", clip(strconv.Quote(*in.Namespace)))
	}
	if len(in.EntityMetricData) > 2 {
		return nil, invalid("The collection EntityMetricData must not have a size greater than 2.")
	}
	number := len(in.MetricData)
	for i := range in.EntityMetricData {
		number += len(in.EntityMetricData[i].MetricData)
	}
	switch {
	case number == 0:
		return nil, missing("The parameter MetricData is required.")
	case number > dataMax:
		return nil, invalid("The collection MetricData must not have a size greater than %d.", dataMax)
	}
	p := &put{tenant: tenantKey(caller.Account, caller.Region), namespace: *in.Namespace}
	var wrong complaint
	now := s.now()
	for i := range in.MetricData {
		p.add(&in.MetricData[i], "MetricData.member."+strconv.Itoa(i+1), now, &wrong)
	}
	for j := range in.EntityMetricData {
		for i := range in.EntityMetricData[j].MetricData {
			p.add(&in.EntityMetricData[j].MetricData[i], fmt.Sprintf("EntityMetricData.member.%d.MetricData.member.%d", j+1, i+1), now, &wrong)
		}
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	if len(p.data) == 0 { // values that all came no time
		return &api.PutMetricDataOutput{}, nil
	}
	if err := s.put(ctx, p); err != nil {
		return nil, err
	}
	return &api.PutMetricDataOutput{}, nil
}

// put stores data if there is room for them.
func (s *Service) put(ctx context.Context, p *put) error {
	need, err := s.claim(p)
	if err != nil {
		return err
	}
	defer s.budget.release(need)
	err = s.machine.commit(ctx, p)
	switch {
	case errors.Is(err, errTooLarge):
		return tooLarge()
	case errors.Is(err, shardlog.ErrOverloaded):
		return throttled("Rate exceeded: the log cannot take more at the moment.")
	case errors.Is(err, shardlog.ErrNoSpace):
		return noSpace()
	}
	return err
}

// claim reserves what a put may come to need. Where it is short of series, idle ones
// are forgotten; where it is short of memory for data, those that are there go into
// segments, and the caller is to try again.
func (s *Service) claim(p *put) (*claim, error) {
	need := s.store.needs(p)
	if need.data > s.budget.dataMax(s.budget.memoryMax, need.own) {
		return nil, tooMuch()
	}
	for range scopeKinds { // each limit may be short once
		short := s.budget.reserve(s.store, need)
		switch {
		case short == nil:
			return need, nil
		case short.data:
			s.keeper.roomFor(short.level)
			return nil, throttled("Rate exceeded: the memory for metrics is used up until some have been written to disk.")
		case need.series.over(short.of.most) != (share{}) || !s.store.forgetIdle(short.of.scope, short.enough(), s.now()):
			return nil, short.err(need)
		}
	}
	return nil, throttled("Rate exceeded: others took the room for new metrics as soon as there was some.")
}

// add adds a datum, or says what is wrong with it. name is where it stands.
func (p *put) add(in *api.MetricDatum, name string, now time.Time, wrong *complaint) {
	d := datum{name: *in.MetricName, unit: unitOf(in.Unit), tier: standard, at: now.Unix()}
	if !printable(d.name) || strings.TrimSpace(d.name) == "" {
		wrong.add(invalid("The value %s for parameter %s.MetricName is invalid.", clip(strconv.Quote(d.name)), name))
	}
	if in.Timestamp != nil {
		if age := now.Sub(*in.Timestamp); age > backMax || age < -aheadMax {
			wrong.add(invalid("The parameter %s.Timestamp must specify a time within the past two weeks.", name))
		}
		d.at = in.Timestamp.Unix()
	}
	if r := in.StorageResolution; r != nil {
		switch *r {
		case 1:
			d.tier = highResolution
		case 60:
		default:
			wrong.add(invalid("The parameter %s.StorageResolution must be a value in the set [1, 60].", name))
		}
	}
	d.dimensions = dimensionsOf(in.Dimensions, name+".Dimensions", wrong)
	d.summary = summaryOf(in, name, wrong)
	if d.summary.count > 0 {
		p.data = append(p.data, d)
	}
}

// dimensionsOf reads the dimensions of a metric, and puts them in order.
func dimensionsOf(in []api.Dimension, name string, wrong *complaint) []dimension {
	list := make([]dimension, len(in))
	seen := map[string]bool{}
	for i, d := range in {
		list[i] = dimension{*d.Name, *d.Value}
		if !ascii(*d.Name) || strings.TrimSpace(*d.Name) == "" || (*d.Name)[0] == ':' {
			wrong.add(invalid("The value %s for parameter %s.member.%d.Name is invalid.", clip(strconv.Quote(*d.Name)), name, i+1))
		}
		if !ascii(*d.Value) || strings.TrimSpace(*d.Value) == "" {
			wrong.add(invalid("The value %s for parameter %s.member.%d.Value is invalid.", clip(strconv.Quote(*d.Value)), name, i+1))
		}
		if seen[*d.Name] {
			wrong.add(invalid("No Metric may specify the same dimension twice."))
		}
		seen[*d.Name] = true
	}
	sortDimensions(list)
	return list
}

// printable says that a text has no control characters, which keys are made with.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// summaryOf reads the samples of a datum: one, some with their counts, or their statistics.
func summaryOf(in *api.MetricDatum, name string, wrong *complaint) summary {
	both := func(a, b string) {
		wrong.add(combination("The parameters %[1]s.%[2]s and %[1]s.%[3]s are mutually exclusive and you have specified both.", name, a, b))
	}
	set := in.StatisticValues
	switch {
	case in.Value != nil && len(in.Values) > 0:
		both("Value", "Values")
	case in.Value != nil && set != nil:
		both("Value", "StatisticValues")
	case set != nil && len(in.Values) > 0:
		both("StatisticValues", "Values")
	case len(in.Counts) > 0 && len(in.Counts) != len(in.Values):
		wrong.add(invalid("The parameters %[1]s.Values and %[1]s.Counts must be of the same size.", name))
	case in.Value != nil:
		checkSample(*in.Value, name+".Value", wrong)
		return single(*in.Value, 1)
	case set != nil:
		return setSummary(set, name+".StatisticValues", wrong)
	case len(in.Values) > valuesInMax:
		wrong.add(invalid("The collection %s.Values must not have a size greater than %d.", name, valuesInMax))
	case len(in.Values) > 0:
		return valuesSummary(in, name, wrong)
	default:
		wrong.add(missing("At least one of the parameters %[1]s.Value or %[1]s.StatisticValues must be specified.", name))
	}
	return summary{}
}

func setSummary(set *api.StatisticSet, name string, wrong *complaint) summary {
	s := summary{count: *set.SampleCount, sum: *set.Sum, min: *set.Minimum, max: *set.Maximum}
	checkSample(s.count, name+".SampleCount", wrong)
	checkSample(s.sum, name+".Sum", wrong)
	checkSample(s.min, name+".Minimum", wrong)
	checkSample(s.max, name+".Maximum", wrong)
	switch {
	case s.max < s.min:
		wrong.add(invalid("The parameter %[1]s.Maximum must be greater than %[1]s.Minimum.", name))
	case s.count < 0:
		wrong.add(invalid("The parameter %s.SampleCount must be greater than 0.", name))
	case s.count == 0:
		wrong.add(invalid("The parameter %s.SampleCount must not equal 0.", name))
	}
	// CloudWatch has percentiles of a set only if it can tell all of its samples.
	s.opaque = s.min != s.max || s.sum != s.min*s.count
	return s
}

func valuesSummary(in *api.MetricDatum, name string, wrong *complaint) summary {
	values := make([]value, len(in.Values))
	for i, v := range in.Values {
		values[i] = value{v, 1}
		checkSample(v, fmt.Sprintf("%s.Values.member.%d", name, i+1), wrong)
		if len(in.Counts) > 0 {
			values[i].n = in.Counts[i]
			checkSample(in.Counts[i], fmt.Sprintf("%s.Counts.member.%d", name, i+1), wrong)
			if in.Counts[i] < 0 {
				wrong.add(invalid("The parameter %s.Counts.member.%d must be greater than or equal to 0.", name, i+1))
			}
		}
	}
	if wrong.code != "" {
		return summary{}
	}
	return of(values)
}

// checkSample refuses what is no number, or too large.
func checkSample(v float64, name string, wrong *complaint) {
	if math.Abs(v) <= sampleMax {
		return
	}
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if math.IsInf(v, 0) {
		text = strings.Replace(strings.TrimPrefix(text, "+"), "Inf", "Infinity", 1)
	}
	wrong.add(invalid("The value %s for parameter %s is invalid.", text, name))
}
