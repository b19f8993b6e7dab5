package expr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// A Path leads to an attribute or to a value within one.
type Path []Step

// A Step is the name of an attribute or of a map's element, or the index of a
// list's, from 0.
type Step struct {
	Name    string
	Index   int
	IsIndex bool
}

// pathDepthMax is how long a path may be.
const pathDepthMax = item.DepthMax

// Attribute is the path of a top-level attribute, whatever its name.
func Attribute(name string) Path { return Path{{Name: name}} }

// String is a path as DynamoDB's messages have it: "[a, [0], b]".
func (p Path) String() string {
	list := make([]string, len(p))
	for i, s := range p {
		list[i] = s.Name
		if s.IsIndex {
			list[i] = "[" + strconv.Itoa(s.Index) + "]"
		}
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// get is the value at p; of no type if there is none.
func (p Path) get(it item.Item) item.Value {
	v := it[p[0].Name]
	for _, s := range p[1:] {
		v = s.in(v)
	}
	return v
}

// in is the element of v that s leads to; of no type if there is none.
func (s Step) in(v item.Value) item.Value {
	switch {
	case s.IsIndex && v.Type == item.L && s.Index < len(v.List):
		return v.List[s.Index]
	case !s.IsIndex && v.Type == item.M:
		return v.Map[s.Name]
	}
	return item.Value{}
}

// resolve puts names in the place of placeholders.
func (p Path) resolve(params *Params) (Path, error) {
	out := slices.Clone(p)
	for i := range out {
		if strings.HasPrefix(out[i].Name, "#") {
			name, err := params.name(out[i].Name)
			if err != nil {
				return nil, err
			}
			out[i].Name = name
		}
	}
	if len(out) > pathDepthMax {
		return nil, fmt.Errorf("The document path has too many nesting levels; nesting levels: %d", len(out))
	}
	return out, nil
}

// reservedIn is the first of a path's names that cannot stand there without a
// placeholder.
func (p Path) reservedIn() (string, bool) {
	for _, s := range p {
		if !s.IsIndex && reserved(s.Name) {
			return s.Name, true
		}
	}
	return "", false
}

func errReserved(word string) error {
	return fmt.Errorf("Attribute name is a reserved keyword; reserved keyword: %s", word)
}

// distinctPaths says whether two of the paths lead to one another, or through
// the same value as a list and as a map.
func distinctPaths(paths []Path) error {
	for i, b := range paths {
		for _, a := range paths[:i] {
			if err := distinct(a, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func distinct(a, b Path) error {
	for i := range min(len(a), len(b)) {
		if a[i].IsIndex != b[i].IsIndex {
			return fmt.Errorf("Two document paths conflict with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", a, b)
		}
		if a[i] != b[i] {
			return nil
		}
	}
	return fmt.Errorf("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", a, b)
}
