package dynamodb

import (
	"context"

	"github.com/tidwall/btree"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// pageBytesMax is after how much of what was read, filtered out or not, a page ends.
const pageBytesMax = 1 << 20

// A keyRange is the keys from, and up to but without to; empty is no end.
type keyRange struct{ from, to string }

func (r keyRange) has(key string) bool { return key >= r.from && (r.to == "" || key < r.to) }

// A reading is one page of a Query or a Scan: what the request says, and then
// what that comes to on a table.
type reading struct {
	index      *string
	selects    api.Select
	filter     *expr.Condition
	projection *expr.Projection
	limit      *int32
	start      map[string]api.AttributeValue
	consistent *bool
	backward   bool
	scan       bool // it is a Scan's

	table  *table
	tree   *btree.Map[string, row] // of the table, or of the index
	key    keySchema               // of what is read
	local  bool                    // it is a local index
	sees   []string                // attributes that the index has; nil: all
	within keyRange
	after  string // key at which the page before ended
}

func (q *reading) indexName() string {
	if q.index == nil {
		return ""
	}
	return *q.index
}

// choose takes the table, or the index that is named.
func (s *Service) choose(q *reading, t *table) error {
	q.table, q.tree, q.key = t, t.items, t.doc.Key
	if err := t.doc.checkScalars(append(q.projection.Nested(), q.filter.Nested()...)); err != nil {
		return err
	}
	if q.index == nil {
		return nil
	}
	for i := range t.doc.Indexes {
		if x := &t.doc.Indexes[i]; x.Name == *q.index {
			q.tree, q.key, q.local = t.indexes[i].entries, x.Key, x.Local
			return s.chooseIndex(q, t, x)
		}
	}
	return validation("The table does not have the specified index: %s", *q.index)
}

func (s *Service) chooseIndex(q *reading, t *table, x *indexDoc) error {
	projects := t.doc.projects(x)
	wanted := q.projection.Attributes()
	if x.Local {
		// A local index gets what it does not have from the table, when asked for it.
		if q.selects != api.SelectAllAttributes && wanted == nil {
			q.sees = projects
		}
		return nil
	}
	q.sees = projects
	switch {
	case s.indexStatus(&t.doc, x) != api.IndexStatusActive:
		return validation("Cannot read from backfilling global secondary index: %s", x.Name)
	case q.consistent != nil && *q.consistent:
		return validation("Consistent reads are not supported on global secondary indexes")
	case q.selects == api.SelectAllAttributes && projects != nil:
		return validation(badValues+"Select type ALL_ATTRIBUTES is not supported for global secondary index %s because its projection type is not ALL", x.Name)
	}
	if projects != nil {
		for _, name := range append(wanted, q.filter.Attributes()...) {
			if !containsSorted(projects, name) {
				return validation(badValues+"Global secondary index %s does not project %s", x.Name, name)
			}
		}
	}
	return nil
}

// startAt goes on behind the key at which the page before ended, which must be
// one of those that are read; outside says why it is not.
func (q *reading) startAt(outside func(start item.Item) error) error {
	if q.start == nil {
		return nil
	}
	it, err := item.ItemFromAPI(q.start)
	if err != nil {
		return validation("The provided starting key is invalid: %s", err)
	}
	d := &q.table.doc
	names := d.Key.names()
	for _, name := range q.key.names() {
		if !d.Key.has(name) {
			names = append(names, name)
		}
	}
	const noKey = "The provided key element does not match the schema"
	for _, name := range names {
		v, ok := it[name]
		switch {
		case q.scan && (!ok || len(it) != len(names) || v.Type.String() != d.Types[name]):
			return validation("The provided starting key is invalid: " + noKey)
		case !ok || len(it) != len(names):
			return validation("The provided starting key is invalid")
		case v.Type.String() != d.Types[name]:
			return validation(noKey)
		}
		if err := checkKeyValue(name, v, name == d.Key.Hash || name == q.key.Hash); err != nil {
			return validation("The provided starting key is invalid: %s", err.(*rheo.Error).Message)
		}
	}
	key, _ := d.keyOf(d.Key, it)
	if q.index != nil {
		entry, _ := d.keyOf(q.key, it)
		key = entry + key
	}
	if !q.within.has(key) {
		return outside(it)
	}
	q.after = key
	return nil
}

// A page is what a reading came to.
type page struct {
	items          []map[string]api.AttributeValue // nil if only their number was asked for
	count, scanned int32
	bytes          int
	last           map[string]api.AttributeValue // where the next page goes on; nil at the end
}

// read reads a page, whose items are taken from the answer's memory: it ends
// where that is used up.
func (q *reading) read(ctx context.Context, a *answer) (p page, err error) {
	if q.selects != api.SelectCount {
		p.items = []map[string]api.AttributeValue{}
	}
	var before row // the one before, if its version is not 0
	q.walk(func(r row) bool {
		if p.scanned%256 == 255 && ctx.Err() != nil {
			err = ctx.Err()
			return false
		}
		// end ends the page in front of the item, for which there is no memory.
		end := func() bool {
			if before.version == 0 {
				err = errNoRoom()
			} else if it, wrong := item.Pick(before.stored, q.lastNames()); wrong != nil {
				err = wrong
			} else {
				p.last = it.API()
			}
			return false
		}
		whole, room, wrong := a.decode(r.stored)
		switch {
		case wrong != nil:
			err = wrong
			return false
		case !room:
			return end()
		}
		it := whole
		if q.sees != nil {
			it = pick(whole, q.sees)
		}
		if q.filter.Match(it) {
			if p.items != nil {
				shown := q.projection.Of(it)
				if !a.take(shown) {
					return end()
				}
				p.items = append(p.items, shown.API())
			}
			p.count++
		}
		before = r
		p.scanned++
		p.bytes += it.Size()
		if q.limit != nil && p.scanned >= *q.limit || p.bytes >= pageBytesMax {
			p.last = pick(whole, q.lastNames()).API()
			return false
		}
		return true
	})
	return p, err
}

// walk goes through the rows in the range, in order, behind the start.
func (q *reading) walk(visit func(row) bool) {
	if q.backward {
		pivot := q.within.to
		if q.after != "" {
			pivot = q.after
		}
		step := func(key string, r row) bool {
			if pivot != "" && key >= pivot {
				return true
			}
			return key >= q.within.from && visit(r)
		}
		if pivot == "" {
			q.tree.Reverse(step)
		} else {
			q.tree.Descend(pivot, step)
		}
		return
	}
	q.tree.Ascend(max(q.within.from, q.after), func(key string, r row) bool {
		if key == q.after {
			return true
		}
		return q.within.has(key) && visit(r)
	})
}

// lastNames are the attributes by which an item is found again.
func (q *reading) lastNames() []string {
	names := q.table.doc.Key.names()
	if q.index != nil {
		names = append(names, q.key.names()...)
	}
	return names
}

func pick(it item.Item, names []string) item.Item {
	out := make(item.Item, len(names))
	for _, name := range names {
		if v, ok := it[name]; ok {
			out[name] = v
		}
	}
	return out
}
