package cloudwatch

import (
	"math"
	"slices"
)

// A summary is what is kept of the samples of one period. Samples may count for
// more or less than one.
type summary struct {
	count, sum, min, max float64
	// values are the samples by value, as many as valuesMax of them; nil if all
	// are min, which is max then, or if they are opaque.
	values []value
	opaque bool // how the samples are distributed is not known: there are no percentiles
}

// A value is a sample that came n times.
type value struct{ v, n float64 }

// valuesMax is how many different values a summary tells apart. Of more, those
// within 1 % of each other count as one; if that is not enough within 2 %, and so on:
// 4 % for values that are four powers of ten apart.
const valuesMax = 256

// single is the summary of n samples of one value.
func single(v, n float64) summary { return summary{count: n, sum: v * n, min: v, max: v} }

// isSingle says that all samples are one value.
func (s *summary) isSingle() bool { return s.values == nil && !s.opaque }

// of is the summary of samples that are values, each of which came a number of times.
func of(values []value) summary {
	slices.SortFunc(values, func(a, b value) int {
		switch {
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	var s summary
	merged := values[:0:0]
	for _, x := range values {
		if x.n == 0 {
			continue
		}
		s.count += x.n
		s.sum += x.v * x.n
		if last := len(merged) - 1; last >= 0 && merged[last].v == x.v {
			merged[last].n += x.n
		} else {
			merged = append(merged, x)
		}
	}
	if len(merged) == 0 {
		return summary{}
	}
	s.min, s.max = merged[0].v, merged[len(merged)-1].v
	if len(merged) > 1 {
		s.values = fewer(merged)
	}
	return s
}

// add adds the samples of o. What s and o share of values is never changed: those
// who have a copy of either keep what they have.
func (s *summary) add(o *summary) {
	switch {
	case o.count == 0:
		return
	case s.count == 0:
		*s = *o
		return
	case s.opaque || o.opaque:
		s.opaque, s.values = true, nil
	case s.isSingle() && o.isSingle() && s.min == o.min:
		s.count += o.count
		s.sum = s.min * s.count
		return
	default:
		s.values = fewer(merge(s.list(), o.list()))
	}
	s.count += o.count
	s.sum += o.sum
	s.min, s.max = min(s.min, o.min), max(s.max, o.max)
}

func (s *summary) list() []value {
	if s.isSingle() {
		return []value{{s.min, s.count}}
	}
	return s.values
}

// merge makes one list of two, in order.
func merge(a, b []value) []value {
	all := make([]value, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].v < b[0].v:
			all, a = append(all, a[0]), a[1:]
		case a[0].v > b[0].v:
			all, b = append(all, b[0]), b[1:]
		default:
			all = append(all, value{a[0].v, a[0].n + b[0].n})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// fewer returns values, or as many as are kept of them. It changes them.
func fewer(values []value) []value {
	for width := 0.01; len(values) > valuesMax; width *= 2 {
		step := math.Log1p(width)
		kept := values[:0]
		for _, x := range values {
			x.v = onGrid(x.v, step)
			if last := len(kept) - 1; last >= 0 && kept[last].v == x.v {
				kept[last].n += x.n
			} else {
				kept = append(kept, x)
			}
		}
		values = kept
	}
	return values
}

// onGrid is the power of e^step that is nearest to v. It keeps the order of values,
// and leaves one that is on the grid where it is.
func onGrid(v, step float64) float64 {
	if v == 0 {
		return 0
	}
	return math.Copysign(math.Exp(math.Round(math.Log(math.Abs(v))/step)*step), v)
}

// percentile is the value below or at which p percent of the samples are. There
// is none if they are opaque or one of them is negative.
func (s *summary) percentile(p float64) (float64, bool) {
	if s.count == 0 || s.opaque || s.min < 0 {
		return 0, false
	}
	rank, seen := p/100*s.count, 0.0
	for _, x := range s.list() {
		if seen += x.n; seen >= rank-1e-9*s.count {
			return min(max(x.v, s.min), s.max), true
		}
	}
	return s.max, true
}

// below is the summary of the lowest p percent of the samples.
func (s *summary) below(p float64) (summary, bool) {
	if s.count == 0 || s.opaque || s.min < 0 {
		return summary{}, false
	}
	left := p / 100 * s.count
	var kept []value
	for _, x := range s.list() {
		n := min(x.n, left)
		if n <= 0 {
			break
		}
		kept = append(kept, value{min(max(x.v, s.min), s.max), n})
		left -= n
	}
	return of(kept), len(kept) > 0
}

// winsorized is the mean of the samples if those above the p-th percentile had its value.
func (s *summary) winsorized(p float64) (float64, bool) {
	top, ok := s.percentile(p)
	if !ok {
		return 0, false
	}
	sum := 0.0
	for _, x := range s.list() {
		sum += min(max(x.v, s.min), top) * x.n
	}
	return sum / s.count, true
}

// valueCost is what one of the values takes in memory.
const valueCost = 16

// cost is what the summary takes in memory beside itself.
func (s *summary) cost() int64 { return int64(len(s.values)) * valueCost }
