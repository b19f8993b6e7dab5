package expr

import (
	"errors"
	"fmt"
)

// A kind of token.
type kind uint8

const (
	eof    kind = iota
	word        // a name or keyword
	name        // #name
	value       // :value
	number      // digits
	sign        // one of ( ) [ ] , . = <> < <= > >= + -
)

// A token is a piece of an expression's text.
type token struct {
	kind       kind
	text       string
	start, end int
}

// is says that the token is the sign s.
func (t token) is(s string) bool { return t.kind == sign && t.text == s }

// lex cuts an expression into tokens; the last is eof.
func lex(text string) ([]token, error) {
	if len(text) > bytesMax {
		return nil, fmt.Errorf("Expression size has exceeded the maximum allowed size; expression size: %d", len(text))
	}
	var all []token
	for i := 0; i < len(text); {
		if c := text[i]; c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			i++
			continue
		}
		t := next(text, i)
		all = append(all, t)
		i = t.end
	}
	if len(all) == 0 {
		return nil, errors.New("The expression can not be empty;")
	}
	return append(all, token{eof, "<EOF>", len(text), len(text)}), nil
}

// next is the token that starts at i. A byte that starts none is one of its own,
// which no rule takes.
func next(text string, i int) token {
	c, end := text[i], i+1
	k := sign
	switch {
	case isNameStart(c):
		k = word
		for end < len(text) && isNamePart(text[end]) {
			end++
		}
	case c == '#' || c == ':':
		k = name
		if c == ':' {
			k = value
		}
		for end < len(text) && isNamePart(text[end]) {
			end++
		}
		if end == i+1 {
			k = sign
		}
	case c >= '0' && c <= '9':
		k = number // no number but 0 itself begins with 0
		for c != '0' && end < len(text) && text[end] >= '0' && text[end] <= '9' {
			end++
		}
	case c == '<' && end < len(text) && (text[end] == '=' || text[end] == '>'), c == '>' && end < len(text) && text[end] == '=':
		end++
	case c >= 0x80: // a character is not cut
		for end < len(text) && text[end]&0xc0 == 0x80 {
			end++
		}
	}
	return token{k, text[i:end], i, end}
}

func isNameStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isNamePart(c byte) bool { return isNameStart(c) || c >= '0' && c <= '9' || c == '_' }
