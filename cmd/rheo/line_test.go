package main

import (
	"strings"
	"testing"
)

func TestJSONPath(t *testing.T) {
	const doc = `{"a":"x","n":12.50,"minus":-1,"t":true,"o":{"b c":["p",{"q":"deep"}],"":"none"},"null":null,"e":"","a.b":"dotted"}`
	for _, c := range []struct{ path, want, err string }{
		{"a", "x", ""},
		{"$.a", "x", ""},
		{".a", "x", ""},
		{"n", "12.50", ""},
		{"t", "", "$.t is true, not a string or number"},
		{"minus", "-1", ""},
		{"o.b c[0]", "p", ""},
		{"$.o.b c[1].q", "deep", ""},
		{`["a.b"]`, "dotted", ""},
		{`$.o["b c"][0]`, "p", ""},
		{"missing", "", "there is no $.missing"},
		{"a.b", "", "there is no $.a.b"},
		{"o.b c[2]", "", "there is no $.o.b c[2]"},
		{"o", "", "$.o is "},
		{"null", "", "$.null is null, not a string or number"},
		{"e", "", "$.e has 0 characters, a key has 1 to 256"},
		{"$", "", "$ is "},
	} {
		path, err := parsePath(c.path)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		got, err := path.find([]byte(doc))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: %q, %v; want %q, %s", c.path, got, err, c.want, c.err)
		}
	}
	for _, wrong := range []string{"a..b", "a.", "a[", "a[-1]", "a[x]", `a["b`, `a["b"`, "$a", "[0]b"} {
		if path, err := parsePath(wrong); err == nil {
			t.Errorf("%s is taken for %s", wrong, path)
		}
	}
}

func FuzzJSONPath(f *testing.F) {
	f.Add("$.items[0].sku", `{"items":[{"sku":"a"}]}`)
	f.Add(`["a.b"]`, `{"a.b":1}`)
	f.Fuzz(func(t *testing.T, path, doc string) {
		if p, err := parsePath(path); err == nil {
			p.find([]byte(doc))
		}
	})
}

func readAll(r *lineReader, input string) (got []line) {
	lines := make(chan line)
	go r.run(strings.NewReader(input), lines, nil)
	for l := range lines {
		got = append(got, l)
	}
	return got
}

func TestLines(t *testing.T) {
	got := readAll(&lineReader{key: "k"}, "a\r\n \n\nb")
	if len(got) != 2 || string(got[0].data) != "a" || got[0].number != 1 || string(got[1].data) != "b" || got[1].number != 4 {
		t.Errorf("got %+v", got)
	}
	most := strings.Repeat("x", recordMax)
	if got := readAll(&lineReader{}, most+"\n"); len(got) != 1 || got[0].err != nil {
		t.Error("a line of the largest size is refused")
	}
	got = readAll(&lineReader{}, "a\n"+most+"xxx\nb\n")
	if len(got) != 2 || got[1].err == nil || !strings.Contains(got[1].err.Error(), "cannot read line 2: it has more than 10485760 bytes") {
		t.Errorf("a longer one: %d lines, %v", len(got), got[len(got)-1].err)
	}
	got = readAll(&lineReader{whole: true}, most+"x")
	if len(got) != 1 || got[0].err == nil {
		t.Error("a larger input is taken as one record")
	}
	if got := readAll(&lineReader{}, "a\nb\n"); got[0].key == got[1].key || got[0].key == "" {
		t.Error("without a key, records do not spread")
	}
}
