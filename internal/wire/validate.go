package wire

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rheostream/rheo/internal/api"
)

// maxViolations is how many violations one answer tells of, as AWS does.
const maxViolations = 10

// violationCodes are the codes of services that have one of their own for what
// breaks a constraint.
var violationCodes = map[string]string{"logs": "InvalidParameterException"}

// Validate checks an input against the constraints of its model. The error is a
// ValidationException (a ValidationError of services that are, or were, spoken to in query,
// or the service's own) in AWS's words.
func Validate(op *api.Op, in any) error {
	c := checker{}
	c.structure(op.Input, reflect.ValueOf(in).Elem())
	if len(c.found) == 0 {
		return nil
	}
	code, s := "ValidationException", ""
	if slices.Contains(op.Service.Protocols, api.Query) {
		code = "ValidationError"
	}
	code = cmp.Or(violationCodes[op.Service.Name], code)
	if len(c.found) > 1 {
		s = "s"
	}
	return api.Errorf(code, "%d validation error%s detected: %s", len(c.found), s, strings.Join(c.found, "; "))
}

// A checker walks an input. Where it is becomes text only if there is a violation
// to tell of.
type checker struct {
	found []string
	path  []step
}

// A step leads into a member, or into an element of a list or map.
type step struct {
	name    string // of the member, or the key in the map
	number  int    // in the list, from 1
	element bool
}

func (c *checker) in(s step) { c.path = append(c.path, s) }
func (c *checker) out()      { c.path = c.path[:len(c.path)-1] }

func (c *checker) where() string {
	var names []string
	for _, s := range c.path {
		switch {
		case !s.element:
			names = append(names, lowerFirst(s.name))
		case s.number > 0:
			names = append(names, strconv.Itoa(s.number), "member")
		default:
			names = append(names, clip(s.name), "member")
		}
	}
	return strings.Join(names, ".")
}

func (c *checker) done() bool { return len(c.found) >= maxViolations }

func (c *checker) violation(s *api.Shape, v reflect.Value, constraint string) {
	if c.done() {
		return
	}
	value := "null"
	if v.IsValid() {
		value = "'" + clip(echo(s, v)) + "'"
	}
	c.found = append(c.found, "Value "+value+" at '"+c.where()+"' failed to satisfy constraint: "+constraint)
}

func (c *checker) structure(s *api.Shape, v reflect.Value) {
	for i := range s.Members {
		m, f := &s.Members[i], v.Field(i)
		if c.done() {
			return
		}
		c.in(step{name: m.Name})
		switch {
		case !isNil(f):
			if !plain(m.Shape) {
				c.value(m.Shape, indirect(f))
			}
		case m.Required:
			c.violation(m.Shape, reflect.Value{}, "Member must not be null")
		}
		c.out()
	}
}

// plain says that a shape has no constraints: most have none, and data is large.
func plain(s *api.Shape) bool {
	return isScalar(s) && !s.HasMin && !s.HasMax && s.Pattern == "" && s.Enum == nil
}

func (c *checker) value(s *api.Shape, v reflect.Value) {
	if broken(s, v) {
		for _, constraint := range brokenBy(s, v) {
			c.violation(s, v, constraint)
		}
	}
	switch s.Kind {
	case api.Structure, api.Union:
		c.structure(s, v)
	case api.List:
		c.list(s, v)
	case api.Map:
		c.mapping(s, v)
	}
}

// list checks a list's elements: scalars together, structures each for itself.
func (c *checker) list(s *api.Shape, v reflect.Value) {
	if isScalar(s.Elem) {
		if plain(s.Elem) {
			return
		}
		for i := range v.Len() {
			if broken(s.Elem, v.Index(i)) {
				c.violation(s, v, "Member must satisfy constraint: ["+constraints(s.Elem)+"]")
				return
			}
		}
		return
	}
	for i := 0; i < v.Len() && !c.done(); i++ {
		c.in(step{number: i + 1, element: true})
		c.value(s.Elem, v.Index(i))
		c.out()
	}
}

func (c *checker) mapping(s *api.Shape, v reflect.Value) {
	keys := sortedKeys(v)
	for _, key := range keys {
		if broken(s.Key, key) {
			c.violation(s, v, "Map keys must satisfy constraint: ["+constraints(s.Key)+"]")
			break
		}
	}
	for _, key := range keys {
		elem := v.MapIndex(key)
		if !isScalar(s.Elem) {
			c.in(step{name: key.String(), element: true})
			c.value(s.Elem, elem)
			c.out()
		} else if broken(s.Elem, elem) {
			c.violation(s, v, "Map value must satisfy constraint: ["+constraints(s.Elem)+"]")
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

// broken says whether v breaks a constraint of its own.
func broken(s *api.Shape, v reflect.Value) bool {
	if s.Kind == api.String && (s.Enum != nil && !slices.Contains(s.Enum, v.String()) || !s.Matches(v.String())) {
		return true
	}
	below, above := outside(s, v)
	return below || above
}

// brokenBy lists the constraints of its own that v does not satisfy.
func brokenBy(s *api.Shape, v reflect.Value) []string {
	var list []string
	if s.Kind == api.String {
		if s.Enum != nil && !slices.Contains(s.Enum, v.String()) {
			list = append(list, enumText(s))
		}
		if !s.Matches(v.String()) {
			list = append(list, patternText(s))
		}
	}
	below, above := outside(s, v)
	if above {
		list = append(list, boundText(s, "less", s.Max))
	}
	if below {
		list = append(list, boundText(s, "greater", s.Min))
	}
	return list
}

// outside says whether v's length, size or value is out of its bounds.
func outside(s *api.Shape, v reflect.Value) (below, above bool) {
	if !s.HasMin && !s.HasMax {
		return false, false
	}
	if s.Kind == api.Float || s.Kind == api.Double {
		f := v.Float() // NaN is within no bounds
		return s.HasMin && !(f >= float64(s.Min)), s.HasMax && !(f <= float64(s.Max))
	}
	n := size(s, v)
	return s.HasMin && n < s.Min, s.HasMax && n > s.Max
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
