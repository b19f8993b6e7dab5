package logs

import (
	"errors"
	"maps"
	"slices"

	"github.com/tidwall/btree"
)

// A state is what groups, streams and filters a prefix of the log amounts to. The
// apply loop has one that it changes; what readers get is a view that shares all
// unchanged parts with it and is never changed again.
type state struct {
	offset uint64 // of the last command applied
	bytes  int64  // of memory, about
	groups *btree.Map[string, *group]

	dirty map[string]bool // groups whose view is not current; the apply loop's
	views *btree.Map[string, *group]
}

// A group is a log group: its definition, its streams, and how far its
// subscription filters have come.
type group struct {
	doc     groupDoc // never changed, replaced
	version uint64
	streams *btree.Map[string, stream] // by name
	names   *btree.Map[uint64, string] // of streams, by number
	cursors map[string]reached         // by the filter's id; never changed, replaced
}

// reached is how far a filter has come.
type reached struct {
	offset uint64   // of the group's log; all below it is done
	done   progress // behind it; never changed
}

// A stream is a log stream. Where records name it, they do by its number.
type stream struct {
	number  uint64
	created int64 // ms
}

// A groupDoc is the definition of a log group, as it is kept.
type groupDoc struct {
	ID      string
	Account string
	Region  string
	Name    string
	Created int64 // ms
	Class   string
	// Days of retention; 0 keeps events for ever.
	Days int `json:",omitempty"`
	// Floor is the time in ms before which events have expired for good: raising the
	// retention does not bring back what is older.
	Floor     int64             `json:",omitempty"`
	Tags      map[string]string `json:",omitempty"`
	Filters   []filterDoc       `json:",omitempty"` // in the order of their names
	Protected bool              `json:",omitempty"` // against deletion
}

// A filterDoc is a subscription filter.
type filterDoc struct {
	ID           string
	Name         string
	Pattern      string
	Destination  string // ARN
	Role         string `json:",omitempty"` // ARN
	Distribution string
	Created      int64  // ms
	From         uint64 // the offset of the group's log at which it began
}

func groupKey(account, region, name string) string { return account + "/" + region + "/" + name }

func (d *groupDoc) key() string { return groupKey(d.Account, d.Region, d.Name) }

// cursor is where a filter goes on.
func (g *group) cursor(f *filterDoc) reached {
	if c := g.cursors[f.ID]; c.offset >= f.From {
		return c
	}
	return reached{offset: f.From}
}

func (d *groupDoc) filter(name string) *filterDoc {
	for i := range d.Filters {
		if d.Filters[i].Name == name {
			return &d.Filters[i]
		}
	}
	return nil
}

// What keeping things costs beside their own bytes: nodes of trees, headers.
const (
	groupCost  = 4 << 10
	streamCost = 112
)

// errConflict: what a command expects does not hold; decide again.
var errConflict = errors.New("logs: a group or a stream changed meanwhile")

func newState() *state {
	return &state{groups: new(btree.Map[string, *group]), dirty: map[string]bool{}, views: new(btree.Map[string, *group])}
}

// view is the state as it is now, for readers.
func (s *state) view() *state {
	for key := range s.dirty {
		g, ok := s.groups.Get(key)
		if !ok {
			s.views.Delete(key)
			continue
		}
		v := *g
		v.streams, v.names = g.streams.Copy(), g.names.Copy()
		s.views.Set(key, &v)
	}
	clear(s.dirty)
	return &state{offset: s.offset, bytes: s.bytes, groups: s.views.Copy()}
}

// apply applies the command at an offset, appended at a time in ms. It depends on
// the state and its arguments alone. A command at or below the state's offset is
// part of it already.
func (s *state) apply(offset uint64, at int64, st *step) error {
	if offset <= s.offset {
		return nil
	}
	s.offset = offset
	g, ok := s.groups.Get(st.group)
	if ok && st.kind != putGroup && st.kind != dropGroup && g.doc.ID != st.id {
		ok = false
	}
	switch st.kind {
	case putGroup:
		if ok && g.version != st.version || !ok && st.version != 0 {
			return errConflict
		}
		s.putGroup(offset, st)
	case dropGroup:
		if !ok || g.version != st.version {
			return errConflict
		}
		s.groups.Delete(st.group)
		s.bytes -= groupCost + g.memory()
	case putStream:
		if !ok {
			return errConflict
		}
		if _, exists := g.streams.Get(st.name); exists {
			return errConflict
		}
		s.putStream(g, st.name, stream{offset, at})
	case dropStream:
		if !ok {
			return errConflict
		}
		if sm, exists := g.streams.Get(st.name); !exists || sm.number != st.number {
			return errConflict
		}
		g.streams.Delete(st.name)
		g.names.Delete(st.number)
		s.bytes -= streamBytes(st.name)
	case moveCursor:
		if !ok {
			return errConflict
		}
		g.moveCursor(st.name, reached{st.number, st.done})
	}
	s.dirty[st.group] = true
	return nil
}

func (s *state) putGroup(offset uint64, st *step) {
	g, ok := s.groups.Get(st.group)
	if !ok {
		g = &group{streams: new(btree.Map[string, stream]), names: new(btree.Map[uint64, string])}
		s.groups.Set(st.group, g)
		s.bytes += groupCost
	}
	g.doc, g.version = st.doc, offset
	g.moveCursor("", reached{})
}

func (s *state) putStream(g *group, name string, sm stream) {
	g.streams.Set(name, sm)
	g.names.Set(sm.number, name)
	s.bytes += streamBytes(name)
}

// moveCursor moves a filter's cursor forward, and forgets those of filters that
// are gone.
func (g *group) moveCursor(id string, to reached) {
	cursors := make(map[string]reached, len(g.doc.Filters))
	for i := range g.doc.Filters {
		f := &g.doc.Filters[i]
		if at, ok := g.cursors[f.ID]; ok {
			cursors[f.ID] = at
		}
		if f.ID == id && to.offset >= cursors[id].offset {
			cursors[id] = to
		}
	}
	g.cursors = cursors
}

func streamBytes(name string) int64 { return int64(streamCost + len(name)) }

// memory is what the streams of a group take.
func (g *group) memory() int64 {
	n := int64(0)
	g.streams.Scan(func(name string, _ stream) bool {
		n += streamBytes(name)
		return true
	})
	return n
}

// clone shares nothing with d.
func (d *groupDoc) clone() groupDoc {
	c := *d
	c.Tags, c.Filters = maps.Clone(d.Tags), slices.Clone(d.Filters)
	return c
}
