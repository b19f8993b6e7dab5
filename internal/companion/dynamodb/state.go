package dynamodb

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/btree"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// A state is what a prefix of the log amounts to. The apply loop has one that it
// changes; what readers get is a view that shares all unchanged parts with it
// and is never changed again.
type state struct {
	offset uint64 // of the last command applied
	bytes  int64  // of memory, about
	// accounts has how many of the bytes are an account's.
	accounts *btree.Map[string, int64]
	tables   *btree.Map[string, *table]
	tokens   *btree.Map[string, token]

	order *btree.Map[uint64, string] // of tokens, by the offset of their command; the apply loop's
	dirty map[string]bool            // tables whose view is not current; the apply loop's
	views *btree.Map[string, *table]
}

// A table is a definition, its items and the entries of its indexes.
type table struct {
	doc     tableDoc // never changed, replaced
	version uint64
	items   *btree.Map[string, row]
	indexes []*index // as doc.Indexes
	bytes   int64    // of items, as they are stored
}

type index struct {
	needs   []string // attributes: its key's and the table's
	entries *btree.Map[string, row]
	bytes   int64
}

// A row is an item in its stored form, and the offset of the command that wrote it.
type row struct {
	version uint64
	stored  string
}

// A token is a request that was done, which is not done again for a while.
type token struct {
	hash   string
	at     int64 // ms
	offset uint64
}

// tokenMillis is how long tokens are remembered.
const tokenMillis = 10 * 60 * 1000

// What keeping things costs beside their own bytes: nodes of trees, headers.
const (
	rowCost   = 112
	entryCost = 96
	tableCost = 8 << 10
	tokenCost = 256
)

// errConflict: what a command expects does not hold; decide again.
var errConflict = errors.New("dynamodb: an item or a table changed meanwhile")

func newState() *state {
	return &state{accounts: new(btree.Map[string, int64]), tables: new(btree.Map[string, *table]), tokens: new(btree.Map[string, token]),
		order: new(btree.Map[uint64, string]), dirty: make(map[string]bool), views: new(btree.Map[string, *table])}
}

// charge counts memory that the table or token with a key has come to take.
func (s *state) charge(key string, bytes int64) {
	s.bytes += bytes
	account := accountOf(key)
	if have, _ := s.accounts.Get(account); have+bytes == 0 {
		s.accounts.Delete(account)
	} else {
		s.accounts.Set(strings.Clone(account), have+bytes)
	}
}

// view is the state as it is now, for readers.
func (s *state) view() *state {
	for key := range s.dirty {
		t, ok := s.tables.Get(key)
		if !ok {
			s.views.Delete(key)
			continue
		}
		v := *t
		v.items = t.items.Copy()
		v.indexes = make([]*index, len(t.indexes))
		for i, x := range t.indexes {
			v.indexes[i] = &index{x.needs, x.entries.Copy(), x.bytes}
		}
		s.views.Set(key, &v)
	}
	clear(s.dirty)
	return &state{offset: s.offset, bytes: s.bytes, accounts: s.accounts.Copy(), tables: s.views.Copy(), tokens: s.tokens.Copy()}
}

// apply applies the command at an offset, appended at a time in ms. It depends
// on the state and its arguments alone. A command at or below the state's offset
// is part of it already.
func (s *state) apply(offset uint64, at int64, t txn) error {
	if offset <= s.offset {
		return nil
	}
	s.offset = offset
	for i := range t {
		if !s.holds(&t[i], at) {
			return errConflict
		}
	}
	for i := range t {
		if err := s.do(offset, at, &t[i]); err != nil {
			return err
		}
	}
	return nil
}

// holds says whether what a step expects is so.
func (s *state) holds(st *step, at int64) bool {
	switch st.kind {
	case putTable, dropTable:
		t, ok := s.tables.Get(st.table)
		return ok && t.version == st.version || !ok && st.version == 0
	case remember:
		tok, ok := s.tokens.Get(st.key)
		return !ok || at-tok.at > tokenMillis
	}
	t, ok := s.tables.Get(st.table)
	if !ok || t.doc.ID != st.id {
		return false
	}
	r, _ := t.items.Get(st.key)
	return r.version == st.version
}

func (s *state) do(offset uint64, at int64, st *step) error {
	switch st.kind {
	case putTable:
		return s.putTable(offset, st)
	case dropTable:
		s.dropTable(st.table)
	case putItem:
		// Kept by itself, so that its memory goes when it is replaced.
		return s.setItem(st.table, st.key, row{offset, strings.Clone(st.stored)})
	case deleteItem:
		return s.setItem(st.table, st.key, row{})
	case remember:
		s.remember(st.key, token{strings.Clone(st.stored), at, offset})
	}
	return nil
}

// putTable makes a table or changes its definition. Indexes that are new are
// filled from the items, in one go.
func (s *state) putTable(offset uint64, st *step) error {
	t, ok := s.tables.Get(st.table)
	if !ok {
		t = &table{items: new(btree.Map[string, row])}
		s.tables.Set(strings.Clone(st.table), t)
		s.charge(st.table, tableCost)
	}
	before := t.indexes
	t.indexes = make([]*index, len(st.doc.Indexes))
	for i := range st.doc.Indexes {
		for j := range before {
			if t.doc.Indexes[j].Name == st.doc.Indexes[i].Name && t.doc.Indexes[j].Created == st.doc.Indexes[i].Created {
				t.indexes[i], before[j] = before[j], nil
				break
			}
		}
	}
	for _, x := range before {
		if x != nil {
			s.charge(st.table, -x.bytes)
		}
	}
	t.doc, t.version = st.doc, offset
	s.dirty[st.table] = true
	for i, x := range t.indexes {
		if x == nil {
			if err := s.fill(st.table, t, i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *state) fill(tableKey string, t *table, i int) error {
	x := &index{needs: t.indexNeeds(i), entries: new(btree.Map[string, row])}
	t.indexes[i] = x
	var failed error
	t.items.Scan(func(key string, r row) bool {
		failed = t.setEntry(i, key, row{}, r)
		return failed == nil
	})
	s.charge(tableKey, x.bytes)
	return failed
}

func (t *table) indexNeeds(i int) []string {
	return append(t.doc.Key.names(), t.doc.Indexes[i].Key.names()...)
}

func (s *state) dropTable(key string) {
	t, ok := s.tables.Delete(key)
	if !ok {
		return
	}
	s.dirty[key] = true
	s.charge(key, -tableCost-t.memory())
}

// memory is what the items and indexes of a table take.
func (t *table) memory() int64 {
	n := int64(0)
	t.items.Scan(func(key string, r row) bool {
		n += itemCost(key, r)
		return true
	})
	for _, x := range t.indexes {
		n += x.bytes
	}
	return n
}

func itemCost(key string, r row) int64 {
	if r.version == 0 {
		return 0
	}
	return int64(len(key) + len(r.stored) + rowCost)
}

// setItem puts an item, or deletes it if r is none, and the entries of the indexes.
func (s *state) setItem(tableKey, key string, r row) error {
	t, ok := s.tables.Get(tableKey)
	if !ok {
		return fmt.Errorf("no table %s", tableKey) // holds would have refused it
	}
	s.dirty[tableKey] = true
	var old row
	if r.version == 0 {
		old, _ = t.items.Delete(key)
	} else {
		key = strings.Clone(key)
		old, _ = t.items.Set(key, r)
	}
	t.bytes += int64(len(r.stored) - len(old.stored))
	change := itemCost(key, r) - itemCost(key, old)
	for i := range t.indexes {
		bytes := t.indexes[i].bytes
		if err := t.setEntry(i, key, old, r); err != nil {
			return err
		}
		change += t.indexes[i].bytes - bytes
	}
	s.charge(tableKey, change)
	return nil
}

// setEntry moves an item's entry in an index. An item that has not all of the
// index's key, or not of its types, has none.
func (t *table) setEntry(i int, key string, old, r row) error {
	x := t.indexes[i]
	oldEntry, err := t.entryOf(i, key, old)
	if err != nil {
		return err
	}
	entry, err := t.entryOf(i, key, r)
	if err != nil {
		return err
	}
	if oldEntry != "" && oldEntry != entry {
		x.entries.Delete(oldEntry)
		x.bytes -= int64(len(oldEntry) + entryCost)
	}
	if entry != "" {
		if _, had := x.entries.Set(entry, r); !had {
			x.bytes += int64(len(entry) + entryCost)
		}
	}
	return nil
}

// entriesCost is what an item's entries in all indexes take.
func (d *tableDoc) entriesCost(key string, it item.Item) (n int64) {
	for i := range d.Indexes {
		n += d.entryCost(&d.Indexes[i], key, it)
	}
	return n
}

func (d *tableDoc) entryCost(x *indexDoc, key string, it item.Item) int64 {
	entry, ok := d.keyOf(x.Key, it)
	if !ok {
		return 0
	}
	return int64(len(entry) + len(key) + entryCost)
}

// entryOf is the key of an item's entry in an index; empty if it has none.
func (t *table) entryOf(i int, key string, r row) (string, error) {
	if r.version == 0 {
		return "", nil
	}
	it, err := item.Pick(r.stored, t.indexes[i].needs)
	if err != nil {
		return "", fmt.Errorf("item in table %s: %w", t.doc.Name, err)
	}
	entry, ok := t.doc.keyOf(t.doc.Indexes[i].Key, it)
	if !ok {
		return "", nil
	}
	return entry + key, nil
}

// remember keeps a token, and forgets those that are old.
func (s *state) remember(key string, tok token) {
	for {
		offset, oldest, ok := s.order.Min()
		if !ok {
			break
		}
		if have, _ := s.tokens.Get(oldest); tok.at-have.at <= tokenMillis {
			break
		}
		s.order.Delete(offset)
		s.tokens.Delete(oldest)
		s.charge(oldest, -tokenCost)
	}
	key = strings.Clone(key)
	s.tokens.Set(key, tok)
	s.order.Set(tok.offset, key)
	s.charge(key, tokenCost)
}
