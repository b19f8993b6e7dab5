package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/interop/contents"
)

// TestCheck: shard 0 was split into 1 and 2; records of key a are 1, 2, 5, of key b 3, 6,
// and 4 is poison. An invocation is its second and what it handled; the server was away
// from 10 to 12.
func TestCheck(t *testing.T) {
	record := func(seq int, key, data string) contents.Record {
		return contents.Record{Position: contents.Position{Sequence: fmt.Sprint(seq)}, Key: key, Data: data}
	}
	shards := []contents.Shard{
		{ID: "0", Records: []contents.Record{record(1, "a", "d1"), record(2, "a", "d2"), record(3, "b", "d3"), record(4, "a", poison)}},
		{ID: "1", Parents: []string{"0"}, Records: []contents.Record{record(5, "a", "d5")}},
		{ID: "2", Parents: []string{"0"}, Records: []contents.Record{record(6, "b", "d6")}},
	}
	key := map[string]string{"1": "a", "2": "a", "3": "b", "4": "a", "5": "a", "6": "b"}
	second := func(n int) time.Time { return time.Unix(int64(n), 0) }
	for _, test := range []struct{ name, told, want string }{
		{"each once", "1 1 2 3; 2 5; 3 6", ""},
		{"a failed invocation in between", "1 1 2 3; 2; 3 5; 3 6", ""},
		{"again over an outage", "9 1 2 3; 13 1 2 3 5; 13 6", ""},
		{"again, without an outage", "1 1 2; 2 1 2 3; 3 5; 3 6", "key a: 0 (1) came again after 1"},
		{"again, long after the outage", "9 1 2; 13 3 5; 14 6; 15 5", "key a: 2 (5) came again after 2"},
		{"more again than was under way", "9 1 2 3 5 6; 13 1 2 3 5 6", "after outage 1, 5 records came again, 3 were under way at most"},
		{"one left out", "1 1 3; 2 5; 3 6", "key a: 2 (5) came after 0"},
		{"the end is missing", "1 1 2 3; 2 5", "key b: 1 of 2 records were handled"},
		{"nothing of a key", "1 1 2 5", "key b: 1 of 2 records were handled (false)"},
		{"out of order", "1 2 1 3; 2 5; 3 6", "key a: 1 (2) came after -1"},
		{"a child before its parent", "1 1 2; 1 6; 2 3; 3 5", "key b: 1 (6) came after -1"},
		{"poison handled", "1 1 2 3 4; 2 5; 3 6", `was given "d4" of key a at 4, which is not there`},
		{"other bytes", "1 1 2 3x; 2 5; 3 6", `was given "d3x" of key b at 3`},
	} {
		var told []invocation
		for one := range strings.SplitSeq(test.told, ";") {
			var inv invocation
			for i, word := range strings.Fields(one) {
				if i == 0 {
					var n int
					fmt.Sscan(word, &n)
					inv.at = second(n)
					continue
				}
				seq := word[:1]
				inv.Handled = append(inv.Handled, struct{ Seq, Key, Data string }{seq, key[seq], "d" + word})
			}
			told = append(told, inv)
		}
		r := check(shards, told, []outage{{second(10), second(12)}}, 3)
		got := strings.Join(r.faults, "\n")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: faults are\n%s\nwant %q", test.name, got, test.want)
		}
	}
}
