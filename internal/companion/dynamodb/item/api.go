package item

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/rheostream/rheo/internal/api/dynamodb"
)

const invalidValue = "One or more parameter values were invalid: "

// FromAPI reads a value of the API and checks it by DynamoDB's rules. Its errors
// are DynamoDB's messages, without anything about where the value stands. The
// value does not alias the API's.
func FromAPI(av *dynamodb.AttributeValue) (Value, error) { return fromAPI(av, 0) }

func fromAPI(av *dynamodb.AttributeValue, depth int) (Value, error) {
	t, set := None, 0
	for _, is := range [...]struct {
		t     Type
		given bool
	}{
		{S, av.S != nil}, {N, av.N != nil}, {B, av.B != nil}, {SS, av.SS != nil}, {NS, av.NS != nil}, {BS, av.BS != nil},
		{M, av.M != nil}, {L, av.L != nil}, {NULL, av.NULL != nil}, {BOOL, av.BOOL != nil},
	} {
		if is.given {
			t = is.t
			set++
		}
	}
	switch {
	case set == 0:
		return Value{}, errors.New("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	case set > 1:
		return Value{}, errors.New("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	case depth > DepthMax, depth == DepthMax && (t == L || t == M):
		return Value{}, errors.New("Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")
	}
	v := Value{Type: t}
	switch t {
	case S:
		v.Text = strings.Clone(*av.S)
	case B:
		v.Text = string(av.B)
	case N:
		n, err := ParseNumber(*av.N)
		v.Num = n
		return v, err
	case BOOL:
		v.Bool = *av.BOOL
	case NULL:
		if !*av.NULL {
			return v, errors.New(invalidValue + "Null attribute value types must have the value of true")
		}
	case SS, NS, BS:
		return setFromAPI(av, t)
	case L:
		v.List = make([]Value, len(av.L))
		for i := range av.L {
			e, err := fromAPI(&av.L[i], depth+1)
			if err != nil {
				return v, err
			}
			v.List[i] = e
		}
	case M:
		m, err := itemFromAPI(av.M, depth+1)
		v.Map = m
		return v, err
	}
	return v, nil
}

func setFromAPI(av *dynamodb.AttributeValue, t Type) (Value, error) {
	v := Value{Type: t}
	switch t {
	case SS:
		if len(av.SS) == 0 {
			return v, errors.New(invalidValue + "An string set  may not be empty")
		}
		for _, s := range av.SS {
			v.Strs = append(v.Strs, strings.Clone(s))
		}
	case BS:
		if len(av.BS) == 0 {
			return v, errors.New(invalidValue + "Binary sets should not be empty")
		}
		for _, b := range av.BS {
			v.Strs = append(v.Strs, string(b))
		}
	case NS:
		if len(av.NS) == 0 {
			return v, errors.New(invalidValue + "An number set  may not be empty")
		}
		for _, text := range av.NS {
			n, err := ParseNumber(text)
			if err != nil {
				return v, err
			}
			v.Nums = append(v.Nums, n)
		}
		slices.SortFunc(v.Nums, Number.Cmp)
		if n := len(v.Nums); len(slices.Compact(v.Nums)) < n {
			return v, errors.New("Input collection contains duplicates")
		}
		return v, nil
	}
	slices.Sort(v.Strs)
	if n := len(v.Strs); len(slices.Compact(slices.Clone(v.Strs))) < n {
		if t == BS {
			list := make([]string, len(av.BS))
			for i, b := range av.BS {
				list[i] = base64.StdEncoding.EncodeToString(b)
			}
			return v, errors.New(invalidValue + "Input collection [" + strings.Join(list, ", ") + "]of type BS contains duplicates.")
		}
		return v, errors.New(invalidValue + "Input collection [" + strings.Join(av.SS, ", ") + "] contains duplicates.")
	}
	return v, nil
}

// ItemFromAPI reads an item of the API, as [FromAPI] reads a value.
func ItemFromAPI(m map[string]dynamodb.AttributeValue) (Item, error) { return itemFromAPI(m, 0) }

func itemFromAPI(m map[string]dynamodb.AttributeValue, depth int) (Item, error) {
	it := make(Item, len(m))
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names) // of several mistakes the same one is told
	for _, name := range names {
		if len(name) > 64<<10-1 {
			return nil, errors.New(invalidValue + "Attribute name is too large, must be less than 65536 bytes")
		}
		if name == "" && depth == 0 {
			return nil, errors.New(invalidValue + "Attribute name must not be empty")
		}
		av := m[name]
		v, err := fromAPI(&av, depth)
		if err != nil {
			return nil, err
		}
		it[strings.Clone(name)] = v
	}
	return it, nil
}

// API is a value as the API has it. Its strings alias v's.
func (v Value) API() dynamodb.AttributeValue {
	var av dynamodb.AttributeValue
	switch v.Type {
	case S:
		av.S = &v.Text
	case B:
		av.B = append([]byte{}, v.Text...)
	case N:
		text := v.Num.String()
		av.N = &text
	case BOOL:
		av.BOOL = &v.Bool
	case NULL:
		yes := true
		av.NULL = &yes
	case SS:
		av.SS = v.Strs
	case BS:
		av.BS = make([][]byte, len(v.Strs))
		for i, s := range v.Strs {
			av.BS[i] = []byte(s)
		}
	case NS:
		av.NS = make([]string, len(v.Nums))
		for i, n := range v.Nums {
			av.NS[i] = n.String()
		}
	case L:
		av.L = make([]dynamodb.AttributeValue, len(v.List))
		for i, e := range v.List {
			av.L[i] = e.API()
		}
	case M:
		av.M = v.Map.API()
	}
	return av
}

// API is an item as the API has it.
func (it Item) API() map[string]dynamodb.AttributeValue {
	m := make(map[string]dynamodb.AttributeValue, len(it))
	for name, v := range it {
		m[name] = v.API()
	}
	return m
}
