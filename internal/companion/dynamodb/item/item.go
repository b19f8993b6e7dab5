// Package item is what DynamoDB stores: items, which are attributes by name, and
// their values of ten types. It reads values from the API's types and checks
// them by DynamoDB's rules, gives them back, and has the two forms in which rheo
// keeps them:
//
//	item    count uvarint | count x (name len uvarint | name | value), in order of names
//	value   type u8 | S, B: len uvarint | bytes
//	                | N: sign u8 (1 is negative) | exponent varint | len uvarint | digits
//	                | BOOL: u8 | NULL: nothing
//	                | SS, BS, NS, L: count uvarint | elements without their type, those of L with
//	                | M: item
//	key     see [AppendKey]: bytes that sort as the values do
//
// A [Value] is never changed once made: what updates it makes another.
package item

import (
	"cmp"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
)

// A Type is one of DynamoDB's. The numbers stand in the stored form.
type Type uint8

const (
	None Type = iota // no value
	S
	N
	B
	BOOL
	NULL
	SS
	NS
	BS
	L
	M
)

var typeNames = [...]string{None: "", S: "S", N: "N", B: "B", BOOL: "BOOL", NULL: "NULL", SS: "SS", NS: "NS", BS: "BS", L: "L", M: "M"}

func (t Type) String() string { return typeNames[t] }

// ParseType reads a type's name; None if it is none.
func ParseType(name string) Type {
	for t, n := range typeNames {
		if n == name && n != "" {
			return Type(t)
		}
	}
	return None
}

// IsSet says that t is one of the three kinds of set.
func (t Type) IsSet() bool { return t == SS || t == NS || t == BS }

// A Value is an attribute's value. Of its fields those are set that its type uses.
type Value struct {
	Type Type
	Text string   // of S, and the bytes of B
	Num  Number   // of N
	Bool bool     // of BOOL
	Strs []string // of SS, and the bytes of BS: sorted, none twice
	Nums []Number // of NS: sorted, none twice
	List []Value  // of L
	Map  Item     // of M
}

// An Item is attributes by name; also the value of a map.
type Item map[string]Value

// The largest item, how deep values may be nested, and how many there may be.
// DynamoDB has no limit for the last: without one, an item of nothing but small
// values would take a hundred times its size while it is in use.
const (
	BytesMax  = 400 << 10
	DepthMax  = 32
	ValuesMax = 20_000
)

func String(s string) Value { return Value{Type: S, Text: s} }

// Equal says whether two values are the same, by type and content.
func Equal(a, b Value) bool {
	if a.Type != b.Type {
		return false
	}
	switch a.Type {
	case S, B:
		return a.Text == b.Text
	case N:
		return a.Num.Cmp(b.Num) == 0
	case BOOL:
		return a.Bool == b.Bool
	case SS, BS:
		return slices.Equal(a.Strs, b.Strs)
	case NS:
		return slices.Equal(a.Nums, b.Nums)
	case L:
		return slices.EqualFunc(a.List, b.List, Equal)
	case M:
		return maps.EqualFunc(a.Map, b.Map, Equal)
	}
	return true
}

// Compare orders two strings, numbers or binaries; ok is false for other values
// and for two of different types.
func Compare(a, b Value) (order int, ok bool) {
	if a.Type != b.Type {
		return 0, false
	}
	switch a.Type {
	case S, B:
		return strings.Compare(a.Text, b.Text), true // UTF-8 sorts as its code points do
	case N:
		return a.Num.Cmp(b.Num), true
	}
	return 0, false
}

// Contains says whether a set, a list, a string or a binary has v in it.
func (in Value) Contains(v Value) bool {
	switch {
	case in.Type == S && v.Type == S, in.Type == B && v.Type == B:
		return strings.Contains(in.Text, v.Text)
	case in.Type == SS && v.Type == S, in.Type == BS && v.Type == B:
		_, ok := slices.BinarySearch(in.Strs, v.Text)
		return ok
	case in.Type == NS && v.Type == N:
		_, ok := slices.BinarySearchFunc(in.Nums, v.Num, Number.Cmp)
		return ok
	case in.Type == L:
		return slices.ContainsFunc(in.List, func(e Value) bool { return Equal(e, v) })
	}
	return false
}

// Union is the set with the elements of two sets of one type.
func Union(a, b Value) Value {
	out := Value{Type: a.Type}
	if a.Type == NS {
		out.Nums = slices.Concat(a.Nums, b.Nums)
		slices.SortFunc(out.Nums, Number.Cmp)
		out.Nums = slices.Compact(out.Nums)
		return out
	}
	out.Strs = slices.Concat(a.Strs, b.Strs)
	slices.Sort(out.Strs)
	out.Strs = slices.Compact(out.Strs)
	return out
}

// Minus is the set a without the elements of b, of one type; without any it is
// no value, for sets are never empty.
func Minus(a, b Value) Value {
	out := Value{Type: a.Type}
	for _, n := range a.Nums {
		if _, found := slices.BinarySearchFunc(b.Nums, n, Number.Cmp); !found {
			out.Nums = append(out.Nums, n)
		}
	}
	for _, s := range a.Strs {
		if _, found := slices.BinarySearch(b.Strs, s); !found {
			out.Strs = append(out.Strs, s)
		}
	}
	if len(out.Nums)+len(out.Strs) == 0 {
		return Value{}
	}
	return out
}

// Clone copies an item one level deep, so that its attributes can be replaced.
func (it Item) Clone() Item {
	if it == nil {
		return Item{}
	}
	return maps.Clone(it)
}

// names are the attributes' names, sorted.
func (it Item) names() []string {
	names := make([]string, 0, len(it))
	for name := range it {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Size is what an item counts as, in bytes, by DynamoDB's rules: names and
// values, three bytes for a list or map and one for each of its elements.
func (it Item) Size() int {
	n := 0
	for name, v := range it {
		n += len(name) + v.Size()
	}
	return n
}

// Size is what a value counts as; see [Item.Size].
func (v Value) Size() int {
	switch v.Type {
	case S, B:
		return len(v.Text)
	case N:
		return v.Num.size()
	case SS, BS:
		n := 0
		for _, s := range v.Strs {
			n += len(s)
		}
		return n
	case NS:
		n := 0
		for _, num := range v.Nums {
			n += num.size()
		}
		return n
	case L:
		n := 3
		for _, e := range v.List {
			n += 1 + e.Size()
		}
		return n
	case M:
		return 3 + len(v.Map) + v.Map.Size()
	}
	return 1
}

// Count is how many values an item has, those in lists and maps among them.
func (it Item) Count() int {
	n := 0
	for _, v := range it {
		n += v.Count()
	}
	return n
}

// Count is how many values a value is; see [Item.Count].
func (v Value) Count() int {
	n := 1
	for _, e := range v.List {
		n += e.Count()
	}
	for _, e := range v.Map {
		n += e.Count()
	}
	return n
}

// Elements is how many elements the sets of an item have.
func (it Item) Elements() int {
	n := 0
	for _, v := range it {
		n += v.elements()
	}
	return n
}

func (v Value) elements() int {
	n := len(v.Strs) + len(v.Nums)
	for _, e := range v.List {
		n += e.elements()
	}
	for _, e := range v.Map {
		n += e.elements()
	}
	return n
}

// Length is what the function size() of the expression language gives: the
// bytes of a string or binary, the elements of a set, list or map; ok is false
// for the other types.
func (v Value) Length() (n int, ok bool) {
	switch v.Type {
	case S, B:
		return len(v.Text), true
	case SS, BS:
		return len(v.Strs), true
	case NS:
		return len(v.Nums), true
	case L:
		return len(v.List), true
	case M:
		return len(v.Map), true
	}
	return 0, false
}

// Depth is how many levels of lists and maps a value has.
func (v Value) Depth() int {
	deepest := 0
	switch v.Type {
	case L:
		for _, e := range v.List {
			deepest = max(deepest, e.Depth())
		}
	case M:
		for _, e := range v.Map {
			deepest = max(deepest, e.Depth())
		}
	default:
		return 0
	}
	return deepest + 1
}

// Echo is a value as DynamoDB's messages show it: "{S:abc}".
func (v Value) Echo() string {
	var text string
	switch v.Type {
	case S:
		text = v.Text
	case B:
		text = base64.StdEncoding.EncodeToString([]byte(v.Text))
	case N:
		text = v.Num.String()
	case BOOL:
		text = "false"
		if v.Bool {
			text = "true"
		}
	case NULL:
		text = "true"
	case SS:
		text = "[" + strings.Join(v.Strs, ", ") + "]"
	case BS:
		list := make([]string, len(v.Strs))
		for i, s := range v.Strs {
			list[i] = base64.StdEncoding.EncodeToString([]byte(s))
		}
		text = "[" + strings.Join(list, ", ") + "]"
	case NS:
		list := make([]string, len(v.Nums))
		for i, n := range v.Nums {
			list[i] = n.String()
		}
		text = "[" + strings.Join(list, ", ") + "]"
	case L:
		list := make([]string, len(v.List))
		for i, e := range v.List {
			list[i] = e.Echo()
		}
		text = "[" + strings.Join(list, ", ") + "]"
	case M:
		var list []string
		for _, name := range v.Map.names() {
			list = append(list, name+"="+v.Map[name].Echo())
		}
		text = "{" + strings.Join(list, ", ") + "}"
	}
	return "{" + cmp.Or(v.Type.String(), "null") + ":" + Clip(text, 1000) + "}"
}

// Clip is the first bytes of what a message shows of a request, which may be long.
func Clip(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	return strings.ToValidUTF8(text[:bytes], "") + "..."
}
