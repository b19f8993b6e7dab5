package lambda_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda"
)

// A scripted is a Runner that does what outcome says, and remembers when.
type scripted struct {
	outcome func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error)

	mu   sync.Mutex
	seen []made // mu
}

type made struct {
	at       time.Time
	function string
	request  string
	payload  string
}

func (r *scripted) Invoke(_ context.Context, f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
	r.mu.Lock()
	r.seen = append(r.seen, made{time.Now(), f.Name, in.RequestID, string(in.Payload)})
	r.mu.Unlock()
	return r.outcome(f, in)
}

func (r *scripted) Retire(arn, version string) {}

func (r *scripted) Isolation() string { return "Functions run in the test." }

func (r *scripted) all() []made {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]made(nil), r.seen...)
}

func fails(*lambda.Function, *lambda.Invocation) (*lambda.Result, error) {
	return &lambda.Result{FunctionError: "Unhandled", Payload: []byte(`{"errorMessage":"no"}`)}, nil
}

func takes(*lambda.Function, *lambda.Invocation) (*lambda.Result, error) {
	return &lambda.Result{Payload: []byte(`"taken"`)}, nil
}

func (fs *functions) event(name, payload string) {
	fs.t.Helper()
	if a := fs.do("POST", "/2015-03-31/functions/"+name+"/invocations", payload, "X-Amz-Invocation-Type", "Event"); a.status != 202 || a.body != "" {
		fs.t.Fatalf("event: %d %s", a.status, a.body)
	}
}

// TestEventRetries: an event that the function does not take is made again after
// one and after two minutes, under its own request id, and then given up: the
// function that is the destination is told.
func TestEventRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{outcome: func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
			if f.Name == "told" {
				return takes(f, in)
			}
			return fails(f, in)
		}}
		fs := newFunctions(t, func(c *lambda.Config) { c.Runner = r })
		fs.create("f", "")
		fs.create("told", "")
		fs.must("PUT", "/2019-09-25/functions/f/event-invoke-config", `{"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:lambda:us-east-1:`+account+`:function:told"}}}`)
		began := time.Now()
		fs.event("f", `{"n":1}`)
		time.Sleep(time.Hour)
		seen := r.all()
		if len(seen) != 4 {
			t.Fatalf("%d invocations: %v", len(seen), seen)
		}
		for i, after := range []time.Duration{0, time.Minute, 3 * time.Minute} {
			if d := seen[i].at.Sub(began).Round(time.Second); d != after || seen[i].request != seen[0].request || seen[i].payload != `{"n":1}` {
				t.Errorf("try %d after %v: %v", i, d, seen[i])
			}
		}
		var told struct {
			Version        string          `json:"version"`
			RequestPayload json.RawMessage `json:"requestPayload"`
			RequestContext struct {
				RequestID   string `json:"requestId"`
				FunctionARN string `json:"functionArn"`
				Condition   string `json:"condition"`
				Invokes     int    `json:"approximateInvokeCount"`
			} `json:"requestContext"`
			ResponsePayload json.RawMessage `json:"responsePayload"`
		}
		if err := json.Unmarshal([]byte(seen[3].payload), &told); err != nil {
			t.Fatal(err)
		}
		rc := told.RequestContext
		if rc.Condition != "RetriesExhausted" || rc.Invokes != 3 || rc.RequestID != seen[0].request || rc.FunctionARN != "arn:aws:lambda:us-east-1:"+account+":function:f:$LATEST" ||
			string(told.RequestPayload) != `{"n":1}` || string(told.ResponsePayload) != `{"errorMessage":"no"}` || seen[3].function != "told" {
			t.Errorf("told %s", seen[3].payload)
		}
	})
}

// TestEventsSurvive: what was accepted is made after a restart, a retry when it is
// due, and what was done is not made again.
func TestEventsSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{outcome: takes}
		fs := newFunctions(t, func(c *lambda.Config) { c.Runner = r })
		fs.create("f", "")
		fs.event("f", `"done"`)
		synctest.Wait()
		r.outcome = fails
		fs.event("f", `"later"`)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		r.outcome = takes
		fs.restart()
		time.Sleep(time.Hour)
		fs.restart()
		time.Sleep(time.Hour)
		var got []string
		for _, m := range r.all() {
			got = append(got, m.payload)
		}
		if want := `"done" "later" "later"`; strings.Join(got, " ") != want {
			t.Errorf("made %v, want %s", got, want)
		}
		seen := r.all()
		if d := seen[2].at.Sub(seen[1].at).Round(time.Second); d != time.Minute {
			t.Errorf("the retry came after %v", d)
		}
	})
}

// TestEventAge: an event whose next try would come too late is given up at once.
func TestEventAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{outcome: fails}
		fs := newFunctions(t, func(c *lambda.Config) { c.Runner = r })
		fs.create("f", "")
		fs.must("PUT", "/2019-09-25/functions/f/event-invoke-config", `{"MaximumEventAgeInSeconds":100}`)
		fs.event("f", `{}`)
		time.Sleep(time.Hour)
		if n := len(r.all()); n != 2 { // at once and after a minute; the third would be after three
			t.Errorf("%d invocations", n)
		}
	})
}

// TestEventsThrottled: a function that cannot be run is no failure of the
// function: the event waits, longer each time, until it can.
func TestEventsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := &scripted{}
		r.outcome = func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
			if time.Since(began) < 10*time.Minute {
				return nil, fmt.Errorf("busy: %w", lambda.ErrThrottled)
			}
			return takes(f, in)
		}
		fs := newFunctions(t, func(c *lambda.Config) { c.Runner = r })
		fs.create("f", "")
		fs.event("f", `{}`)
		time.Sleep(2 * time.Hour)
		seen := r.all()
		if n := len(seen); n < 8 || n > 14 || seen[n-1].at.Sub(began) < 10*time.Minute {
			t.Errorf("%d invocations, the last after %v", n, seen[n-1].at.Sub(began))
		}
	})
}

// TestEventsApart: a function that hangs holds up its own events only.
func TestEventsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := &scripted{outcome: func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
			if f.Name == "hangs" {
				<-release
			}
			return takes(f, in)
		}}
		fs := newFunctions(t, func(c *lambda.Config) { c.Runner = r })
		fs.create("hangs", "")
		fs.create("quick", "")
		for range 100 {
			fs.event("hangs", `{}`)
		}
		for range 20 {
			fs.event("quick", `{}`)
		}
		synctest.Wait()
		made := map[string]int{}
		for _, m := range r.all() {
			made[m.function]++
		}
		if made["hangs"] != 8 || made["quick"] != 20 {
			t.Errorf("made %v", made)
		}
		close(release)
		synctest.Wait()
		if n := len(r.all()); n != 120 {
			t.Errorf("%d invocations in the end", n)
		}
	})
}
