package expr

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// nulls is a list of n values that are next to nothing but in memory.
func nulls(n int) item.Value {
	return item.Value{Type: item.L, List: slices.Repeat([]item.Value{{Type: item.NULL}}, n)}
}

// each is a section with an action for every i below n.
func each(section, action string, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = strings.ReplaceAll(action, "%d", fmt.Sprint(i))
	}
	return section + " " + strings.Join(list, ", ")
}

// TestUpdatesMakeLittle: of an item that gets too large nothing is made that does
// not fit, and every list and map is copied once for all its changes.
func TestUpdatesMakeLittle(t *testing.T) {
	big := item.Value{Type: item.SS}
	for i := range 20_000 {
		big.Strs = append(big.Strs, fmt.Sprintf("%015d", i))
	}
	sets := item.Item{"d": nulls(9_900), "m": {Type: item.M, Map: item.Item{"l": nulls(5_000)}}}
	for i := range 200 {
		sets[fmt.Sprintf("s%d", i)] = item.Value{Type: item.SS, Strs: []string{"a"}}
	}
	const list = 9_900 * int64(item.ValueBytes)
	const top = 202 * item.EntryBytes
	for _, tt := range []struct {
		update   string
		most     int64 // bytes made
		tooLarge bool
	}{
		{each("SET", "e%d = list_append(d, d)", 150), top + 2*list, true},
		{each("SET", "e%d = d", 400), top, true},
		{each("SET", "e%d = :big", 300), top, true},
		{each("ADD", "s%d :big", 200), top + 2*20_001*item.ElementBytes, true},
		{"SET e = list_append(:l, :l)", top + 2*int64(item.ValueBytes), false},
		{each("REMOVE", "d[%d]", 400), top + list + 400*int64(item.ValueBytes), false},
		{each("SET", "d[%d] = :x", 300), top + list + 400*int64(item.ValueBytes), false},
		{each("SET", "m.l[%d] = :x", 250), top + 5_300*int64(item.ValueBytes) + item.EntryBytes, false},
	} {
		p := params(t, nil, `{":x": {"S": "x"}, ":l": {"L": [{"S": "n"}]}}`)
		p.values[":big"] = big
		u, err := p.Update(tt.update)
		if err != nil {
			t.Fatalf("%.40s: %v", tt.update, err)
		}
		made := int64(0)
		out, err := u.Apply(sets, func(n int64) bool { made += n; return true })
		if err != nil {
			t.Errorf("%.40s: %v", tt.update, err)
		}
		if made > tt.most {
			t.Errorf("%.40s: %d bytes are made, want at most %d", tt.update, made, tt.most)
		}
		if got := out.Size() > item.BytesMax || out.Count() > item.ValuesMax; got != tt.tooLarge {
			t.Errorf("%.40s: %d bytes and %d values", tt.update, out.Size(), out.Count())
		}
		if _, err := u.Apply(sets, func(int64) bool { return false }); err != ErrNoRoom {
			t.Errorf("%.40s without memory: %v", tt.update, err)
		}
	}
}

// TestSizeOfWhatIsNotMade: it is that which it would have had.
func TestSizeOfWhatIsNotMade(t *testing.T) {
	it := item.Item{"d": nulls(15_000)}
	u, err := params(t, nil, "").Update("SET e = list_append(d, d), f = list_append(d, d)")
	if err != nil {
		t.Fatal(err)
	}
	out, err := u.Apply(it, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := item.Item{"d": nulls(15_000), "e": nulls(30_000), "f": nulls(30_000)}
	if out.Size() != whole.Size() || out.Count() != whole.Count() {
		t.Errorf("%d bytes and %d values, want %d and %d", out.Size(), out.Count(), whole.Size(), whole.Count())
	}
}

// oneByOne makes changes one after the other, each on copies of all that leads to it.
func oneByOne(in item.Value, path Path, v item.Value) (item.Value, error) {
	s := path[0]
	switch {
	case s.IsIndex && in.Type == item.L:
		in.List = slices.Clone(in.List)
		switch {
		case len(path) > 1 && s.Index >= len(in.List):
			return in, errBadPath
		case len(path) > 1:
			changed, err := oneByOne(in.List[s.Index], path[1:], v)
			in.List[s.Index] = changed
			return in, err
		case v.Type == item.None && s.Index < len(in.List):
			in.List = slices.Delete(in.List, s.Index, s.Index+1)
		case v.Type == item.None:
		case s.Index < len(in.List):
			in.List[s.Index] = v
		default:
			in.List = append(in.List, v)
		}
		return in, nil
	case !s.IsIndex && in.Type == item.M:
		in.Map = in.Map.Clone()
		switch {
		case len(path) > 1:
			changed, err := oneByOne(in.Map[s.Name], path[1:], v)
			in.Map[s.Name] = changed
			return in, err
		case v.Type == item.None:
			delete(in.Map, s.Name)
		default:
			in.Map[s.Name] = v
		}
		return in, nil
	}
	return in, errBadPath
}

// TestChangesTogether: changes made together come to what they do one by one.
func TestChangesTogether(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var value func(depth int) string
	value = func(depth int) string {
		switch n := rng.IntN(4); {
		case depth > 0 && n == 0:
			return fmt.Sprintf(`{"M": {"a": %s, "b": %s}}`, value(depth-1), value(depth-1))
		case depth > 0 && n < 3:
			return fmt.Sprintf(`{"L": [%s, %s, %s]}`, value(depth-1), value(depth-1), value(depth-1))
		}
		return fmt.Sprintf(`{"N": "%d"}`, rng.IntN(100))
	}
	path := func() string {
		p := string(rune('x' + rng.IntN(2)))
		for range rng.IntN(4) {
			if rng.IntN(3) == 0 {
				p += "." + string(rune('a'+rng.IntN(3)))
			} else {
				p += fmt.Sprintf("[%d]", rng.IntN(5))
			}
		}
		return p
	}
	done := 0
	for range 5_000 {
		it := itemOf(t, fmt.Sprintf(`{"x": %s, "y": %s}`, value(3), value(3)))
		before := show(it)
		var sets, removes []string
		for range 1 + rng.IntN(4) {
			if rng.IntN(2) == 0 {
				sets = append(sets, path()+" = :v")
			} else {
				removes = append(removes, path())
			}
		}
		text := ""
		if sets != nil {
			text = "SET " + strings.Join(sets, ", ")
		}
		if removes != nil {
			text += " REMOVE " + strings.Join(removes, ", ")
		}
		values := `{":v": {"S": "new"}}`
		if sets == nil {
			values = ""
		}
		u, err := params(t, nil, values).Update(text)
		if err != nil {
			continue // the paths overlap
		}
		got, err := u.Apply(it, nil)

		actions := slices.Clone(u.actions)
		slices.SortStableFunc(actions, func(a, b action) int {
			if a.verb != b.verb {
				return int(a.verb) - int(b.verb)
			}
			if a.verb == verbRemove {
				a, b = b, a
			}
			return comparePaths(a.path, b.path)
		})
		want, wantErr := item.Value{Type: item.M, Map: it}, error(nil)
		for _, a := range actions {
			v := item.Value{}
			if a.verb == verbSet {
				v = a.arg.value
			}
			if want, wantErr = oneByOne(want, a.path, v); wantErr != nil {
				break
			}
		}
		switch {
		case (err != nil) != (wantErr != nil):
			t.Fatalf("%s of %s: %v, want %v", text, before, err, wantErr)
		case err == nil && !item.Equal(item.Value{Type: item.M, Map: got.Item}, want):
			t.Fatalf("%s of %s: %s, want %s", text, before, show(got.Item), show(want.Map))
		case show(it) != before:
			t.Fatalf("%s changed the item it was applied to", text)
		case err == nil:
			done++
		}
	}
	if done < 500 {
		t.Errorf("only %d updates came to something", done)
	}
}
