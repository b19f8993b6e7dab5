package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestCases: all that is asked can be read, and random expressions are the same ones
// every time.
func TestCases(t *testing.T) {
	if _, err := readDifferences(); err != nil {
		t.Error(err)
	}
	suites, err := readSuites(1, 1)
	if err != nil || len(suites) < 10 {
		t.Fatalf("%d suites, %v", len(suites), err)
	}
	for _, name := range []string{"expected", "attributes"} {
		lines, err := readLines("cases/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if !json.Valid([]byte(strings.TrimPrefix(strings.TrimPrefix(line, "OR "), "AND "))) {
				t.Errorf("%s: no JSON: %s", name, line)
			}
		}
	}
	f := &fixture{Values: object{":a": object{"S": "a"}, ":b": object{"N": "1"}}, Names: object{"#a": "a"}}
	a, b := newGenerator(1, f), newGenerator(1, f)
	for range 100 {
		for name, both := range map[string][2]string{"condition": {a.condition(), b.condition()}, "update": {a.update(), b.update()}} {
			if both[0] != both[1] {
				t.Fatalf("%s: %q and %q", name, both[0], both[1])
			}
		}
	}
}

// TestCompared: two answers are the same if they mean the same.
func TestCompared(t *testing.T) {
	for _, tt := range []struct {
		operation string
		a, b      reply
		words     bool
		same      bool
	}{
		{"GetItem", reply{200, []byte(`{"Item":{"a":{"SS":["x","y"]},"n":{"N":"1.50"}}}`)}, reply{200, []byte(`{"Item":{"n":{"N":"1.5"},"a":{"SS":["y","x"]}}}`)}, true, true},
		{"GetItem", reply{200, []byte(`{"Item":{"l":{"L":[{"N":"1"},{"N":"2"}]}}}`)}, reply{200, []byte(`{"Item":{"l":{"L":[{"N":"2"},{"N":"1"}]}}}`)}, true, false},
		{"Scan", reply{200, []byte(`{"Items":[{"a":{"S":"1"}},{"a":{"S":"2"}}]}`)}, reply{200, []byte(`{"Items":[{"a":{"S":"2"}},{"a":{"S":"1"}}]}`)}, true, true},
		{"Query", reply{200, []byte(`{"Items":[{"a":{"S":"1"}},{"a":{"S":"2"}}]}`)}, reply{200, []byte(`{"Items":[{"a":{"S":"2"}},{"a":{"S":"1"}}]}`)}, true, false},
		{"GetItem", reply{400, []byte(`{"__type":"x#ValidationException","message":"one"}`)}, reply{400, []byte(`{"__type":"y#ValidationException","Message":"two"}`)}, false, true},
		{"GetItem", reply{400, []byte(`{"__type":"x#ValidationException","message":"one"}`)}, reply{400, []byte(`{"__type":"y#ValidationException","Message":"two"}`)}, true, false},
		{"GetItem", reply{400, []byte(`{"__type":"x#ValidationException"}`)}, reply{400, []byte(`{"__type":"x#ResourceNotFoundException"}`)}, false, false},
		{"PutItem", reply{400, []byte(`{"__type":"x#C","Item":{"a":{"S":"1"}}}`)}, reply{400, []byte(`{"__type":"x#C"}`)}, false, false},
		{"DescribeTable", reply{200, []byte(`{"Table":{"TableId":"1","TableStatus":"ACTIVE"}}`)}, reply{200, []byte(`{"Table":{"TableId":"2","TableStatus":"ACTIVE"}}`)}, true, true},
	} {
		a, b := tt.a.compared(tt.operation, tt.words), tt.b.compared(tt.operation, tt.words)
		if (a == b) != tt.same {
			t.Errorf("%s: %s and %s", tt.operation, a, b)
		}
	}
}

// TestExpand: what scripts have written short.
func TestExpand(t *testing.T) {
	for short, long := range map[string]string{
		`[<<3|{"k": "{i}"}>>]`:   `[{"k": "0"}, {"k": "1"}, {"k": "2"}]`,
		`"<<4|a>>"`:              `"aaaa"`,
		`<<2|{"L": [>>1<<2|]}>>`: `{"L": [{"L": [1]}]}`,
		`<<2|{"x": "%3%"}>>`:     `{"x": "xxx"}, {"x": "xxx"}`,
	} {
		if got := expand(short); got != long {
			t.Errorf("%s: %s, want %s", short, got, long)
		}
	}
}
