package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// isTerminal says whether w (or a reader) is one.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// columns is how wide w is; 80 if it is no terminal.
func columns(w any) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 80
}

// A style is what colours text has. The zero value has none.
type style struct{ on bool }

// styleOf has colours on a terminal, unless NO_COLOR is set (no-color.org).
func styleOf(w any) style {
	return style{isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s style) paint(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) dim(text string) string   { return s.paint("2", text) }
func (s style) bold(text string) string  { return s.paint("1", text) }
func (s style) green(text string) string { return s.paint("32", text) }
func (s style) blue(text string) string  { return s.paint("34", text) }

// json colours the names of indented JSON.
func (s style) json(text string) string {
	if !s.on {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		if text[0] != '"' {
			i := strings.IndexByte(text, '"')
			if i < 0 {
				i = len(text)
			}
			b.WriteString(text[:i])
			text = text[i:]
			continue
		}
		end := 1
		for end < len(text) && text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(text))
		if strings.HasPrefix(text[end:], ":") {
			b.WriteString(s.blue(text[:end]))
		} else {
			b.WriteString(s.green(text[:end]))
		}
		text = text[end:]
	}
	return b.String()
}

// drawsBlocks says whether block characters come out as such.
func drawsBlocks() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToUpper(v)
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}

// visible replaces control characters, so that what a stranger put into a
// record cannot drive the reader's terminal.
func visible(s string) string {
	clean := func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t'
	}
	if strings.IndexFunc(s, clean) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if clean(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// printJSON writes v over several lines.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printTable aligns rows on their columns; the first is the head.
func printTable(w io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	s := styleOf(w)
	var table strings.Builder
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if n == 0 {
			text = s.dim(text)
		}
		table.WriteString(text + "\n")
	}
	_, err := io.WriteString(w, table.String())
	return err
}

// A progress is one line on a terminal that is written over and over; on
// anything else it is silent.
type progress struct {
	w     io.Writer
	on    bool
	shown bool
}

func newProgress(w io.Writer, quiet bool) *progress {
	return &progress{w: w, on: !quiet && isTerminal(w)}
}

func (p *progress) set(format string, args ...any) {
	if p.on {
		text := fmt.Sprintf(format, args...)
		if n := columns(p.w) - 1; utf8.RuneCountInString(text) > n {
			text = string([]rune(text)[:n])
		}
		fmt.Fprint(p.w, "\r\x1b[K"+text)
		p.shown = true
	}
}

// clear takes the line away, so that others can be written.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// thousands writes 1234567 as 1,234,567.
func thousands[N int | int64 | uint64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// megabytes writes a count of bytes or a rate.
func megabytes(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", n/1e3)
	}
	return fmt.Sprintf("%.0f B", n)
}
