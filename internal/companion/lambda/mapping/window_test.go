package mapping_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// counting is a function that keeps in its state how many records it has seen of the window.
func counting(e *event) (mapping.Result, error) {
	var state struct{ N int }
	if err := json.Unmarshal(e.State, &state); err != nil {
		return mapping.Result{}, err
	}
	return success(fmt.Sprintf(`{"state":{"N":%d}}`, state.N+len(e.Records))), nil
}

// windows is what the events say: data, window's start and end (seconds), state, and F for final, E for terminated early.
func (r *rig) windows() (out []string) {
	for _, e := range r.events {
		start, _ := time.Parse(time.RFC3339, e.Window.Start)
		end, _ := time.Parse(time.RFC3339, e.Window.End)
		s := fmt.Sprintf("%s %d-%d %.20s", strings.Join(e.data(), ""), start.Unix()-946684800, end.Unix()-946684800, e.State)
		if e.IsFinalInvokeForWindow {
			s += " F"
		}
		if e.IsWindowTerminatedEarly {
			s += " E"
		}
		out = append(out, s)
	}
	return out
}

func (r *rig) wantWindows(want ...string) {
	r.t.Helper()
	if got := r.windows(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Errorf("events were\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// windowRig has windows of 30 s and batches of two.
func windowRig(t *testing.T) *rig {
	r := newRig(t, 1)
	r.cfg.TumblingWindow, r.cfg.BatchSize, r.cfg.ParallelizationFactor = 30*time.Second, 2, 10
	r.fn = counting
	return r
}

func TestTumblingWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := windowRig(t)
		r.put(one("abc")...)
		r.start()
		r.wait(25 * time.Second)
		r.put("d")
		time.Sleep(6 * time.Second) // 31 s: the next window
		r.put("e")
		r.wait(4 * time.Minute)
		r.put("f")
		r.wait(time.Minute)
		r.stop()
		r.wantWindows(
			"ab 0-30 {}", `c 0-30 {"N":2}`, `d 0-30 {"N":3}`, ` 0-30 {"N":4} F`,
			"e 30-60 {}", ` 30-60 {"N":1} F`,
			"f 270-300 {}", ` 270-300 {"N":1} F`,
		)
		raw := string(r.events[1].raw)
		_, after, _ := strings.Cut(raw, `],"`)
		want := `window":{"start":"2000-01-01T00:00:00Z","end":"2000-01-01T00:00:30Z"},"state":{"N":2},"shardId":"shardId-000000000000",` +
			`"eventSourceARN":"` + streamARN + `","isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}`
		if after != want {
			t.Errorf("after the records stands\n%s, want\n%s", after, want)
		}
		// The window's end is noticed within a few polls of it.
		if late := r.times[3].Sub(r.stream.created); late > 33*time.Second {
			t.Errorf("the last invocation of the window until 30 s came after %v", late)
		}
	})
}

// TestWindowEndsBatches: a batch does not wait beyond its tumbling window.
func TestWindowEndsBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := windowRig(t)
		r.cfg.BatchSize, r.cfg.BatchingWindow = 100, 5*time.Minute
		r.put("a")
		r.start()
		r.wait(20 * time.Second)
		r.put("b")
		r.wait(10 * time.Minute)
		r.stop()
		r.wantWindows("ab 0-30 {}", ` 0-30 {"N":2} F`)
		if late := r.times[0].Sub(r.stream.created); late != 30*time.Second {
			t.Errorf("the batch came after %v", late)
		}
	})
}

// TestWindowRestart: the state goes on where the checkpoint says.
func TestWindowRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := windowRig(t)
		r.put(one("abc")...)
		r.start()
		r.wait(5 * time.Second)
		r.stop()
		r.put("d")
		r.start()
		r.wait(5 * time.Second)
		r.stop()
		r.wait(time.Minute)
		r.start()
		r.wait(5 * time.Second)
		r.stop()
		r.wantWindows("ab 0-30 {}", `c 0-30 {"N":2}`, `d 0-30 {"N":3}`, ` 0-30 {"N":4} F`)
	})
}

// TestWindowFailures: an answer without a state is a failure, retried as any; a window's last invocation holds the shard
// until it succeeds.
func TestWindowFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := windowRig(t)
		r.cfg.MaximumRetryAttempts, r.cfg.OnFailureARN = 1, bucketARN
		r.fn = func(e *event) (mapping.Result, error) {
			if strings.Contains(strings.Join(e.data(), ""), "c") {
				return success(`{}`), nil
			}
			return counting(e)
		}
		seqs := r.put(one("abcde")...)
		r.start()
		r.wait(time.Minute)
		r.stop()
		r.wantWindows("ab 0-30 {}", `cd 0-30 {"N":2}`, `cd 0-30 {"N":2}`, `e 0-30 {"N":2}`, ` 0-30 {"N":3} F`)
		if len(r.failures) != 1 || r.failures[0].KinesisBatchInfo.StartSequenceNumber != seqs[2] {
			t.Errorf("%d failures", len(r.failures))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := windowRig(t)
		fails := 3
		r.fn = func(e *event) (mapping.Result, error) {
			if e.IsFinalInvokeForWindow {
				if fails--; fails >= 0 {
					return failure(), nil
				}
			}
			return counting(e)
		}
		r.put("a")
		r.start()
		r.wait(30 * time.Second)
		r.put("b")
		r.wait(20 * time.Second)
		r.stop()
		r.wantWindows("a 0-30 {}", ` 0-30 {"N":1} F`, ` 0-30 {"N":1} F`, ` 0-30 {"N":1} F`, ` 0-30 {"N":1} F`, "b 30-60 {}")
	})
}

// TestWindowPartialFailures: bisected parts hand the state on.
func TestWindowPartialFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := windowRig(t)
		r.cfg.BatchSize, r.cfg.ReportBatchItemFailures, r.cfg.BisectOnFunctionError, r.cfg.MaximumRetryAttempts = 4, true, true, 0
		r.fn = func(e *event) (mapping.Result, error) {
			var state struct{ N int }
			if err := json.Unmarshal(e.State, &state); err != nil {
				return mapping.Result{}, err
			}
			for i, d := range e.data() {
				if d == "c" {
					return success(fmt.Sprintf(`{"state":{"N":%d},"batchItemFailures":[{"itemIdentifier":%q}]}`, state.N+i, e.Records[i].Kinesis.SequenceNumber)), nil
				}
			}
			return counting(e)
		}
		r.put(one("abcd")...)
		r.start()
		r.wait(time.Minute)
		r.stop()
		r.wantWindows("abcd 0-30 {}", `cd 0-30 {"N":2}`, `c 0-30 {"N":2}`, `d 0-30 {"N":2}`, ` 0-30 {"N":3} F`)
	})
}

// TestWindowStateTooLarge: the window ends early, with that state, and the rest of it begins anew. Only then is
// anything of it done.
func TestWindowStateTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := windowRig(t)
		large := `{"L":"` + strings.Repeat("x", 1<<20) + `"}`
		r.fn = func(e *event) (mapping.Result, error) {
			time.Sleep(time.Second)
			if d := e.data(); len(d) > 0 && d[0] == "a" {
				return success(`{"state":` + large + `}`), nil
			}
			return counting(e)
		}
		r.put(one("abc")...)
		r.start()
		r.wait(1500 * time.Millisecond)
		if c := r.checkpoint("shardId-000000000000"); c.Done != "" {
			t.Errorf("checkpoint %.100v before the window was ended", c)
		}
		r.wait(time.Minute)
		r.stop()
		r.wantWindows("ab 0-30 {}", ` 0-30 {"L":"xxxxxxxxxxxxxx F E`, "c 0-30 {}", ` 0-30 {"N":1} F`)
		if string(r.events[1].State) != large {
			t.Errorf("the last invocation has a state of %d bytes", len(r.events[1].State))
		}
	})
}

// TestWindowShardEnds: the window ends with the shard; its children begin with none.
func TestWindowShardEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := windowRig(t)
		r.put(one("ab")...)
		r.start()
		r.wait(5 * time.Second)
		r.stream.split("shardId-000000000000")
		r.put("c")
		r.wait(time.Minute)
		r.stop()
		r.wantWindows("ab 0-30 {}", ` 0-30 {"N":2} F E`, "c 0-30 {}", ` 0-30 {"N":1} F`)
	})
}

// TestWindowModel: over random batches, failures, splits and restarts every record is counted in exactly one
// window's last state, and that is its own.
func TestWindowModel(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			r := windowRig(t)
			r.cfg.BatchSize = 1 + rng.IntN(20)
			r.cfg.TumblingWindow = time.Duration(1+rng.IntN(20)) * time.Second
			r.cfg.BatchingWindow = time.Duration(rng.IntN(3)) * time.Second
			r.cfg.BisectOnFunctionError = rng.IntN(2) == 0
			counted := map[string]int{}
			r.fn = func(e *event) (mapping.Result, error) {
				r.mu.Lock()
				luck, pause := rng.IntN(10), time.Duration(rng.IntN(500))*time.Millisecond
				r.mu.Unlock()
				time.Sleep(pause)
				if luck == 0 {
					return failure(), nil
				}
				r.mu.Lock()
				defer r.mu.Unlock()
				state := map[string]int{}
				if err := json.Unmarshal(e.State, &state); err != nil {
					return mapping.Result{}, err
				}
				for _, d := range e.data() {
					state[d]++
				}
				if e.IsFinalInvokeForWindow {
					for d, n := range state {
						counted[d] += n
						if at := d[strings.Index(d, "@")+1:]; at < e.Window.Start || at >= e.Window.End {
							t.Errorf("%s was counted in the window %s to %s", d, e.Window.Start, e.Window.End)
						}
					}
				}
				out, err := json.Marshal(map[string]any{"state": state})
				return success(string(out)), err
			}
			r.start()
			n := 0
			for range 60 {
				r.mu.Lock()
				what, pause := rng.IntN(12), time.Duration(rng.IntN(2500))*time.Millisecond
				r.mu.Unlock()
				switch what {
				case 0:
					if open := r.stream.open(); len(open) < 4 {
						r.stream.split(open[0])
					}
				case 1:
					r.stop()
					r.start()
				default:
					for range what {
						n++
						r.stream.put(fmt.Sprint("key", n%7), fmt.Sprintf("%d@%s", n, time.Now().UTC().Format(time.RFC3339)))
					}
				}
				r.wait(pause)
			}
			r.wait(10 * time.Minute)
			r.stop()
			for d, times := range counted {
				if times != 1 {
					t.Errorf("seed %d: %s was counted %d times", seed, d, times)
				}
			}
			if len(counted) != n {
				t.Errorf("seed %d: %d of %d records were counted", seed, len(counted), n)
			}
		})
	}
}
