package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rheostream/rheo/interop/contents"
)

// Two shards: p with records 1 to 4 of keys x and y, and its child c with 5 and 6.
// Sequence 3 of p is an aggregate with a stray record, which consumers drop.
func twoShards() []contents.Shard {
	rec := func(sequence string, sub int, key string, dropped bool) contents.Record {
		return contents.Record{Position: contents.Position{Sequence: sequence, Sub: sub}, Key: key, Data: key + "/" + sequence, Dropped: dropped}
	}
	return []contents.Shard{
		{ID: "p", Records: []contents.Record{rec("1", 0, "x", false), rec("2", 0, "y", false), rec("2", 1, "x", false), rec("3", 0, "x", true), rec("3", 1, "z", true), rec("4", 0, "x", false)}},
		{ID: "c", Parents: []string{"p"}, Records: []contents.Record{rec("5", 0, "x", false), rec("6", 0, "y", false)}},
	}
}

// events are written "worker session kind arguments", a step of time apart. A record is written without
// its data.
func parse(t *testing.T, script string) (events []event) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(script), "\n") {
		worker, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if words := strings.Fields(rest); words[1] == "record" {
			rest += " " + words[4] + "/" + words[2]
		}
		e, err := parseEvent(worker, fmt.Sprint(i, " ", rest))
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

const undisturbed = `
	a 1 start p
	a 1 record 1 0 x
	a 1 record 2 0 y
	a 1 record 2 1 x
	a 1 checkpoint 2 1
	a 1 record 4 0 x
	a 1 ended
	a 2 start c
	a 2 record 5 0 x
	a 2 record 6 0 y
	a 2 stopping`

func TestCheck(t *testing.T) {
	tests := []struct {
		name, script string
		repeated     int
		fault        string // in the first fault; "" for none
	}{
		{"undisturbed", undisturbed, 0, ""},
		{"dropped records may be given", strings.Replace(undisturbed, "a 1 record 4", "a 1 record 3 0 x\n a 1 record 3 1 z\n a 1 record 4", 1), 0, ""},
		{"another worker goes on at the checkpoint", `
			a 1 start p
			a 1 record 1 0 x
			a 1 checkpoint 1 0
			a 1 record 2 0 y
			b 1 start p
			b 1 record 2 0 y
			b 1 record 2 1 x
			b 1 record 4 0 x
			b 1 ended
			b 2 start c
			b 2 record 5 0 x
			b 2 record 6 0 y`, 1, ""},
		{"a zombie is given records meanwhile", `
			a 1 start p
			a 1 record 1 0 x
			b 1 start p
			b 1 record 1 0 x
			a 1 record 2 0 y
			b 1 record 2 0 y
			b 1 record 2 1 x
			a 1 lost
			b 1 record 4 0 x
			b 1 ended
			b 2 start c
			b 2 record 5 0 x
			b 2 record 6 0 y`, 2, ""},
		{"never delivered", strings.Replace(undisturbed, "a 2 record 6 0 y\n", "", 1), 0, "never delivered: c 6/0"},
		{"left out", strings.Replace(undisturbed, "a 1 record 2 0 y\n", "", 1), 0, "record 2 of p right after record 0"},
		{"twice in a session", strings.Replace(undisturbed, "a 1 record 2 1 x", "a 1 record 2 1 x\n a 1 record 2 1 x", 1), 1, "record 2 of p after record 2"},
		{"before the checkpoint", `
			a 1 start p
			a 1 record 1 0 x
			a 1 record 2 0 y
			a 1 checkpoint 2 0
			b 1 start p
			b 1 record 2 0 y`, 1, "began p at record 1, but 1 was checkpointed"},
		{"behind what was delivered", `
			a 1 start p
			a 1 record 1 0 x
			b 1 start p
			b 1 record 2 1 x`, 0, "began p at record 2, but only 1 were delivered"},
		{"child before its parent's end", `
			a 1 start p
			a 1 record 1 0 x
			b 1 start c
			b 1 record 5 0 x`, 0, "before its parent p"},
		{"ended too early", `
			a 1 start p
			a 1 record 1 0 x
			a 1 ended`, 0, "p ended with 1 of 6"},
		{"after its end", strings.Replace(undisturbed, "a 2 start c", "a 1 record 4 0 x\n a 2 start c", 1), 1, "after the session was over"},
		{"of another shard", strings.Replace(undisturbed, "a 1 record 4 0 x", "a 1 record 5 0 x", 1), 0, "where nothing is"},
		{"another key", strings.Replace(undisturbed, "a 1 record 2 0 y", "a 1 record 2 0 z", 1), 0, "was given as"},
		{"without a start", "a 1 record 1 0 x", 0, "has not started"},
		{"of no shard", "a 1 start q", 0, "which is no shard"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := check(twoShards(), parse(t, test.script))
			if r.repeated != test.repeated {
				t.Errorf("%d records repeated, want %d", r.repeated, test.repeated)
			}
			switch {
			case test.fault == "" && len(r.faults) > 0:
				t.Errorf("faults: %q", r.faults)
			case test.fault != "" && (len(r.faults) == 0 || !strings.Contains(r.faults[0], test.fault)):
				t.Errorf("faults are %q, want %q first", r.faults, test.fault)
			}
		})
	}
}

func TestCheckOrderOfKey(t *testing.T) {
	// Two children of different parents would have to be mixed up; here the shards are no kin.
	shards := twoShards()
	shards[1].Parents = nil
	r := check(shards, parse(t, `
		a 2 start c
		a 2 record 5 0 x
		a 2 record 6 0 y
		a 1 start p
		a 1 record 1 0 x
		a 1 record 2 0 y
		a 1 record 2 1 x
		a 1 record 4 0 x`))
	if len(r.faults) != 4 || !strings.Contains(r.faults[0], "of key x came after {5 0}") {
		t.Errorf("faults: %q", r.faults)
	}
}

func TestMissing(t *testing.T) {
	for _, test := range []struct {
		script string
		want   bool
	}{{undisturbed, false}, {strings.Replace(undisturbed, "a 1 record 1 0 x\n", "", 1), true}} {
		if got := missing(twoShards(), parse(t, test.script)); got != test.want {
			t.Errorf("missing is %t after %s", got, test.script)
		}
	}
}

func TestCheckPut(t *testing.T) {
	rec := func(sequence, key string, n int, dropped bool) contents.Record {
		return contents.Record{Position: contents.Position{Sequence: sequence}, Key: key, Data: data(key, n), Dropped: dropped}
	}
	tests := []struct {
		name    string
		records []contents.Record
		acked   map[string]int
		lost    int
		err     string
	}{
		{"all there", []contents.Record{rec("1", "sdk-0", 0, false), rec("2", "kpl-0", 1, false), rec("3", "kpl-0", 0, false), rec("4", "sdk-0", 1, false)},
			map[string]int{"sdk-0": 2, "kpl-0": 2}, 0, ""},
		{"sent again", []contents.Record{rec("1", "kpl-0", 0, true), rec("2", "kpl-0", 0, false)}, map[string]int{"kpl-0": 1}, 0, ""},
		{"dropped and not sent again", []contents.Record{rec("1", "kpl-0", 0, true)}, map[string]int{"kpl-0": 1}, 1, ""},
		{"lost", []contents.Record{rec("1", "kpl-0", 0, false)}, map[string]int{"kpl-0": 2}, 0, "record 1 of kpl-0 was acknowledged"},
		{"out of order", []contents.Record{rec("1", "sdk-0", 1, false), rec("2", "sdk-0", 0, false)}, map[string]int{"sdk-0": 2}, 0, "record 1 of sdk-0"},
		{"twice", []contents.Record{rec("1", "sdk-0", 0, false), rec("2", "sdk-0", 0, false)}, map[string]int{"sdk-0": 1}, 0, "record 0 of sdk-0"},
		{"foreign", []contents.Record{{Key: "sdk-0", Data: "hello"}}, nil, 0, "not what any producer put"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			lost, err := checkPut([]contents.Shard{{ID: "s", Records: test.records}}, test.acked)
			if lost != test.lost || (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
				t.Errorf("%d lost, %v", lost, err)
			}
		})
	}
}

func TestParseEvent(t *testing.T) {
	e, err := parseEvent("w", "17 s1 record 99 3 key some data")
	want := event{at: 17, worker: "w", session: "s1", kind: "record", pos: contents.Position{Sequence: "99", Sub: 3}, key: "key", data: "some data"}
	if err != nil || e != want {
		t.Errorf("got %+v, %v", e, err)
	}
	for _, bad := range []string{"", "17 s1", "x s1 lost", "17 s1 lost too", "17 s1 record 99 3 key", "17 s1 record 99 z key data", "17 s1 nothing"} {
		if e, err := parseEvent("w", bad); err == nil {
			t.Errorf("%q gave %+v", bad, e)
		}
	}
}

func TestTolerated(t *testing.T) {
	if list, err := parseTolerated(); err != nil {
		t.Errorf("%v, %v", list, err)
	}
}
