// Package pattern is the filter patterns of CloudWatch Logs: which log events does
// somebody want. There are three kinds, told apart by how they begin.
//
//	ERROR "bad request" -debug        terms: all must be in the message, none of those with a minus
//	?ERROR ?WARN                      any of them
//	%[Ee]rror \d+%                    a regular expression
//	{ $.latency > 500 && $.user NOT EXISTS }              the message as JSON
//	[ip, user, ..., request=*.html*, status=4*, bytes]    the message as fields between spaces
//
// What AWS's documentation leaves open is decided as follows.
//   - A term is found anywhere in a message, also inside of a word.
//   - Beside other terms the question mark of a term is ignored, as AWS says: the
//     term must be there.
//   - A selector of a value that is not there, null, an object or an array makes
//     every comparison false, != too.
//   - An unquoted number is compared as a number with a number, and as text with text.
//   - An asterisk stands for anything at the beginning and the end of a text, and
//     is itself elsewhere.
package pattern

import (
	"bytes"
	"fmt"
	"strings"
)

// A Pattern is a filter pattern. It is never changed, and may be used concurrently.
type Pattern struct {
	matcher matcher // nil: everything matches
	regexes int
}

// An Error says what is wrong with a pattern, to the one who wrote it.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

func wrong(format string, args ...any) error {
	return &Error{"Invalid filter pattern: " + fmt.Sprintf(format, args...)}
}

// A matcher is one kind of pattern.
type matcher interface {
	match(message []byte) bool
	// extract gives what the pattern names in a message, if that matches.
	extract(message []byte) (map[string]string, bool)
}

// TextMax is how many bytes of text a pattern has at most.
const TextMax = 4096

// Parse reads a pattern; one without text matches everything. Its errors are an *Error.
func Parse(text string) (*Pattern, error) {
	if len(text) > TextMax {
		return nil, wrong("it has more than %d bytes", TextMax)
	}
	text = strings.TrimSpace(text)
	p := &Pattern{}
	var err error
	switch {
	case text == "":
		return p, nil
	case text[0] == '{':
		p.matcher, err = parseJSON(text, &p.regexes)
	case text[0] == '[':
		p.matcher, err = parseFields(text, &p.regexes)
	default:
		p.matcher, err = parseTerms(text, &p.regexes)
	}
	if err == nil && p.regexes > regexesMax {
		err = wrong("it can have %d regular expressions", regexesMax)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Match says whether a message matches.
func (p *Pattern) Match(message []byte) bool { return p.matcher == nil || p.matcher.match(message) }

// Extract gives, of a message that matches, the values that the pattern names:
// fields as "$name" or "$3", JSON as "$.selector".
func (p *Pattern) Extract(message []byte) (values map[string]string, ok bool) {
	if p.matcher == nil {
		return nil, true
	}
	return p.matcher.extract(message)
}

// HasRegex says whether the pattern has a regular expression.
func (p *Pattern) HasRegex() bool { return p.regexes > 0 }

// A term is one of a pattern of terms.
type term struct {
	text  []byte
	regex *regex // instead of text
}

func (t *term) in(message []byte) bool {
	if t.regex != nil {
		return t.regex.match(message)
	}
	return bytes.Contains(message, t.text)
}

// terms are all that must be there, those of which any must, and those that must not.
type terms struct{ all, any, none []term }

func (t *terms) match(message []byte) bool {
	for i := range t.none {
		if t.none[i].in(message) {
			return false
		}
	}
	for i := range t.all {
		if !t.all[i].in(message) {
			return false
		}
	}
	for i := range t.any {
		if t.any[i].in(message) {
			return true
		}
	}
	return len(t.any) == 0
}

func (t *terms) extract(message []byte) (map[string]string, bool) { return nil, t.match(message) }

func parseTerms(text string, regexes *int) (*terms, error) {
	t := &terms{}
	l := lexer{rest: text}
	for l.space(); l.rest != ""; l.space() {
		kind := byte(0)
		if c := l.rest[0]; c == '-' || c == '?' {
			kind = c
			l.rest = l.rest[1:]
			l.space()
		}
		var tm term
		switch {
		case l.rest == "":
			return nil, wrong("there is no term behind %c", kind)
		case l.rest[0] == '"':
			s, err := l.quoted()
			if err != nil {
				return nil, err
			}
			tm.text = []byte(s)
		case l.rest[0] == '%':
			r, err := l.regex(regexes)
			if err != nil {
				return nil, err
			}
			tm.regex = r
		default:
			word := l.until(" \t\r\n")
			if strings.ContainsFunc(word, func(r rune) bool { return !isWord(r) }) {
				return nil, &Error{"Invalid character(s) in term '" + word + "'"}
			}
			tm.text = []byte(word)
		}
		switch kind {
		case '-':
			t.none = append(t.none, tm)
		case '?':
			t.any = append(t.any, tm)
		default:
			t.all = append(t.all, tm)
		}
	}
	if len(t.any) > 0 && len(t.all)+len(t.none) > 0 {
		t.all, t.any = append(t.all, t.any...), nil
	}
	return t, nil
}

func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
