package expr

import (
	"slices"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// A Projection is the part of an item that somebody wants to see. A nil
// Projection is all of it.
type Projection struct {
	Paths []Path
	tree  branch
}

// Projection parses a ProjectionExpression.
func (p *Params) Projection(text string) (*Projection, error) {
	paths, err := p.parsePaths(text)
	if err != nil {
		return nil, inExpression("ProjectionExpression", err)
	}
	return Project(paths), nil
}

func (p *Params) parsePaths(text string) ([]Path, error) {
	ps, err := newParser(text)
	if err != nil {
		return nil, err
	}
	var paths []Path
	for {
		path, err := ps.path()
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
		if !ps.accept(",") {
			break
		}
	}
	if err := ps.end(); err != nil {
		return nil, err
	}
	for _, path := range paths {
		if word, is := path.reservedIn(); is {
			return nil, errReserved(word)
		}
	}
	for i := range paths {
		if paths[i], err = paths[i].resolve(p); err != nil {
			return nil, err
		}
	}
	return paths, distinctPaths(paths)
}

// ProjectAttributes is the projection on top-level attributes (AttributesToGet).
func ProjectAttributes(names []string) (*Projection, error) {
	if names == nil {
		return nil, nil
	}
	var paths []Path
	for i, name := range names {
		if name == "" {
			return nil, invalid("One or more parameter values were invalid: Attribute name must not be empty")
		}
		if slices.Contains(names[:i], name) {
			return nil, invalid("One or more parameter values were invalid: Duplicate value in attribute name: %s", name)
		}
		paths = append(paths, Attribute(name))
	}
	return Project(paths), nil
}

// Project makes a projection of paths, none of which leads to another.
func Project(paths []Path) *Projection {
	p := &Projection{Paths: paths}
	for _, path := range paths {
		p.tree.add(path)
	}
	return p
}

// Of is the part of an item that is projected, with the maps and lists around
// it. The elements of a list that are left close up.
func (p *Projection) Of(it item.Item) item.Item {
	if p == nil {
		return it
	}
	return p.tree.names.of(it)
}

// Attributes are the names of the top-level attributes.
func (p *Projection) Attributes() []string {
	if p == nil {
		return nil
	}
	return sorted(p.tree.names)
}

// Nested are the top-level attributes that the projection looks into.
func (p *Projection) Nested() []string {
	if p == nil {
		return nil
	}
	return nested(p.Paths)
}

// A branch is what is wanted of a value: all of it if it has neither names nor
// indices.
type branch struct {
	names   names
	indices map[int]*branch
}

type names map[string]*branch

func (b *branch) add(path Path) {
	if len(path) == 0 {
		return
	}
	var next *branch
	if s := path[0]; s.IsIndex {
		if b.indices == nil {
			b.indices = make(map[int]*branch)
		}
		if next = b.indices[s.Index]; next == nil {
			next = new(branch)
			b.indices[s.Index] = next
		}
	} else {
		if b.names == nil {
			b.names = make(names)
		}
		if next = b.names[s.Name]; next == nil {
			next = new(branch)
			b.names[s.Name] = next
		}
	}
	next.add(path[1:])
}

func (wanted names) of(it item.Item) item.Item {
	out := make(item.Item, len(wanted))
	for name, b := range wanted {
		if v := b.of(it[name]); v.Type != item.None {
			out[name] = v
		}
	}
	return out
}

// of is the wanted part of a value; of no type if there is nothing of it.
func (b *branch) of(v item.Value) item.Value {
	switch {
	case b.names == nil && b.indices == nil:
		return v
	case b.names != nil && v.Type == item.M:
		if m := b.names.of(v.Map); len(m) > 0 {
			return item.Value{Type: item.M, Map: m}
		}
	case b.indices != nil && v.Type == item.L:
		var list []item.Value
		for _, i := range sortedInts(b.indices) {
			if i < len(v.List) {
				if e := b.indices[i].of(v.List[i]); e.Type != item.None {
					list = append(list, e)
				}
			}
		}
		if len(list) > 0 {
			return item.Value{Type: item.L, List: list}
		}
	}
	return item.Value{}
}

func sortedInts(m map[int]*branch) []int {
	keys := make([]int, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
