package cloudwatch

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
)

const (
	queriesMax    = 500
	datapointsMax = 100_800 // of an answer
)

// GetMetricData returns one statistic of each of many metrics. Its periods count
// from 1970, so that those of all queries meet; StartTime is rounded down to the
// begin of one. What does not fit into an answer comes with NextToken. Of a metric
// with data of several units, and no unit asked for, they are taken together.
// There are no expressions.
func (s *Service) GetMetricData(ctx context.Context, in *api.GetMetricDataInput) (*api.GetMetricDataOutput, error) {
	caller := rheo.CallerFrom(ctx)
	queries, err := s.dataQueries(caller, in)
	if err != nil {
		return nil, err
	}
	limit := datapointsMax
	if in.MaxDatapoints != nil {
		limit = int(*in.MaxDatapoints)
	}
	if limit < 1 || limit > datapointsMax {
		return nil, validation("The value %d for parameter MaxDatapoints is invalid.", limit)
	}
	begin, err := parseDataToken(in.NextToken, queries)
	if err != nil {
		return nil, err
	}
	r := s.newReading(ctx)
	defer r.room.sent(ctx)
	out := &api.GetMetricDataOutput{MetricDataResults: []api.MetricDataResult{}, Messages: []api.MessageData{}}
	descending := in.ScanBy != api.ScanByTimestampAscending
	for i := begin.query; i < len(queries); i++ {
		q := &queries[i]
		if !q.wanted {
			continue
		}
		if limit == 0 {
			out.NextToken = new(dataToken{query: i}.encode(queries))
			break
		}
		got, err := r.together(&q.query)
		if err != nil {
			return nil, err
		}
		result := api.MetricDataResult{Id: q.in.Id, Label: q.in.Label, StatusCode: api.StatusCodeComplete,
			Timestamps: []time.Time{}, Values: []float64{}}
		if result.Label == nil {
			result.Label = q.in.MetricStat.Metric.MetricName
		}
		times := got.times()
		if descending {
			slices.Reverse(times)
		}
		for _, at := range times {
			if i == begin.query && begin.had(at, descending) {
				continue
			}
			v, ok := q.statistic.value(got[at])
			if !ok {
				continue
			}
			if limit == 0 {
				result.StatusCode = api.StatusCodePartialData
				last := result.Timestamps[len(result.Timestamps)-1].Unix()
				out.NextToken = new(dataToken{query: i, started: true, at: last}.encode(queries))
				break
			}
			if !r.room.take(64) {
				return nil, errNoRoom
			}
			limit--
			result.Timestamps = append(result.Timestamps, time.Unix(at, 0).UTC())
			result.Values = append(result.Values, v)
		}
		out.MetricDataResults = append(out.MetricDataResults, result)
		if out.NextToken != nil {
			break
		}
	}
	return out, nil
}

// A dataQuery is one of the queries of a call.
type dataQuery struct {
	query
	in        *api.MetricDataQuery
	statistic statistic
	wanted    bool // its data are returned
}

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// dataQueries reads the queries of a call.
func (s *Service) dataQueries(caller *rheo.Caller, in *api.GetMetricDataInput) ([]dataQuery, error) {
	switch {
	case len(in.MetricDataQueries) == 0:
		return nil, validation("The parameter MetricDataQueries is required.")
	case len(in.MetricDataQueries) > queriesMax:
		return nil, validation("The collection MetricDataQueries must not have a size greater than %d.", queriesMax)
	case !in.StartTime.Before(*in.EndTime):
		return nil, validation("The parameter StartTime must be less than the parameter EndTime.")
	}
	var wrong complaint
	seen, anyWanted := map[string]bool{}, false
	queries := make([]dataQuery, len(in.MetricDataQueries))
	for i := range queries {
		q := &queries[i]
		q.in = &in.MetricDataQueries[i]
		name := fmt.Sprintf("MetricDataQueries.member.%d", i+1)
		if !queryID.MatchString(*q.in.Id) {
			wrong.add(validation("The value %s for parameter %s.Id is invalid.", clip(*q.in.Id), name))
		}
		if seen[*q.in.Id] {
			wrong.add(validation("The values for parameter id in MetricDataQueries are not unique."))
		}
		seen[*q.in.Id] = true
		q.wanted = q.in.ReturnData == nil || *q.in.ReturnData
		anyWanted = anyWanted || q.wanted
		if err := s.readQuery(q, caller, in, name); err != nil {
			wrong.add(err)
		}
	}
	if !anyWanted {
		wrong.add(validation("At least one element of MetricDataQueries must return data."))
	}
	return queries, wrong.err()
}

// readQuery reads one query.
func (s *Service) readQuery(q *dataQuery, caller *rheo.Caller, in *api.GetMetricDataInput, name string) *rheo.Error {
	stat := q.in.MetricStat
	switch {
	case q.in.Expression != nil && stat != nil:
		return validation("The parameters %[1]s.Expression and %[1]s.MetricStat are mutually exclusive and you have specified both.", name)
	case q.in.Expression != nil:
		return unsupported(name + ".Expression: metric math, SEARCH and SQL are")
	case stat == nil:
		return validation("Each MetricDataQuery must specify Expression or MetricStat.")
	case q.in.Period != nil:
		return validation("The parameters %[1]s.Period and %[1]s.MetricStat are mutually exclusive and you have specified both.", name)
	case q.in.AccountId != nil && *q.in.AccountId != caller.Account:
		return unsupported(name + ".AccountId: metrics of other accounts are")
	case stat.Metric.Namespace == nil || stat.Metric.MetricName == nil:
		return validation("The parameters %[1]s.MetricStat.Metric.Namespace and %[1]s.MetricStat.Metric.MetricName are required.", name)
	case !validPeriod(*stat.Period) || int64(*stat.Period) > periodMax:
		return validation("The parameter %s.MetricStat.Period must be a value in the set [1, 5, 10, 20, 30] or a multiple of 60.", name)
	}
	var ok bool
	if q.statistic, ok = parseStatistic(*stat.Stat); !ok {
		return validation("The value %s for parameter %s.MetricStat.Stat is not supported.", clip(*stat.Stat), name)
	}
	var wrong complaint
	dimensions := dimensionsOf(stat.Metric.Dimensions, name+".MetricStat.Metric.Dimensions", &wrong)
	if wrong.code != "" {
		return validation("%s", wrong.lines[0])
	}
	q.query = query{
		key:    metricKey(tenantKey(caller.Account, caller.Region), *stat.Metric.Namespace, *stat.Metric.MetricName, dimensions),
		unit:   -1,
		period: int64(*stat.Period),
		spread: q.statistic.spread,
	}
	if stat.Unit != "" {
		q.unit = int(unitOf(stat.Unit))
	}
	q.from = down(startOf(*in.StartTime, s.now(), q.period), q.period)
	q.to = endOf(*in.EndTime)
	return nil
}

// together reads a query whose units are taken together.
func (r *reading) together(q *query) (periods, error) {
	byUnit, err := r.read(q)
	if err != nil {
		return nil, err
	}
	var all periods
	for unit := range units {
		got := byUnit[byte(unit)]
		if all == nil {
			all = got
			continue
		}
		for _, at := range got.times() {
			if s, ok := all[at]; ok {
				s.add(got[at])
			} else {
				all[at] = got[at]
			}
		}
	}
	return all, nil
}

// A dataToken says where the next page begins: with a query, behind a time of it.
type dataToken struct {
	query   int
	started bool
	at      int64
}

// had says that a page before had the datapoint of a time.
func (t dataToken) had(at int64, descending bool) bool {
	if descending {
		return t.started && at >= t.at
	}
	return t.started && at <= t.at
}

// encode makes a text of a token that is good for these queries only.
func (t dataToken) encode(queries []dataQuery) string {
	text := fmt.Sprintf("1 %x %d %t %d", fingerprint(queries), t.query, t.started, t.at)
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func parseDataToken(token *string, queries []dataQuery) (t dataToken, err error) {
	if token == nil {
		return t, nil
	}
	bad := rheo.Errorf(api.InvalidNextToken, "The value %s for parameter NextToken is invalid.", clip(*token))
	text, err := base64.RawURLEncoding.DecodeString(*token)
	if err != nil {
		return t, bad
	}
	var mark uint64
	if n, err := fmt.Sscanf(string(text), "1 %x %d %t %d", &mark, &t.query, &t.started, &t.at); err != nil || n != 4 ||
		mark != fingerprint(queries) || t.query < 0 || t.query >= len(queries) {
		return t, bad
	}
	return t, nil
}

// fingerprint tells calls apart that ask for different things. Times are not in
// it: those that are given relative to now change between pages.
func fingerprint(queries []dataQuery) uint64 {
	h := fnv.New64a()
	for i := range queries {
		q := &queries[i]
		fmt.Fprintf(h, "%q %q %d %d %s %t\n", *q.in.Id, q.key, q.unit, q.period, q.statistic.name, q.wanted)
	}
	return h.Sum64()
}
