package cloudwatch

import (
	"strconv"
	"strings"
)

// A statistic is what is asked of a summary.
type statistic struct {
	name    string
	of      func(s *summary, p float64) (float64, bool)
	percent float64 // of those that end in a number
	spread  bool    // it needs to know how the samples are distributed
}

// statistics are those without a number, statisticsOf those that end in a
// percentage: p99, tm99.9.
var (
	statistics = map[string]statistic{
		"SampleCount": {of: func(s *summary, _ float64) (float64, bool) { return s.count, true }},
		"Sum":         {of: func(s *summary, _ float64) (float64, bool) { return s.sum, true }},
		"Average":     {of: func(s *summary, _ float64) (float64, bool) { return s.sum / s.count, true }},
		"Minimum":     {of: func(s *summary, _ float64) (float64, bool) { return s.min, true }},
		"Maximum":     {of: func(s *summary, _ float64) (float64, bool) { return s.max, true }},
	}
	statisticsOf = map[string]func(s *summary, p float64) (float64, bool){
		"p":  (*summary).percentile,
		"wm": (*summary).winsorized,
		"tm": func(s *summary, p float64) (float64, bool) {
			low, ok := s.below(p)
			return low.sum / low.count, ok
		},
		"ts": func(s *summary, p float64) (float64, bool) {
			low, ok := s.below(p)
			return low.sum, ok
		},
		"tc": func(s *summary, p float64) (float64, bool) {
			low, ok := s.below(p)
			return low.count, ok
		},
	}
)

// parseStatistic reads the name of a statistic. Names with a percentage may be in
// upper case too. Ranges (TM(10%:90%)), percentile ranks and IQM are not served.
func parseStatistic(name string) (statistic, bool) {
	if st, ok := statistics[name]; ok {
		st.name = name
		return st, true
	}
	digits := strings.IndexAny(name, "0123456789")
	if digits <= 0 {
		return statistic{}, false
	}
	of := statisticsOf[strings.ToLower(name[:digits])]
	number := name[digits:]
	whole, fraction, _ := strings.Cut(number, ".")
	if of == nil || strings.Trim(whole+fraction, "0123456789") != "" || len(whole) > 3 || len(fraction) > 10 {
		return statistic{}, false
	}
	p, err := strconv.ParseFloat(number, 64)
	if err != nil || p > 100 {
		return statistic{}, false
	}
	return statistic{name: name, of: of, percent: p, spread: true}, true
}

func (st *statistic) value(s *summary) (float64, bool) { return st.of(s, st.percent) }
