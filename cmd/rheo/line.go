package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A line of the input is a record to be. The last of an input may be an error.
type line struct {
	number int64 // from 1
	data   []byte
	key    string
	err    error
}

// lineReader makes records of an input.
type lineReader struct {
	key   string   // of all records; empty with no path: a random one each
	path  jsonPath // to the key in each line
	json  bool     // lines must be JSON
	whole bool     // one record
}

// run sends lines until the input ends, an error, or done.
func (r *lineReader) run(in io.Reader, lines chan<- line, done <-chan struct{}) {
	defer close(lines)
	send := func(l line) bool {
		select {
		case lines <- l:
			return l.err == nil
		case <-done:
			return false
		}
	}
	if r.whole {
		data, err := io.ReadAll(io.LimitReader(in, recordMax+1))
		if err == nil && len(data) > recordMax {
			err = fmt.Errorf("the input has more than %d bytes, the most of a record", recordMax)
		}
		send(line{number: 1, data: data, key: r.keyOrRandom(), err: err})
		return
	}
	buffered := bufio.NewReaderSize(in, 64<<10)
	for number := int64(1); ; number++ {
		data, err := readLine(buffered)
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			send(line{number: number, err: fmt.Errorf("cannot read line %d: %w", number, err)})
			return
		}
		if len(bytes.TrimSpace(data)) > 0 && !send(r.line(number, data)) {
			return
		}
		if end {
			return
		}
	}
}

// readLine reads up to a line feed, which it leaves out with a carriage return
// before it. io.EOF comes with the last line.
func readLine(r *bufio.Reader) ([]byte, error) {
	var data []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(data)+len(part) > recordMax+2 {
			return nil, fmt.Errorf("it has more than %d bytes, the most of a record", recordMax)
		}
		data = append(data, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
		return data, err
	}
}

func (r *lineReader) line(number int64, data []byte) line {
	l := line{number: number, data: data, key: r.keyOrRandom()}
	if r.json && !json.Valid(data) {
		l.err = fmt.Errorf("line %d is not JSON: %s", number, excerpt(data))
		return l
	}
	if r.path != nil {
		key, err := r.path.find(data)
		if err != nil {
			l.err = fmt.Errorf("line %d has no key: %w", number, err)
			return l
		}
		l.key = key
	}
	return l
}

func (r *lineReader) keyOrRandom() string {
	if r.key != "" || r.path != nil {
		return r.key
	}
	return rand.Text()
}

func excerpt(data []byte) string {
	const most = 60
	if len(data) > most {
		return visible(strings.ToValidUTF8(string(data[:most]), "?")) + "..."
	}
	return visible(string(data))
}

// A jsonPath leads from a JSON value to one inside it: names of members and
// indices of elements.
type jsonPath []any // string or int

// parsePath reads a path such as customer.id, $.items[0].sku or .a["b.c"].
func parsePath(s string) (jsonPath, error) {
	bad := func(rest string) error { return fmt.Errorf("path %q is wrong at %q", s, rest) }
	rest := strings.TrimPrefix(s, "$")
	path := jsonPath{}
	for first := true; rest != ""; first = false {
		switch {
		case strings.HasPrefix(rest, `["`):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil || !strings.HasPrefix(rest[1+len(quoted):], "]") {
				return nil, bad(rest)
			}
			name, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, bad(rest)
			}
			path, rest = append(path, name), rest[len(quoted)+2:]
		case rest[0] == '[':
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, bad(rest)
			}
			i, err := strconv.Atoi(rest[1:end])
			if err != nil || i < 0 {
				return nil, bad(rest)
			}
			path, rest = append(path, i), rest[end+1:]
		default:
			name, dotted := strings.CutPrefix(rest, ".")
			if !dotted && (!first || s[0] == '$') {
				return nil, bad(rest)
			}
			end := strings.IndexAny(name, ".[")
			if end < 0 {
				end = len(name)
			}
			if end == 0 {
				return nil, bad(rest)
			}
			path, rest = append(path, name[:end]), name[end:]
		}
	}
	return path, nil
}

// find returns the value that the path leads to: a string as it is, a number as
// it is written.
func (p jsonPath) find(data []byte) (string, error) {
	here := json.RawMessage(data)
	for i, step := range p {
		var found bool
		switch step := step.(type) {
		case string:
			var object map[string]json.RawMessage
			if json.Unmarshal(here, &object) == nil {
				here, found = object[step]
			}
		case int:
			var array []json.RawMessage
			if json.Unmarshal(here, &array) == nil && step < len(array) {
				here, found = array[step], true
			}
		}
		if !found {
			return "", fmt.Errorf("there is no %s", p[:i+1])
		}
	}
	here = bytes.TrimSpace(here)
	var s string
	switch {
	case len(here) == 0:
		return "", fmt.Errorf("there is no %s", p)
	case json.Unmarshal(here, &s) == nil && here[0] == '"':
	case here[0] != '-' && (here[0] < '0' || here[0] > '9'):
		return "", fmt.Errorf("%s is %s, not a string or number", p, excerpt(here))
	default:
		s = string(here)
	}
	if n := len([]rune(s)); n < 1 || n > 256 {
		return "", fmt.Errorf("%s has %d characters, a key has 1 to 256", p, n)
	}
	return s, nil
}

func (p jsonPath) String() string {
	var b strings.Builder
	b.WriteByte('$')
	for _, step := range p {
		switch step := step.(type) {
		case string:
			b.WriteString("." + step)
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		}
	}
	return b.String()
}
