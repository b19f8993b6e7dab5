package expr

import (
	"errors"
	"slices"
	"strings"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// ErrNoRoom: there is no memory for what an update makes.
var ErrNoRoom = errors.New("no memory for the update")

// A change is what an action comes to with a particular item.
type change struct {
	path  Path
	value item.Value // of no type to remove
}

// An Updated item, and the size of what it lacks: lists, maps and sets that would
// make it larger than an item may be are left empty rather than made.
type Updated struct {
	item.Item
	LacksBytes, LacksValues int
}

// Size and Count are those that the item would have if it were whole. If it lacks
// anything one of them is more than an item's.
func (u Updated) Size() int  { return u.Item.Size() + u.LacksBytes }
func (u Updated) Count() int { return u.Item.Count() + u.LacksValues }

// An applying is one application of an update to an item.
type applying struct {
	from   item.Item
	legacy bool
	room   func(bytes int64) bool // nil: there always is

	// What the changes set, all of which comes to be in the item: paths do not overlap.
	bytes, values           int
	lacksBytes, lacksValues int
}

// Apply returns the item that the update makes of it, which stays as it is. All
// operands are read before anything is changed, and indices are those of the
// lists as they were. room is asked for memory before anything of size is made;
// where it has none, the error is [ErrNoRoom].
func (u *Update) Apply(it item.Item, room func(bytes int64) bool) (Updated, error) {
	a := applying{from: it, room: room}
	if !a.take(len(it), item.EntryBytes) {
		return Updated{}, ErrNoRoom
	}
	out := it.Clone()
	if u == nil {
		return Updated{Item: out}, nil
	}
	a.legacy = u.legacy
	var sets, removes []change
	for i := range u.actions {
		v, err := a.evaluate(&u.actions[i])
		if err != nil {
			return Updated{}, wrong(err)
		}
		if c := (change{u.actions[i].path, v}); v.Type == item.None {
			removes = append(removes, c)
		} else {
			sets = append(sets, c)
		}
	}
	// Values are set before any are removed, elements appended to a list in the
	// order of their indices, and removed from it from behind.
	slices.SortStableFunc(sets, func(x, y change) int { return comparePaths(x.path, y.path) })
	slices.SortStableFunc(removes, func(x, y change) int { return comparePaths(y.path, x.path) })
	for _, changes := range [...][]change{sets, removes} {
		if err := a.putMap(out, changes, 0); err != nil {
			return Updated{}, wrong(err)
		}
	}
	return Updated{out, a.lacksBytes, a.lacksValues}, nil
}

func wrong(err error) error {
	if errors.Is(err, ErrNoRoom) {
		return err
	}
	return invalid("%s", err)
}

func comparePaths(a, b Path) int {
	return slices.CompareFunc(a, b, func(s, t Step) int {
		if s.Index != t.Index {
			return s.Index - t.Index
		}
		return strings.Compare(s.Name, t.Name)
	})
}

// take asks for room for n things.
func (a *applying) take(n, bytes int) bool {
	return a.room == nil || n == 0 || a.room(int64(n)*int64(bytes))
}

// tooLarge counts what a change sets, and says that the item cannot be had any more.
func (a *applying) tooLarge(bytes, values int) bool {
	a.bytes += bytes
	a.values += values
	return a.bytes > item.BytesMax || a.values > item.ValuesMax
}

// set counts a value that is there already, as one of a path or of the request.
func (a *applying) set(v item.Value) item.Value {
	switch v.Type {
	case item.L, item.M, item.SS, item.NS, item.BS:
	default: // small in memory, whatever it counts as
		a.tooLarge(v.Size(), 1)
		return v
	}
	if a.bytes > item.BytesMax {
		return item.Value{Type: v.Type} // no need to look any further
	}
	bytes, values := v.Size(), v.Count()
	if a.tooLarge(bytes, values) {
		return a.without(v.Type, bytes, values)
	}
	return v
}

// without is a value that was too large to be made.
func (a *applying) without(t item.Type, bytes, values int) item.Value {
	empty := item.Value{Type: t}
	a.lacksBytes += bytes - empty.Size()
	a.lacksValues += values - 1
	return empty
}

// evaluate is what an action sets, with the item as it is.
func (a *applying) evaluate(x *action) (item.Value, error) {
	switch {
	case x.verb == verbRemove:
		return item.Value{}, nil
	case x.verb == verbSet && x.arg.op == opCall && x.arg.text == "list_append":
		left, right, err := x.arg.both(a.from)
		if err == nil && (left.Type != item.L || right.Type != item.L) {
			err = errOperand
		}
		if err != nil {
			return left, err
		}
		return a.append(left, right)
	case x.verb == verbSet:
		v, err := x.arg.compute(a.from)
		if err != nil {
			return v, err
		}
		return a.set(v), nil
	}
	have, arg := x.path.get(a.from), x.arg.value
	if have.Type != item.None && have.Type != arg.Type {
		if a.legacy {
			return have, errMismatch
		}
		return have, errOperand
	}
	switch {
	case x.verb == verbDelete:
		return a.minus(have, arg)
	case have.Type == item.None:
		return a.set(arg), nil
	case arg.Type == item.N:
		var err error
		have.Num, err = have.Num.Add(arg.Num)
		return have, err
	case arg.Type == item.L: // AttributeUpdates alone
		return a.append(have, arg)
	}
	return a.union(have, arg)
}

// append is one list behind another.
func (a *applying) append(left, right item.Value) (item.Value, error) {
	if a.bytes > item.BytesMax {
		return item.Value{Type: item.L}, nil
	}
	bytes, values := left.Size()+right.Size()-item.Value{Type: item.L}.Size(), left.Count()+right.Count()-1
	if a.tooLarge(bytes, values) {
		return a.without(item.L, bytes, values), nil
	}
	if !a.take(len(left.List)+len(right.List), item.ValueBytes) {
		return left, ErrNoRoom
	}
	return item.Value{Type: item.L, List: slices.Concat(left.List, right.List)}, nil
}

func (a *applying) union(have, arg item.Value) (item.Value, error) {
	if a.bytes > item.BytesMax {
		return item.Value{Type: have.Type}, nil
	}
	if least := max(have.Size(), arg.Size()); a.tooLarge(least, 1) {
		return a.without(have.Type, least, 1), nil
	}
	if !a.take(elements(have)+elements(arg), item.ElementBytes) {
		return have, ErrNoRoom
	}
	return item.Union(have, arg), nil
}

func (a *applying) minus(have, arg item.Value) (item.Value, error) {
	if have.Type == item.None {
		return have, nil
	}
	if !a.take(elements(have), item.ElementBytes) {
		return have, ErrNoRoom
	}
	return item.Minus(have, arg), nil
}

func elements(set item.Value) int { return len(set.Strs) + len(set.Nums) }

// compute evaluates an operand of a SET; list_append, which is none, is append's.
func (n *node) compute(it item.Item) (item.Value, error) {
	switch n.op {
	case opValue:
		return n.value, nil
	case opPath:
		v := n.path.get(it)
		if v.Type == item.None {
			return v, errNoOperand
		}
		return v, nil
	case opCall:
		if n.text == "if_not_exists" {
			if v := n.args[0].path.get(it); v.Type != item.None {
				return v, nil
			}
			return n.args[1].compute(it)
		}
	}
	left, right, err := n.both(it)
	if err != nil {
		return left, err
	}
	if left.Type != item.N || right.Type != item.N {
		return left, errOperand
	}
	if n.op == opMinus {
		right.Num = right.Num.Negate()
	}
	left.Num, err = left.Num.Add(right.Num)
	return left, err
}

func (n *node) both(it item.Item) (left, right item.Value, err error) {
	if left, err = n.args[0].compute(it); err != nil {
		return left, right, err
	}
	right, err = n.args[1].compute(it)
	return left, right, err
}

// putMap makes changes, which are either all sets or all removals, and in order,
// in a map that is ours to change. Their paths lead into it from depth on.
func (a *applying) putMap(m item.Item, changes []change, depth int) error {
	for len(changes) > 0 {
		n := together(changes, depth)
		name, c := changes[0].path[depth].Name, changes[0]
		switch {
		case changes[0].path[depth].IsIndex:
			return errBadPath
		case len(c.path) > depth+1:
			v, err := a.putIn(m[name], changes[:n], depth+1)
			if err != nil {
				return err
			}
			m[name] = v
		case c.value.Type == item.None:
			delete(m, name)
		default:
			m[name] = c.value
		}
		changes = changes[n:]
	}
	return nil
}

// together is how many of the changes, the first ones, take the same step.
func together(changes []change, depth int) int {
	n := 1
	for n < len(changes) && changes[n].path[depth] == changes[0].path[depth] {
		n++
	}
	return n
}

// putIn returns a copy of a map or list in which changes are made.
func (a *applying) putIn(in item.Value, changes []change, depth int) (item.Value, error) {
	switch in.Type {
	case item.M:
		if !a.take(len(in.Map), item.EntryBytes) {
			return in, ErrNoRoom
		}
		in.Map = in.Map.Clone()
		return in, a.putMap(in.Map, changes, depth)
	case item.L:
		if !a.take(len(in.List)+len(changes), item.ValueBytes) {
			return in, ErrNoRoom
		}
		in.List = append(make([]item.Value, 0, len(in.List)+len(changes)), in.List...)
		var err error
		in.List, err = a.putList(in.List, changes, depth)
		return in, err
	}
	return in, errBadPath
}

// putList is putMap for a list.
func (a *applying) putList(list []item.Value, changes []change, depth int) ([]item.Value, error) {
	var gone []int // from behind
	for len(changes) > 0 {
		n := together(changes, depth)
		s, c := changes[0].path[depth], changes[0]
		switch {
		case !s.IsIndex, len(c.path) > depth+1 && s.Index >= len(list):
			return list, errBadPath
		case len(c.path) > depth+1:
			v, err := a.putIn(list[s.Index], changes[:n], depth+1)
			if err != nil {
				return list, err
			}
			list[s.Index] = v
		case c.value.Type == item.None:
			if s.Index < len(list) {
				gone = append(gone, s.Index)
			}
		case s.Index < len(list):
			list[s.Index] = c.value
		default:
			list = append(list, c.value)
		}
		changes = changes[n:]
	}
	return without(list, gone), nil
}

// without takes the elements of some indices, the last one first, out of a list.
func without(list []item.Value, gone []int) []item.Value {
	if len(gone) == 0 {
		return list
	}
	kept := list[:gone[len(gone)-1]]
	for i := len(kept); i < len(list); i++ {
		if n := len(gone); n > 0 && gone[n-1] == i {
			gone = gone[:n-1]
			continue
		}
		kept = append(kept, list[i])
	}
	return kept
}
