package catalog

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/tidwall/btree"
)

// State is the machine: what a prefix of the log amounts to. The documents are
// a B-tree whose copies share what they have in common: a copy costs nothing,
// and the next write to either copies the few nodes on its way down.
type State struct {
	offset uint64 // of the last command applied
	docs   *btree.Map[string, Doc]
}

// Doc is a document and the offset of the command that wrote it.
type Doc struct {
	Version uint64
	Doc     []byte
}

// A Change is a document that a command wrote; Doc is nil when it was deleted.
type Change struct {
	Key     string
	Version uint64
	Doc     []byte
}

// ErrConflict: an expectation of the transaction did not hold; read again and decide anew.
var ErrConflict = errors.New("catalog: a document changed meanwhile")

func newState() *State { return &State{docs: new(btree.Map[string, Doc])} }

// copy returns a state that later commands to s leave alone.
func (s *State) copy() *State { return &State{s.offset, s.docs.Copy()} }

// Apply applies the command at offset and returns what it changed, in key
// order. It depends on the state and its arguments alone, so that all processes
// come to the same state. A command at or below the state's offset is already
// part of it and changes nothing.
func (s *State) Apply(offset uint64, t Txn) ([]Change, error) {
	if offset <= s.offset {
		return nil, nil
	}
	s.offset = offset
	for key, want := range t.Expect {
		if d, _ := s.docs.Get(key); d.Version != want {
			return nil, fmt.Errorf("%w: %s", ErrConflict, key)
		}
	}
	var touched []string
	remove := func(key string) {
		if _, ok := s.docs.Delete(key); ok {
			touched = append(touched, key)
		}
	}
	for _, tree := range t.Remove {
		for _, d := range s.list(tree) {
			remove(d.Key)
		}
	}
	for _, from := range sortedKeys(t.Move) {
		for _, d := range s.list(from) {
			remove(d.Key)
			key := t.Move[from] + strings.TrimPrefix(d.Key, from)
			s.docs.Set(key, Doc{offset, d.Doc})
			touched = append(touched, key)
		}
	}
	for _, key := range sortedKeys(t.Write) {
		if doc := t.Write[key]; doc != nil && string(doc) != "null" {
			s.docs.Set(key, Doc{offset, doc})
			touched = append(touched, key)
		} else {
			remove(key)
		}
	}
	slices.Sort(touched)
	touched = slices.Compact(touched)
	changes := make([]Change, len(touched))
	for i, key := range touched {
		d, _ := s.docs.Get(key)
		changes[i] = Change{key, offset, d.Doc}
	}
	return changes, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// scan goes through the documents whose keys start with prefix and sort after
// the key after. The state must not change meanwhile.
func (s *State) scan(prefix, after string) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		s.docs.Ascend(max(prefix, after), func(key string, d Doc) bool {
			if key == after && after != "" {
				return true
			}
			return strings.HasPrefix(key, prefix) && yield(Change{key, d.Version, d.Doc})
		})
	}
}

func (s *State) list(prefix string) []Change { return slices.Collect(s.scan(prefix, "")) }

// under cuts out the changes, which are in key order, of keys that start with prefix.
func under(changes []Change, prefix string) []Change {
	from, _ := slices.BinarySearchFunc(changes, prefix, func(ch Change, p string) int { return strings.Compare(ch.Key, p) })
	to := from
	for to < len(changes) && strings.HasPrefix(changes[to].Key, prefix) {
		to++
	}
	return changes[from:to:to]
}
