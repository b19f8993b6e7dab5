package pattern

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// A lexer takes a pattern's text apart.
type lexer struct{ rest string }

func (l *lexer) space() { l.rest = strings.TrimLeft(l.rest, " \t\r\n") }

// take takes a text if it is next.
func (l *lexer) take(s string) bool {
	l.space()
	rest, ok := strings.CutPrefix(l.rest, s)
	if ok {
		l.rest = rest
	}
	return ok
}

// word takes a keyword, which no letter follows.
func (l *lexer) word(s string) bool {
	l.space()
	rest, ok := strings.CutPrefix(l.rest, s)
	if ok && rest != "" && isWord(rune(rest[0])) {
		return false
	}
	if ok {
		l.rest = rest
	}
	return ok
}

// until takes what stands before any of some characters.
func (l *lexer) until(chars string) string {
	n := strings.IndexAny(l.rest, chars)
	if n < 0 {
		n = len(l.rest)
	}
	s := l.rest[:n]
	l.rest = l.rest[n:]
	return s
}

// quoted takes a text in double quotes, in which a backslash takes the character
// behind it as it is.
func (l *lexer) quoted() (string, error) {
	var b strings.Builder
	for i := 1; i < len(l.rest); i++ {
		switch c := l.rest[i]; {
		case c == '"':
			l.rest = l.rest[i+1:]
			return b.String(), nil
		case c == '\\' && i+1 < len(l.rest):
			i++
			b.WriteByte(l.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", wrong("a quotation mark is not closed")
}

// A regex is what stands between percent signs.
type regex struct{ re *regexp.Regexp }

func (r *regex) match(b []byte) bool { return r.re.Match(b) }

const regexesMax = 2

func (l *lexer) regex(count *int) (*regex, error) {
	*count++
	for i := 1; i < len(l.rest); i++ {
		switch l.rest[i] {
		case '\\':
			i++
		case '%':
			text := l.rest[1:i]
			l.rest = l.rest[i+1:]
			return compile(text)
		}
	}
	return nil, wrong("a percent sign is not closed")
}

// compile takes no more than AWS does: letters, digits and a few signs, and of
// operators all but groups.
func compile(text string) (*regex, error) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c >= utf8.RuneSelf:
			return nil, wrong("only ASCII characters are supported in a regular expression")
		case c == '\\':
			i++
			if i == len(text) {
				return nil, wrong("a regular expression ends in a backslash")
			}
			if isWord(rune(text[i])) && !strings.ContainsRune("dDsSwWx", rune(text[i])) {
				return nil, wrong("\\%c is not supported in a regular expression", text[i])
			}
		case !isWord(rune(c)) && !strings.ContainsRune(":#=@/;,-^$?[]{}|*+.", rune(c)):
			return nil, wrong("%q is not supported in a regular expression", c)
		}
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, wrong("the regular expression %q cannot be read", text)
	}
	return &regex{re}, nil
}
