package agent

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A value is one of a configuration file, and the path where it stands.
type value struct {
	at  string
	raw jsontext.Value
}

func (v value) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", v.at, fmt.Errorf(format, args...))
}

// text is a scalar as it is written.
func (v value) text() (string, error) {
	switch v.raw.Kind() {
	case '"':
		b, err := jsontext.AppendUnquote(nil, v.raw)
		if err != nil {
			return "", v.errorf("%w", err)
		}
		return string(b), nil
	case '0', 't', 'f':
		return string(v.raw), nil
	}
	return "", v.errorf("%s is neither a string nor a number nor a boolean", excerpt(v.raw))
}

func (v value) integer(least, most int64) (int64, error) {
	s, err := v.text()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, v.errorf("%q is not a whole number", s)
	}
	if n < least || n > most {
		return 0, v.errorf("%d is not %d to %d", n, least, most)
	}
	return n, nil
}

func (v value) boolean() (bool, error) {
	s, err := v.text()
	if err != nil {
		return false, err
	}
	switch strings.ToLower(s) {
	case "true", "yes", "t", "y", "1":
		return true, nil
	case "false", "no", "f", "n", "0":
		return false, nil
	}
	return false, v.errorf("%q is neither true nor false", s)
}

func (v value) oneOf(names ...string) (string, error) {
	s, err := v.text()
	if err == nil && !slices.Contains(names, s) {
		err = v.errorf("%q is none of %s", s, strings.Join(names, ", "))
	}
	return s, err
}

func (v value) list() ([]value, error) {
	if v.raw.Kind() != '[' {
		return nil, v.errorf("%s is not a list", excerpt(v.raw))
	}
	d := jsontext.NewDecoder(bytes.NewReader(v.raw))
	if _, err := d.ReadToken(); err != nil {
		return nil, v.errorf("%w", err)
	}
	var items []value
	for d.PeekKind() != ']' {
		raw, err := d.ReadValue()
		if err != nil {
			return nil, v.errorf("%w", err)
		}
		items = append(items, value{fmt.Sprintf("%s[%d]", v.at, len(items)), raw.Clone()})
	}
	return items, nil
}

func (v value) texts() ([]string, error) {
	items, err := v.list()
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, item := range items {
		s, err := item.text()
		if err != nil {
			return nil, err
		}
		texts = append(texts, s)
	}
	return texts, nil
}

// A member is a name and its value in an object.
type member struct {
	name string
	value
}

// members are those of an object, in its order.
func (v value) members() ([]member, error) {
	if v.raw.Kind() != '{' {
		if v.at == "" {
			return nil, fmt.Errorf("%s is not an object", excerpt(v.raw))
		}
		return nil, v.errorf("%s is not an object", excerpt(v.raw))
	}
	d := jsontext.NewDecoder(bytes.NewReader(v.raw))
	if _, err := d.ReadToken(); err != nil {
		return nil, v.errorf("%w", err)
	}
	var members []member
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, v.errorf("%w", err)
		}
		m := member{name: name.String()}
		raw, err := d.ReadValue()
		if err != nil {
			return nil, v.errorf("%w", err)
		}
		m.raw, m.at = raw.Clone(), m.name
		if v.at != "" {
			m.at = v.at + "." + m.name
		}
		members = append(members, m)
	}
	return members, nil
}

func excerpt(raw []byte) string {
	if len(raw) > 40 {
		return string(raw[:37]) + "..."
	}
	return string(raw)
}

// A key is a name that an object may have, and what its value does to a T.
type key[T any] struct {
	name string
	set  func(*T, value) error
}

// fill sets t by the members of an object. What no key allows is an error, and so
// is each wrong value; null is as if it were not there.
func fill[T any](t *T, raw jsontext.Value, at string, keys []key[T]) error {
	members, err := value{at, raw}.members()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range members {
		i := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == m.name })
		switch {
		case i < 0:
			errs = append(errs, unknownKey(m, keys))
		case m.raw.Kind() != 'n':
			if err := keys[i].set(t, m.value); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func unknownKey[T any](m member, keys []key[T]) error {
	near, best := "", len(m.name)/3+1
	for _, k := range keys {
		if d := distance(strings.ToLower(m.name), strings.ToLower(k.name)); d <= best {
			near, best = k.name, d-1
		}
	}
	if near != "" {
		return m.errorf("there is no such key; did you mean %s?", near)
	}
	return m.errorf("there is no such key")
}

// distance is how many letters to change, add or remove make a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// The setters of keys that are a field each.

func text[T any](field func(*T) *string) func(*T, value) error {
	return func(t *T, v value) (err error) { *field(t), err = v.text(); return err }
}

func boolean[T any](field func(*T) *bool) func(*T, value) error {
	return func(t *T, v value) (err error) { *field(t), err = v.boolean(); return err }
}

func number[T any](least, most int64, field func(*T) *int) func(*T, value) error {
	return func(t *T, v value) error {
		n, err := v.integer(least, most)
		*field(t) = int(n)
		return err
	}
}

// span of time in units, least to most of them.
func duration[T any](unit time.Duration, least, most int64, field func(*T) *time.Duration) func(*T, value) error {
	return func(t *T, v value) error {
		n, err := v.integer(least, most)
		*field(t) = time.Duration(n) * unit
		return err
	}
}
