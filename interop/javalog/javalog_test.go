package javalog

import (
	"slices"
	"strings"
	"testing"
)

const log = `OpenJDK 64-Bit Server VM warning: something
12:00:00.000 INFO a.B - started
12:00:00.001 WARN a.B - cannot renew lease 7
java.lang.IllegalStateException: x
	at a.B.run(B.java:1)
12:00:00.002 ERROR a.C$Inner - gone
12:00:00.003 WARN a.C - cannot renew lease 7
`

func TestRead(t *testing.T) {
	got, err := Read(strings.NewReader(log))
	want := []Entry{
		{Message: "OpenJDK 64-Bit Server VM warning: something"},
		{"INFO", "a.B", "started"},
		{"WARN", "a.B", "cannot renew lease 7\njava.lang.IllegalStateException: x\n\tat a.B.run(B.java:1)"},
		{"ERROR", "a.C$Inner", "gone"},
		{"WARN", "a.C", "cannot renew lease 7"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}

func TestUnexpected(t *testing.T) {
	entries, err := Read(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		list, client string
		want         []string // loggers
	}{
		{"", "kcl3", []string{"a.B", "a.C$Inner", "a.C"}},
		{"kcl3 WARN a.B: ^cannot renew lease \\d+$\n  because", "kcl3", []string{"a.C$Inner", "a.C"}},
		{"kcl3 WARN a.B: ^cannot renew lease \\d+$\n  because", "kcl2", []string{"a.B", "a.C$Inner", "a.C"}},
		{"kcl2,kcl3 ERROR a.C$Inner: gone\n  because", "kcl3", []string{"a.B", "a.C"}},
		{"kcl3 ERROR a.B: cannot\n  because", "kcl3", []string{"a.B", "a.C$Inner", "a.C"}},
		{"kcl3 WARN a.B: ^cannot .*\\n.*IllegalStateException: x\n  by its exception", "kcl3", []string{"a.C$Inner", "a.C"}},
		{"kcl3 WARN a.B: ^cannot .*IllegalStateException: y\n  by another", "kcl3", []string{"a.B", "a.C$Inner", "a.C"}},
	}
	for _, test := range tests {
		list, err := ParseList(test.list)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range list.Unexpected(test.client, entries) {
			got = append(got, e.Logger)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q for %s leaves %q, want %q", test.list, test.client, got, test.want)
		}
	}
}

func TestParseList(t *testing.T) {
	list, err := ParseList("# comment\n\nkcl3,kcl2 WARN a.B: x: y\n    one\n\ttwo\n\n")
	if err != nil || len(list) != 1 || list[0].Reason != "one two" || list[0].Message.String() != "(?m)x: y" || !slices.Equal(list[0].Clients, []string{"kcl3", "kcl2"}) {
		t.Errorf("got %+v, %v", list, err)
	}
	for _, bad := range []string{
		"kcl3 WARN a.B: no reason",
		"  a reason for nothing",
		"kcl3 INFO a.B: of no interest\n  because",
		"kcl3 WARN a.B\n  because",
		"kcl3 WARN a.B: [\n  because",
		"kcl3 WARN some words: x\n  because",
	} {
		if list, err := ParseList(bad); err == nil {
			t.Errorf("%q gave %+v", bad, list)
		}
	}
}
