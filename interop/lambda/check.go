package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/rheostream/rheo/interop/contents"
)

const poison = "poison"

// An invocation is what a function told of one: what it handled, in order.
type invocation struct {
	at      time.Time // the server took it
	Request string
	Handled []record
	Failed  string
}

type record struct{ Seq, Key, Data string }

// An outage is when the server was away: from when it was asked to end, or killed, until
// it was healthy again.
type outage struct{ from, to time.Time }

// A report is what a function did with the stream.
type report struct {
	invocations, handled int
	again                []int // records handled again, after each outage
	faults               []string
}

const faultsMost = 20

func (r *report) fault(format string, args ...any) {
	if len(r.faults) < faultsMost {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

// check compares what a function handled with what is in the stream. Of each key it is
// to handle every record but the poison, one right behind the other; it may go back
// only over an outage, by no more than most records of all keys together for each; and
// nothing is left out.
func check(shards []contents.Shard, invocations []invocation, outages []outage, most int) *report {
	r := &report{invocations: len(invocations), again: make([]int, len(outages))}
	type place struct {
		key   string
		index int
	}
	good := map[string][]contents.Record{}
	for _, s := range shards {
		for _, rec := range s.Records {
			if rec.Data != poison {
				good[rec.Key] = append(good[rec.Key], rec)
			}
		}
	}
	places := map[string]place{}
	for key, records := range good {
		slices.SortFunc(records, func(a, b contents.Record) int { return a.Compare(b.Position) })
		for i, rec := range records {
			places[rec.Sequence] = place{key, i}
		}
	}
	type progress struct {
		index int // of the record handled last
		at    time.Time
	}
	newest, highest := map[string]progress{}, map[string]int{}
	for _, inv := range invocations {
		for _, rec := range inv.Handled {
			p, ok := places[rec.Seq]
			if want := good[p.key]; !ok || rec.Key != p.key || rec.Data != want[p.index].Data {
				r.fault("was given %q of key %s at %s, which is not there", rec.Data, rec.Key, rec.Seq)
				continue
			}
			r.handled++
			last, begun := newest[p.key]
			newest[p.key] = progress{p.index, inv.at}
			if !begun {
				last.index = -1
			}
			if p.index > last.index+1 {
				r.fault("key %s: %d (%s) came after %d", p.key, p.index, rec.Seq, last.index)
			}
			if p.index <= last.index {
				over := slices.IndexFunc(outages, func(o outage) bool { return !last.at.After(o.to) && !inv.at.Before(o.from) })
				if over < 0 {
					r.fault("key %s: %d (%s) came again after %d, and the server was not away in between", p.key, p.index, rec.Seq, last.index)
				}
			}
			if done, ok := highest[p.key]; ok && p.index <= done {
				for i, o := range slices.Backward(outages) {
					if !inv.at.Before(o.from) {
						r.again[i]++
						break
					}
				}
				continue
			}
			highest[p.key] = p.index
		}
	}
	for i, n := range r.again {
		if n > most {
			r.fault("after outage %d, %d records came again, %d were under way at most", i+1, n, most)
		}
	}
	for key, records := range good {
		if done, begun := highest[key]; !begun || done < len(records)-1 {
			r.fault("key %s: %d of %d records were handled (%v)", key, done+1, len(records), begun)
		}
	}
	return r
}
