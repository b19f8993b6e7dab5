package logs

import (
	"fmt"
	"testing"
	"time"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// benchGroup fills a group with 64 MiB of JSON lines in eight streams.
func benchGroup(b *testing.B) (*bench, int64) {
	s := newBench(b, nil)
	s.must("CreateLogGroup", `{"logGroupName": "g"}`)
	total := int64(0)
	for i := range 8 {
		s.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "s%d"}`, i)
	}
	for i := 0; total < 64<<20; i++ {
		lines := make([]string, 500)
		for j := range lines {
			lines[j] = fmt.Sprintf(`{"level": "info", "ms": %d, "path": "/some/path/%d", "agent": "a client of some kind", "user": {"id": %d, "name": "somebody"}}`, j%500, i, j)
			total += int64(len(lines[j]))
		}
		s.clock.advance(time.Second)
		s.putLines("g", fmt.Sprint("s", i%8), lines...)
	}
	return s, total
}

// BenchmarkFilter searches 64 MiB for what is not there.
func BenchmarkFilter(b *testing.B) {
	s, total := benchGroup(b)
	for name, pattern := range map[string]string{"term": "nothing", "regex": "%noth[aeiou]ng%", "json": "{ $.ms > 500 }", "fields": "[a=nothing, ...]"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(total)
			for b.Loop() {
				if n := len(s.all(api.FilterLogEventsInput{LogGroupName: new("g"), FilterPattern: &pattern})); n != 0 {
					b.Fatal(n)
				}
			}
		})
	}
}

// BenchmarkPages reads 64 MiB by pages of 1 MiB.
func BenchmarkPages(b *testing.B) {
	s, total := benchGroup(b)
	b.SetBytes(total)
	for b.Loop() {
		s.all(api.FilterLogEventsInput{LogGroupName: new("g")})
	}
}
