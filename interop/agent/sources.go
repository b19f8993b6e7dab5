package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A source is a numbered sequence of records, and the files that they are written to.
type source struct {
	name    string
	stream  string
	pattern string  // of the flow, in the directory of the logs
	options string  // further keys of the flow, in JSON
	share   float64 // of all bytes
	prefix  string  // of a record in the stream, before its number
	write   func(dst []byte, n int) []byte
	want    func(dst []byte, n int) []byte
	rotate  rotation
	wait    func(*source) int // so many records must have come before it is rotated; nil: none
	unbound bool              // writes end anywhere in a line

	// Of the writer, until it has ended.
	dir       string
	current   *os.File
	written   int // records
	bytes     int64
	rotations int
	first     int // record of the current file
}

// A rotation begins a new file, or the same one anew. It may write more records first.
type rotation func(s *source, more func() error) error

const digits = 9 // of a record's number

// text is what payloads are cut from.
var text = func() []byte {
	rng := rand.New(rand.NewPCG(7, 7))
	b := make([]byte, 64<<10)
	const letters = `abcdefghijklmnopqrstuvwxyz 0123456789 "\/<>&{}[]:;.é`
	runes := []rune(letters)
	for i := 0; i < len(b); {
		i += copy(b[i:], string(runes[rng.IntN(len(runes))]))
	}
	return []byte(strings.ToValidUTF8(string(b), "?"))
}()

// payload is record n's own piece of the text, of 160 to 860 bytes.
func payload(n int) []byte { return piece(n, 160+n*31%700) }

// piece is one of about so many bytes, whole characters.
func piece(n, size int) []byte {
	from := n * 7919 % (len(text) - 1000)
	for text[from]&0xc0 == 0x80 {
		from++
	}
	to := from + size
	for text[to]&0xc0 == 0x80 {
		to++
	}
	return text[from:to]
}

func appendNumber(dst []byte, n int) []byte { return fmt.Appendf(dst, "%0*d", digits, n) }

// line is a record of one line that is sent as it is.
func line(prefix string) func([]byte, int) []byte {
	return func(dst []byte, n int) []byte {
		dst = appendNumber(append(dst, prefix...), n)
		return append(append(append(dst, ' '), payload(n)...), '\n')
	}
}

// block is a record of several lines, as of a stack trace; oneLine is what SINGLELINE makes of it.
func block(dst []byte, n int) []byte {
	dst = append(appendNumber(append(dst, "[multi "...), n), "] ERROR\n"...)
	for i := range 2 + n%4 {
		dst = append(append(append(dst, "    at "...), piece(n+i, 100)...), "|\n"...)
	}
	return dst
}

func oneLine(dst []byte, n int) []byte {
	for _, l := range strings.Split(strings.TrimSuffix(string(block(nil, n)), "\n"), "\n") {
		dst = append(dst, strings.TrimSpace(l)...)
	}
	return append(dst, '\n')
}

// columns is a line of a table, object what CSVTOJSON makes of it.
func columns(dst []byte, n int) []byte {
	return fmt.Appendf(appendNumber(append(dst, "csv;"...), n), ";%d;%x\n", n*n, piece(n, 100))
}

func object(dst []byte, n int) []byte {
	return fmt.Appendf(appendNumber(append(dst, `{"source":"csv","n":"`...), n), `","square":"%d","text":"%x"}`+"\n", n*n, piece(n, 100))
}

func newSources(dir string) ([]*source, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	plain := func(name, pattern string, share float64, r rotation) *source {
		prefix := name + " "
		return &source{name: name, pattern: pattern, share: share, prefix: prefix, write: line(prefix), want: line(prefix), rotate: r}
	}
	slow := func(name string, share float64, r rotation, wait func(*source) int) *source {
		s := plain(name, name+".log", share, r)
		s.stream, s.wait = slowStream, wait
		return s
	}
	all := []*source{
		plain("rename", "rename.log*", 0.40, renamed("rename.log.")),
		plain("copy", "copy.log*", 0.15, copiedAndTruncated),
		plain("date", "date-*.log", 0.20, created),
		plain("many-a", "many-*.log", 0.05, nil),
		plain("many-b", "many-*.log", 0.05, nil),
		plain("many-c", "many-*.log", 0.05, nil),
		{name: "multi", pattern: "multi.log*", share: 0.05, prefix: "[multi ", write: block, want: oneLine, rotate: renamed("multi.log."),
			options: `, "multiLineStartPattern": "^\\[", "dataProcessingOptions": [{"optionName": "SINGLELINE"}]`},
		{name: "csv", pattern: "csv.log*", share: 0.05, prefix: `{"source":"csv","n":"`, write: columns, want: object, rotate: renamed("csv.log."),
			options: `, "dataProcessingOptions": [{"optionName": "CSVTOJSON", "delimiter": ";", "customFieldNames": ["source", "n", "square", "text"]}]`},
		// A name that the pattern does not match says nothing to an agent that never saw the file: one record
		// of it has come before it gets that.
		slow("away", 0.002, renamed("old-away."), func(s *source) int { return s.first + 1 }),
		// What is truncated is gone: all has come.
		slow("truncate", 0.0005, truncated, func(s *source) int { return s.written }),
	}
	for _, s := range all {
		s.dir, s.stream = dir, cmp.Or(s.stream, wideStream)
		s.unbound = strings.HasPrefix(s.name, "many-")
		if err := s.open(s.file()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// file is the name of the one that is written to.
func (s *source) file() string {
	if s.name == "date" {
		return filepath.Join(s.dir, fmt.Sprintf("date-%s-%d.log", time.Now().Format("2006-01-02T150405"), s.rotations))
	}
	return filepath.Join(s.dir, s.name+".log")
}

func (s *source) open(name string) (err error) {
	s.current, err = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return err
}

// renamed gives the file a new name, writes on for a moment, as a program does that was
// not told yet, and begins another file.
func renamed(to string) rotation {
	return func(s *source, more func() error) error {
		if err := os.Rename(s.file(), filepath.Join(s.dir, fmt.Sprint(to, s.rotations))); err != nil {
			return err
		}
		if err := more(); err != nil {
			return err
		}
		if err := s.current.Close(); err != nil {
			return err
		}
		return s.open(s.file())
	}
}

// created begins another file, of another name.
func created(s *source, more func() error) error {
	if err := s.current.Close(); err != nil {
		return err
	}
	return s.open(s.file())
}

// copiedAndTruncated writes nothing between the copying and the truncating: that is lost to every reader.
func copiedAndTruncated(s *source, _ func() error) error {
	all, err := os.ReadFile(s.file())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, fmt.Sprint("copy.log.", s.rotations)), all, 0o600); err != nil {
		return err
	}
	return s.current.Truncate(0)
}

// truncated begins the file anew.
func truncated(s *source, _ func() error) error { return s.current.Truncate(0) }

func totals(all []*source) (records int, bytes int64) {
	for _, s := range all {
		records += s.written
		bytes += s.bytes
	}
	return records, bytes
}

func rotations(all []*source) (n int) {
	for _, s := range all {
		n += s.rotations
	}
	return n
}
