package item

import (
	"encoding/binary"
	"errors"
	"slices"
	"unsafe"
)

// Append appends an item in its stored form.
func (it Item) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(it)))
	for _, name := range it.names() {
		dst = appendText(dst, name)
		v := it[name]
		dst = v.append(append(dst, byte(v.Type)))
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// append appends a value without its type.
func (v Value) append(dst []byte) []byte {
	switch v.Type {
	case S, B:
		return appendText(dst, v.Text)
	case N:
		return v.Num.append(dst)
	case BOOL:
		if v.Bool {
			return append(dst, 1)
		}
		return append(dst, 0)
	case SS, BS:
		dst = binary.AppendUvarint(dst, uint64(len(v.Strs)))
		for _, s := range v.Strs {
			dst = appendText(dst, s)
		}
	case NS:
		dst = binary.AppendUvarint(dst, uint64(len(v.Nums)))
		for _, n := range v.Nums {
			dst = n.append(dst)
		}
	case L:
		dst = binary.AppendUvarint(dst, uint64(len(v.List)))
		for _, e := range v.List {
			dst = e.append(append(dst, byte(e.Type)))
		}
	case M:
		return v.Map.Append(dst)
	}
	return dst
}

func (n Number) append(dst []byte) []byte {
	sign := byte(0)
	if n.Neg {
		sign = 1
	}
	dst = binary.AppendVarint(append(dst, sign), int64(n.Exp))
	return appendText(dst, n.Digits)
}

// ErrDamaged: the bytes are no item's.
var ErrDamaged = errors.New("stored item is damaged")

// Decode reads an item in its stored form. What it returns aliases stored.
func Decode(stored string) (Item, error) {
	r := reader{rest: stored}
	it := r.item(0)
	if r.failed || r.rest != "" {
		return nil, ErrDamaged
	}
	return it, nil
}

// Pick reads the attributes of some names and passes over the others.
func Pick(stored string, names []string) (Item, error) {
	r := reader{rest: stored}
	it := make(Item, len(names))
	for range r.count() {
		name := r.text()
		t := Type(r.byte())
		if slices.Contains(names, name) {
			it[name] = r.value(t, 0)
		} else {
			r.skip(t, 0)
		}
		if r.failed {
			break
		}
	}
	if r.failed || r.rest != "" {
		return nil, ErrDamaged
	}
	return it, nil
}

// A reader takes a stored item apart. Once it has failed it returns zeros.
type reader struct {
	rest   string
	failed bool
}

func (r *reader) fail() { r.rest, r.failed = "", true }

func (r *reader) byte() byte {
	if r.rest == "" {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	var x uint64
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		x |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return x
		}
	}
	r.fail()
	return 0
}

// count reads a number of elements, none of which is less than a byte.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.count()
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) number() Number {
	neg := r.byte() == 1
	u := r.uvarint()
	exp := int64(u>>1) ^ -int64(u&1)
	n := Number{neg, int16(exp), r.text()}
	if exp < expMin || exp > expMax || len(n.Digits) > digitsMax || !allDigits(n.Digits) {
		r.fail()
	}
	return n
}

func (r *reader) item(depth int) Item {
	n := r.count()
	it := make(Item, n)
	for range n {
		name := r.text()
		it[name] = r.value(Type(r.byte()), depth)
		if r.failed {
			return nil
		}
	}
	return it
}

func (r *reader) value(t Type, depth int) Value {
	v := Value{Type: t}
	if depth > DepthMax {
		r.fail()
		return v
	}
	switch t {
	case S, B:
		v.Text = r.text()
	case N:
		v.Num = r.number()
	case BOOL:
		v.Bool = r.byte() == 1
	case NULL:
	case SS, BS:
		v.Strs = make([]string, r.count())
		for i := range v.Strs {
			v.Strs[i] = r.text()
		}
	case NS:
		v.Nums = make([]Number, r.count())
		for i := range v.Nums {
			v.Nums[i] = r.number()
		}
	case L:
		n := r.count()
		v.List = make([]Value, 0, min(n, ValuesMax))
		for range n {
			if r.failed {
				break
			}
			v.List = append(v.List, r.value(Type(r.byte()), depth+1))
		}
	case M:
		v.Map = r.item(depth + 1)
	default:
		r.fail()
	}
	return v
}

// What decoded values take, beside the text that they alias: a map's entry is a
// slot of a table that is half full, and a value by itself.
const (
	ValueBytes   = int(unsafe.Sizeof(Value{})) // of a list's element
	EntryBytes   = 208
	ElementBytes = 24 // of a set, at most

	mapBytes    = 256
	textBytes   = 16
	numberBytes = 24
)

// DecodedBytes is about how much memory [Decode] takes. It takes none itself.
func DecodedBytes(stored string) (int64, error) {
	r := reader{rest: stored}
	n := r.weighItem(0)
	if r.failed || r.rest != "" {
		return 0, ErrDamaged
	}
	return n, nil
}

func (r *reader) weighItem(depth int) int64 {
	n := int64(mapBytes)
	for range r.count() {
		r.text()
		n += EntryBytes + r.skip(Type(r.byte()), depth)
		if r.failed {
			break
		}
	}
	return n
}

// skip passes over a value, and returns what it would take beside itself.
func (r *reader) skip(t Type, depth int) (n int64) {
	if depth > DepthMax {
		r.fail()
		return 0
	}
	switch t {
	case S, B:
		r.text()
	case N:
		r.number()
	case BOOL:
		r.byte()
	case NULL:
	case SS, BS:
		for range r.count() {
			r.text()
			n += textBytes
		}
	case NS:
		for range r.count() {
			r.number()
			n += numberBytes
		}
	case L:
		for range r.count() {
			if n += int64(ValueBytes) + r.skip(Type(r.byte()), depth+1); r.failed {
				break
			}
		}
	case M:
		return r.weighItem(depth + 1)
	default:
		r.fail()
	}
	return n
}
