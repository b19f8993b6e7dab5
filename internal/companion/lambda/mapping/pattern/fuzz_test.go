package pattern_test

import (
	"encoding/json"
	"testing"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping/pattern"
)

// FuzzMatch: no pattern and no data make it panic, and a record matches the same with other
// spaces in its data.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"data":{"a":["x",{"prefix":"y"},{"anything-but":["z"]}]}}`, `{"a":["\u0078",{"b":[]}]}`},
		{`{"data":{"a":{"b":[{"exists":false}]},"$or":[{"c":[null]},{"d":[{"numeric":[">",1,"<=",3]}]}]}}`, `{"a":[[]],"d":2.5}`},
		{`{"partitionKey":[{"suffix":"1"}]}`, "\x00"},
		{`{"data":{"":[""]}}`, `{"":""}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, p, data string) {
		set, err := pattern.Compile([]string{p}, 1)
		if err != nil {
			return
		}
		got := set.Match(record(data))
		if again := set.Match(record(data)); again != got {
			t.Errorf("%s on %q: %v, then %v", p, data, got, again)
		}
		spaced, ok := indent(data)
		if !ok {
			return
		}
		if again := set.Match(record(spaced)); again != got {
			t.Errorf("%s on %q: %v, with spaces %v", p, data, got, again)
		}
	})
}

// indent writes JSON with other spaces.
func indent(data string) (string, bool) {
	if !json.Valid([]byte(data)) {
		return "", false
	}
	var out []byte
	inString, escaped := false, false
	for i := range len(data) {
		c := data[i]
		switch {
		case inString:
			inString = escaped || c != '"'
			escaped = c == '\\' && !escaped
		case c == '"':
			inString = true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			continue
		case c == '{' || c == '[' || c == ',' || c == ':' || c == '}' || c == ']':
			out = append(out, "\n\t "...)
			out = append(out, c)
			out = append(out, " \r\n"...)
			continue
		}
		out = append(out, c)
	}
	return string(out), true
}
