package lambda_test

import (
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/companion/lambda"
)

// BenchmarkInvoke is what an invocation of 1 KB costs beside the function and the
// connection: from the request to the runner and back.
func BenchmarkInvoke(b *testing.B) {
	r := &scripted{}
	fs := newFunctions(b, func(c *lambda.Config) { c.Runner = r })
	fs.create("f", `,"Environment":{"Variables":{"ONE":"1","TWO":"2"}}`)
	payload := `"` + strings.Repeat("x", 1022) + `"`
	r.outcome = func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
		r.seen = r.seen[:0]
		return takes(f, in)
	}
	b.ReportAllocs()
	for b.Loop() {
		if a := fs.do("POST", "/2015-03-31/functions/f/invocations", payload); a.status != 200 {
			b.Fatal(a.body)
		}
	}
}

// BenchmarkAccept is an event of 1 KB until it is in a log in memory.
func BenchmarkAccept(b *testing.B) {
	fs := newFunctions(b, func(c *lambda.Config) { c.Runner = &scripted{outcome: takes} })
	fs.create("f", "")
	payload := `"` + strings.Repeat("x", 1022) + `"`
	b.ReportAllocs()
	for b.Loop() {
		if a := fs.do("POST", "/2015-03-31/functions/f/invocations", payload, "X-Amz-Invocation-Type", "Event"); a.status != 202 {
			b.Fatal(a.body)
		}
	}
}
