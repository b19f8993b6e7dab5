package lambda_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda"
)

// TestMappingStates: a mapping is Creating, then Enabled; each change has a state of
// its own, in which nothing else can be changed; in the end it is gone.
func TestMappingStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFunctions(t, func(c *lambda.Config) { c.Transition = 10 * time.Second })
		fs.create("f", "")
		const root = "/2015-03-31/event-source-mappings"
		made := fs.must("POST", root, `{"FunctionName":"f","EventSourceArn":"arn:aws:kinesis:us-east-1:`+account+`:stream/s","StartingPosition":"LATEST"}`)
		path := root + "/" + member(made.body, "UUID")
		state := func() string { return member(fs.do("GET", path, "").body, "State") }
		for _, tt := range []struct{ method, body, begun, settled string }{
			{"", "", "Creating", "Enabled"},
			{"PUT", `{"BatchSize":5}`, "Updating", "Enabled"},
			{"PUT", `{"Enabled":false}`, "Disabling", "Disabled"},
			{"PUT", `{"BatchSize":6}`, "Updating", "Disabled"},
			{"PUT", `{"Enabled":true}`, "Enabling", "Enabled"},
			{"DELETE", "", "Deleting", ""},
		} {
			if tt.method != "" {
				if a := fs.must(tt.method, path, tt.body); member(a.body, "State") != tt.begun || a.status != 202 {
					t.Errorf("%s %s: %d %s", tt.method, tt.body, a.status, a.body)
				}
			}
			if got := state(); got != tt.begun {
				t.Errorf("%s %s: then %s, want %s", tt.method, tt.body, got, tt.begun)
			}
			if a := fs.do("PUT", path, `{"BatchSize":7}`); a.status != 400 || !strings.Contains(a.body, "Cannot update the event source mapping because it is in use.") {
				t.Errorf("%s: a change in between: %d %s", tt.begun, a.status, a.body)
			}
			time.Sleep(11 * time.Second)
			synctest.Wait()
			if got := state(); got != tt.settled {
				t.Errorf("%s %s: at last %q, want %q", tt.method, tt.body, got, tt.settled)
			}
			if tt.begun == "Disabling" {
				fs.restart() // what is not enabled is not started
			}
		}
		if a := fs.do("GET", path, ""); a.status != 404 {
			t.Errorf("after it was deleted: %d %s", a.status, a.body)
		}
		// Its place is free again.
		fs.must("POST", root, `{"FunctionName":"f","EventSourceArn":"arn:aws:kinesis:us-east-1:`+account+`:stream/s","StartingPosition":"LATEST"}`)
	})
}
