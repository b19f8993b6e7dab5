package pattern

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// FiltersDefault and FiltersMax: how many patterns a mapping has, and may have where its account asked for more.
	FiltersDefault = 5
	FiltersMax     = 10
	// bytesMax is how long a pattern may be.
	bytesMax = 4096
	// depthMax is how deep a pattern's objects may lie in each other.
	depthMax = 100
)

// Error is why a set does not compile. Its text is Lambda's (InvalidParameterValueException);
// Reason is ours and for a log.
type Error struct {
	Reason string
}

func (e *Error) Error() string { return "Invalid filter pattern definition." }

// Compile compiles up to max patterns; no patterns match everything. An error is an *Error.
func Compile(patterns []string, max int) (*Set, error) {
	if len(patterns) > max {
		return nil, &Error{fmt.Sprintf("%d filters, of at most %d", len(patterns), max)}
	}
	s := &Set{}
	for i, p := range patterns {
		o, err := compile(p)
		if err != nil {
			return nil, &Error{fmt.Sprintf("filter %d: %v", i+1, err)}
		}
		s.patterns = append(s.patterns, o)
	}
	return s, nil
}

func compile(pattern string) (*object, error) {
	if len(pattern) > bytesMax {
		return nil, fmt.Errorf("longer than %d bytes", bytesMax)
	}
	d := json.NewDecoder(strings.NewReader(pattern))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the pattern")
	}
	o, err := compileObject(v, nil)
	if err != nil {
		return nil, err
	}
	if isLeafData(o) {
		return nil, errors.New("data has no object: the pattern for data must be JSON")
	}
	return o, nil
}

// isLeafData says whether data is matched as one value, which Lambda refuses for streams.
func isLeafData(o *object) bool {
	for i := range o.fields {
		if o.fields[i].name == "data" && o.fields[i].object == nil {
			return true
		}
	}
	for _, or := range o.ors {
		if slices.ContainsFunc(or, isLeafData) {
			return true
		}
	}
	return false
}

// compileObject compiles an object that stands at path.
func compileObject(v any, path []string) (*object, error) {
	members, ok := v.(map[string]any)
	switch {
	case !ok:
		return nil, errors.New("filter is not an object")
	case len(members) == 0:
		return nil, errors.New("empty objects are not allowed")
	case len(path) > depthMax:
		return nil, errors.New("too deep")
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names) // so that the same pattern fails with the same reason
	o := &object{}
	for _, name := range names {
		member := members[name]
		if name == "$or" {
			or, err := compileOr(member, path)
			if err != nil {
				return nil, err
			}
			o.ors = append(o.ors, or)
			continue
		}
		f := field{name: name}
		at := append(slices.Clone(path), name)
		var err error
		switch m := member.(type) {
		case map[string]any:
			f.object, err = compileObject(m, at)
		case []any:
			f.rules, err = compileRules(m)
			if slices.ContainsFunc(f.rules, func(r rule) bool { return r.kind == doesNotExist }) {
				f.path = at
			}
		default:
			err = errors.New("must be an object or an array")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		o.fields = append(o.fields, f)
	}
	return o, nil
}

func compileOr(v any, path []string) ([]*object, error) {
	list, ok := v.([]any)
	if !ok || len(list) < 2 {
		return nil, errors.New("there must be at least 2 objects in $or")
	}
	var out []*object
	for _, alternative := range list {
		o, err := compileObject(alternative, path)
		if err != nil {
			return nil, fmt.Errorf("$or: %w", err)
		}
		out = append(out, o)
	}
	return out, nil
}

func compileRules(list []any) ([]rule, error) {
	if len(list) == 0 {
		return nil, errors.New("empty arrays are not allowed")
	}
	var out []rule
	for _, v := range list {
		r, err := compileRule(v)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func compileRule(v any) (rule, error) {
	switch v := v.(type) {
	case string:
		return rule{kind: equalsString, text: v}, nil
	case json.Number:
		return rule{kind: equalsNumber, text: v.String()}, nil
	case nil:
		return rule{kind: equalsNull}, nil
	case bool:
		if v {
			return rule{kind: equalsTrue}, nil
		}
		return rule{kind: equalsFalse}, nil
	case map[string]any:
		if len(v) != 1 {
			return rule{}, errors.New("a match expression has one operator")
		}
		for operator, operand := range v {
			r, err := compileOperator(operator, operand)
			if err != nil {
				return rule{}, fmt.Errorf("%q: %w", operator, err)
			}
			return r, nil
		}
	}
	return rule{}, errors.New("a match value must be a string, a number, true, false, null or a match expression")
}

func compileOperator(operator string, operand any) (rule, error) {
	switch operator {
	case "prefix":
		return textRule(hasPrefix, operand)
	case "suffix":
		return textRule(hasSuffix, operand)
	case "equals-ignore-case":
		return textRule(equalsFold, operand)
	case "anything-but":
		return anythingButRule(operand)
	case "numeric":
		return numericRule(operand)
	case "exists":
		switch operand {
		case true:
			return rule{kind: exists}, nil
		case false:
			return rule{kind: doesNotExist}, nil
		}
		return rule{}, errors.New("must be true or false")
	}
	return rule{}, errors.New("unrecognized match type")
}

func textRule(kind ruleKind, operand any) (rule, error) {
	s, ok := operand.(string)
	if !ok {
		return rule{}, errors.New("must be a string")
	}
	return rule{kind: kind, text: s}, nil
}

func anythingButRule(operand any) (rule, error) {
	switch v := operand.(type) {
	case string:
		return rule{kind: anythingBut, list: []string{v}}, nil
	case json.Number:
		return rule{kind: anythingBut, list: []string{v.String()}, numbers: true}, nil
	case []any:
		list, numbers, err := textList(v)
		return rule{kind: anythingBut, list: list, numbers: numbers}, err
	case map[string]any:
		if len(v) != 1 {
			return rule{}, errors.New("has one operator")
		}
		for operator, operand := range v {
			kind := anythingButPre
			switch operator {
			case "prefix":
			case "suffix":
				kind = anythingButSuf
			default:
				return rule{}, fmt.Errorf("unsupported pattern %q", operator)
			}
			list, ok := operand.([]any)
			if !ok {
				list = []any{operand}
			}
			texts, numbers, err := textList(list)
			switch {
			case err != nil:
				return rule{}, err
			case numbers:
				return rule{}, errors.New("prefix and suffix must be strings")
			case slices.Contains(texts, ""):
				return rule{}, errors.New("null prefix or suffix not allowed")
			}
			return rule{kind: kind, list: texts}, nil
		}
	}
	return rule{}, errors.New("must be a string, a number, a list of either, a prefix or a suffix")
}

// textList is a list of strings, or of numbers as they are written.
func textList(list []any) (out []string, numbers bool, err error) {
	if len(list) == 0 {
		return nil, false, errors.New("empty arrays are not allowed")
	}
	for i, v := range list {
		var number bool
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case json.Number:
			out, number = append(out, v.String()), true
		default:
			return nil, false, errors.New("values must be strings or numbers")
		}
		if i > 0 && number != numbers {
			return nil, false, errors.New("mixed types are not supported")
		}
		numbers = number
	}
	return out, numbers, nil
}

// numericRule compiles ["=", n], [">", n], ["<", n] or [">", n, "<", m], each of < and > with or without =.
func numericRule(operand any) (rule, error) {
	list, ok := operand.([]any)
	if !ok || len(list) != 2 && len(list) != 4 {
		return rule{}, errors.New("must be an array of one or two comparisons")
	}
	r := rule{kind: inRange}
	for i := 0; i < len(list); i += 2 {
		operator, _ := list[i].(string)
		number, isNumber := list[i+1].(json.Number)
		if !isNumber {
			return rule{}, fmt.Errorf("%v must be followed by a number", list[i])
		}
		at, err := number.Float64()
		if err != nil {
			return rule{}, err
		}
		switch {
		case operator == "=" && len(list) == 2:
			r.low, r.high = bound{true, true, at}, bound{true, true, at}
		case (operator == ">" || operator == ">=") && i == 0:
			r.low = bound{true, operator == ">=", at}
		case (operator == "<" || operator == "<=") && (i == 2 || len(list) == 2):
			r.high = bound{true, operator == "<=", at}
		default:
			return rule{}, fmt.Errorf("unrecognized numeric range operator: %v", list[i])
		}
	}
	if len(list) == 4 && r.low.at >= r.high.at {
		return rule{}, errors.New("bottom must be less than top")
	}
	return r, nil
}
