package agent

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// compileGlob takes a pattern of names as Java's file systems have them: * ? [a-z]
// [!a-z] {one,two}, and \ before a character that is meant as itself.
func compileGlob(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString(`\A`)
	inGroup := false
	runes := []rune(glob)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; r {
		case '*':
			b.WriteString(`(?s:.*)`)
		case '?':
			b.WriteString(`(?s:.)`)
		case '\\':
			if i++; i == len(runes) {
				return nil, errors.New(`there is nothing behind the last \`)
			}
			b.WriteString(regexp.QuoteMeta(string(runes[i])))
		case '[':
			end := i + 1
			if end < len(runes) && runes[end] == '!' {
				end++
			}
			for first := true; end < len(runes) && (first || runes[end] != ']'); first = false {
				end++
			}
			if end >= len(runes) {
				return nil, errors.New("a [ is not closed")
			}
			set := string(runes[i+1 : end])
			b.WriteByte('[')
			if rest, not := strings.CutPrefix(set, "!"); not {
				set = rest
				b.WriteByte('^')
			}
			for _, c := range set { // only - has a meaning
				if strings.ContainsRune(`\[]^&`, c) {
					b.WriteByte('\\')
				}
				b.WriteRune(c)
			}
			b.WriteByte(']')
			i = end
		case '{':
			if inGroup {
				return nil, errors.New("a { stands inside another")
			}
			inGroup = true
			b.WriteString("(?:")
		case '}':
			if !inGroup {
				b.WriteString(`\}`)
				continue
			}
			inGroup = false
			b.WriteByte(')')
		case ',':
			if inGroup {
				b.WriteByte('|')
				continue
			}
			b.WriteByte(',')
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	if inGroup {
		return nil, errors.New("a { is not closed")
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, fmt.Errorf("the pattern %q cannot be read", glob)
	}
	return re, nil
}

// compressed names are passed over: they are what rotation makes of files that were read.
func compressed(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".bz2") || strings.HasSuffix(name, ".zip")
}

// compileWhole makes a regular expression that must match all of a text.
func compileWhole(v value, flags, pattern string) (*regexp.Regexp, error) {
	return compile(v, flags+`\A(?:`+pattern+`)\z`, pattern)
}

// compileStart makes one that must match where a text begins.
func compileStart(v value, pattern string) (*regexp.Regexp, error) {
	return compile(v, `\A(?:`+pattern+`)`, pattern)
}

func compile(v value, expr, pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil { // of what the user wrote
		return nil, v.errorf("%w (patterns are those of RE2: no look-around, no back-references, no possessive quantifiers)", err)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, v.errorf("%w", err)
	}
	return re, nil
}
