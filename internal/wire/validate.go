package wire

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rheostream/rheo/internal/api"
)

// maxViolations is how many violations one answer tells of, as AWS does.
const maxViolations = 10

// Validate checks an input against the constraints of its model. The error is a
// ValidationException (a ValidationError of query services) in AWS's words.
func Validate(op *api.Op, in any) error {
	c := checker{}
	c.structure(op.Input, reflect.ValueOf(in).Elem(), "")
	if len(c.found) == 0 {
		return nil
	}
	code, s := "ValidationException", ""
	if op.Service.Protocols[0] == api.Query {
		code = "ValidationError"
	}
	if len(c.found) > 1 {
		s = "s"
	}
	return api.Errorf(code, "%d validation error%s detected: %s", len(c.found), s, strings.Join(c.found, "; "))
}

type checker struct{ found []string }

func (c *checker) done() bool { return len(c.found) >= maxViolations }

func (c *checker) violation(s *api.Shape, v reflect.Value, path, constraint string) {
	if c.done() {
		return
	}
	value := "null"
	if v.IsValid() {
		value = "'" + clip(echo(s, v)) + "'"
	}
	c.found = append(c.found, "Value "+value+" at '"+path+"' failed to satisfy constraint: "+constraint)
}

func (c *checker) structure(s *api.Shape, v reflect.Value, path string) {
	for i := range s.Members {
		m, f := &s.Members[i], v.Field(i)
		if c.done() {
			return
		}
		at := path + lowerFirst(m.Name)
		if isNil(f) {
			if m.Required {
				c.violation(m.Shape, reflect.Value{}, at, "Member must not be null")
			}
			continue
		}
		if !plain(m.Shape) {
			c.value(m.Shape, indirect(f), at)
		}
	}
}

// plain says that a shape has no constraints: most have none, and data is large.
func plain(s *api.Shape) bool {
	switch s.Kind {
	case api.Structure, api.Union, api.List, api.Map:
		return false
	}
	return !s.HasMin && !s.HasMax && s.Pattern == "" && s.Enum == nil
}

func (c *checker) value(s *api.Shape, v reflect.Value, path string) {
	for _, broken := range brokenBy(s, v) {
		c.violation(s, v, path, broken)
	}
	switch s.Kind {
	case api.Structure, api.Union:
		c.structure(s, v, path+".")
	case api.List:
		c.list(s, v, path)
	case api.Map:
		c.mapping(s, v, path)
	}
}

// list checks a list's elements: scalars together, structures each for itself.
func (c *checker) list(s *api.Shape, v reflect.Value, path string) {
	if isScalar(s.Elem) {
		if plain(s.Elem) {
			return
		}
		for i := range v.Len() {
			if len(brokenBy(s.Elem, v.Index(i))) > 0 {
				c.violation(s, v, path, "Member must satisfy constraint: ["+constraints(s.Elem)+"]")
				return
			}
		}
		return
	}
	for i := 0; i < v.Len() && !c.done(); i++ {
		c.value(s.Elem, v.Index(i), path+"."+strconv.Itoa(i+1)+".member")
	}
}

func (c *checker) mapping(s *api.Shape, v reflect.Value, path string) {
	keys := sortedKeys(v)
	for _, key := range keys {
		if len(brokenBy(s.Key, key)) > 0 {
			c.violation(s, v, path, "Map keys must satisfy constraint: ["+constraints(s.Key)+"]")
			break
		}
	}
	for _, key := range keys {
		elem := v.MapIndex(key)
		if !isScalar(s.Elem) {
			c.value(s.Elem, elem, path+"."+clip(key.String())+".member")
		} else if len(brokenBy(s.Elem, elem)) > 0 {
			c.violation(s, v, path, "Map value must satisfy constraint: ["+constraints(s.Elem)+"]")
			break
		}
	}
}

func isScalar(s *api.Shape) bool {
	return s.Kind != api.Structure && s.Kind != api.Union && s.Kind != api.List && s.Kind != api.Map
}

// The constraints in AWS's words.
func enumText(s *api.Shape) string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

func patternText(s *api.Shape) string {
	return "Member must satisfy regular expression pattern: " + s.Pattern
}

func boundText(s *api.Shape, bound string, n int64) string {
	what := "length"
	if s.Kind == api.Integer || s.Kind == api.Long || s.Kind == api.Float || s.Kind == api.Double {
		what = "value"
	}
	return fmt.Sprintf("Member must have %s %s than or equal to %d", what, bound, n)
}

// constraints lists all constraints of an element.
func constraints(s *api.Shape) string {
	var all []string
	if s.HasMax {
		all = append(all, boundText(s, "less", s.Max))
	}
	if s.HasMin {
		all = append(all, boundText(s, "greater", s.Min))
	}
	if s.Pattern != "" {
		all = append(all, patternText(s))
	}
	if s.Enum != nil {
		all = append(all, enumText(s))
	}
	return strings.Join(all, ", ")
}

// brokenBy lists the constraints of its own that v does not satisfy.
func brokenBy(s *api.Shape, v reflect.Value) []string {
	var broken []string
	if s.Kind == api.String {
		if s.Enum != nil && !inEnum(s.Enum, v.String()) {
			broken = append(broken, enumText(s))
		}
		if !s.Matches(v.String()) {
			broken = append(broken, patternText(s))
		}
	}
	if !s.HasMin && !s.HasMax {
		return broken
	}
	below, above := false, false
	switch s.Kind {
	case api.Float, api.Double:
		below, above = v.Float() < float64(s.Min), v.Float() > float64(s.Max)
	default:
		n := size(s, v)
		below, above = n < s.Min, n > s.Max
	}
	if s.HasMax && above {
		broken = append(broken, boundText(s, "less", s.Max))
	}
	if s.HasMin && below {
		broken = append(broken, boundText(s, "greater", s.Min))
	}
	return broken
}

// size is the number that a bound is about.
func size(s *api.Shape, v reflect.Value) int64 {
	switch s.Kind {
	case api.Integer, api.Long:
		return v.Int()
	case api.String:
		return int64(utf16Len(v.String()))
	case api.Blob:
		if v.Kind() != reflect.Slice { // a stream: its reader bounds it
			return s.Min
		}
		return int64(v.Len())
	case api.List, api.Map:
		return int64(v.Len())
	}
	return s.Min
}

// utf16Len is the length of a string as Java counts it.
func utf16Len(s string) int {
	n := 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			n++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if n++; r > 0xffff {
			n++
		}
	}
	return n
}

func inEnum(enum []string, v string) bool {
	for _, e := range enum {
		if e == v {
			return true
		}
	}
	return false
}

// isNil says whether a member was not given.
func isNil(f reflect.Value) bool {
	switch f.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return f.IsNil()
	case reflect.String:
		return f.Len() == 0
	}
	return false
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// echo is a value as Java prints it, which is what AWS's messages quote.
func echo(s *api.Shape, v reflect.Value) string {
	v = indirect(v)
	if s.Sensitive {
		return "***Sensitive Data Redacted***"
	}
	switch s.Kind {
	case api.Blob:
		if v.Kind() != reflect.Slice {
			return "java.io.InputStream"
		}
		return fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%[1]d]", v.Len())
	case api.List:
		var b strings.Builder
		for i := 0; i < v.Len() && b.Len() < 2048; i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(echo(s.Elem, v.Index(i)))
		}
		return "[" + b.String() + "]"
	case api.Map:
		var list []string
		for _, key := range sortedKeys(v) {
			list = append(list, key.String()+"="+echo(s.Elem, v.MapIndex(key)))
		}
		return "{" + strings.Join(list, ", ") + "}"
	case api.Structure, api.Union:
		return s.Name
	case api.Timestamp, api.Document:
		return fmt.Sprint(v.Interface())
	}
	return text(s, v, api.UnixTime)
}
