package cloudwatch

import (
	"cmp"
	"slices"
	"strings"

	api "github.com/rheostream/rheo/internal/api/cloudwatch"
)

// A metric's key is how it is found and sorted: its account and region, namespace,
// name, and dimensions in the order of their names. None of the texts has control
// characters. A series's key is its metric's and then its unit.
//
//	account/region 00 namespace 00 name 00 (dimension 01 value 02)... 03 unit
const (
	keyPart  = "\x00"
	keyValue = "\x01"
	keyNext  = "\x02"
	keyUnit  = "\x03"
)

type dimension struct{ name, value string }

func tenantKey(account, region string) string { return account + "/" + region + keyPart }

func sortDimensions(dimensions []dimension) {
	slices.SortFunc(dimensions, func(a, b dimension) int { return strings.Compare(a.name, b.name) })
}

// metricKey is the key of a metric; dimensions are in the order of their names.
func metricKey(tenant, namespace, name string, dimensions []dimension) string {
	var b strings.Builder
	b.WriteString(tenant + namespace + keyPart + name + keyPart)
	for _, d := range dimensions {
		b.WriteString(d.name + keyValue + d.value + keyNext)
	}
	return b.String()
}

// parseKey takes the key of a metric or series apart, behind its tenant.
func parseKey(key string) (namespace, name string, dimensions []dimension) {
	_, rest, _ := strings.Cut(key, keyPart)
	namespace, rest, _ = strings.Cut(rest, keyPart)
	name, rest, _ = strings.Cut(rest, keyPart)
	rest, _, _ = strings.Cut(rest, keyUnit)
	for rest != "" {
		var pair string
		pair, rest, _ = strings.Cut(rest, keyNext)
		name, value, _ := strings.Cut(pair, keyValue)
		dimensions = append(dimensions, dimension{name, value})
	}
	return namespace, name, dimensions
}

// isKey says whether a text, which may be anything, can be the key of a series behind
// its tenant.
func isKey(text string) bool {
	n := len(text) - 2
	if n < 0 || text[n:n+1] != keyUnit || int(text[n+1]) >= len(units) {
		return false
	}
	parts := strings.Split(text[:n], keyPart)
	return len(parts) == 3 && parts[0] != "" && parts[1] != "" && !strings.Contains(text[:n], keyUnit) &&
		(parts[2] == "" || strings.HasSuffix(parts[2], keyNext))
}

// A unit is a byte in keys and in commands, its place in
// this list. Units are only ever added, at the end.
var units = [...]api.StandardUnit{
	"None", "Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes",
	"Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count",
	"Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second",
	"Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second",
}

// unitOf is a unit's byte; that of None if there is no unit.
func unitOf(u api.StandardUnit) byte { return byte(max(slices.Index(units[:], u), 0)) }

// A tier is a resolution in which data are kept for a time.
type tier struct {
	width int64 // seconds of a bucket
	span  int64 // seconds of a partition, that of a segment
	keep  int64 // seconds after which a partition goes to the next tier
}

const (
	hour = 60 * 60
	day  = 24 * hour
)

// tiers are the resolutions. Each partition is within one of the next tier, and
// each bucket within one bucket of it.
var tiers = [...]tier{
	{1, hour, 3 * hour},
	{60, day, 15 * day},
	{300, 7 * day, 63 * day},
	{hour, 35 * day, 455 * day},
}

const (
	highResolution = 0 // tier of data that were put in high resolution
	standard       = 1 // of all others
)

// down rounds seconds down to a multiple of n, before 1970 too.
func down(at, n int64) int64 {
	r := at % n
	if r < 0 {
		r += n
	}
	return at - r
}

// floorsAt is how far back each tier reaches at a time: what is older is the next one's.
func floorsAt(now int64) (floors [len(tiers)]int64) {
	for i, t := range tiers {
		floors[i] = down(now-t.keep, t.span)
	}
	return floors
}

// A point is the summary of a bucket, which begins at a time in seconds since 1970.
type point struct {
	at int64
	summary
}

// pointCost is what a point takes in memory beside its values.
const pointCost = 96

// addPoint adds samples to the bucket at a time, in a list in order of time. It
// returns the list and by how much it takes more memory.
func addPoint(points []point, at int64, s *summary) ([]point, int64) {
	i, found := len(points), false
	if i > 0 && points[i-1].at >= at { // most are newer than all before
		i, found = slices.BinarySearchFunc(points, at, func(p point, at int64) int { return cmp.Compare(p.at, at) })
	}
	if !found {
		return slices.Insert(points, i, point{at, *s}), pointCost + s.cost()
	}
	before := points[i].cost()
	points[i].add(s)
	return points, points[i].cost() - before
}
