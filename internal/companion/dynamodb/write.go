package dynamodb

import (
	"context"
	"errors"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// An itemWrite is one conditional write of an item, by itself or in a transaction.
type itemWrite struct {
	table  string // key of the table
	kind   stepKind
	item   item.Item    // of putItem, whole
	key    item.Item    // of the others, and of updates
	update *expr.Update // of updates, which are putItem with a key
	writeCondition
	returns api.ReturnValue
}

// keyed is an item that has the attributes of the key.
func (w *itemWrite) keyed() item.Item {
	if w.key != nil {
		return w.key
	}
	return w.item
}

func (w *itemWrite) isUpdate() bool { return w.kind == putItem && w.key != nil }

// A written item is what a write comes to.
type written struct {
	table    *table
	key      string
	old, new item.Item // nil if there was, or will be, none
	oldBytes int
	newBytes int
	shown    item.Item // what of it the answer shows; nil: nothing
	step     step
	nothing  bool // there is nothing to write
}

// forget lets go of the items, which take much more memory than what is written.
func (w *written) forget() { w.old, w.new = nil, nil }

// errCondition: the condition does not hold.
var errCondition = errors.New("condition failed")

// latchKey is what the write is held up by.
func (s *Service) latchKey(st *state, w *itemWrite) (string, error) {
	t, err := s.usable(st, w.table)
	if err != nil {
		return "", err
	}
	key, err := t.keyOfWrite(w)
	return w.table + "\x00" + key, err
}

// keyOfWrite is the key of the item that is written. It checks all that can be
// checked without the item.
func (t *table) keyOfWrite(w *itemWrite) (string, error) {
	var key string
	var err error
	if w.key != nil {
		key, err = t.doc.readKey(w.key)
	} else {
		key, err = t.doc.checkItem(w.item)
	}
	if err == nil && w.isUpdate() {
		err = t.doc.checkUpdate(w.update)
	}
	if err == nil {
		err = t.doc.checkScalars(w.condition.Nested())
	}
	return key, err
}

// commandCopies is how often what is written is there until it is logged: by
// itself, in the command, and in the command as it is sealed.
const commandCopies = 3

// evaluate decides on a write in a state, with memory of the answer's. errCondition
// comes with the old item.
func (s *Service) evaluate(st *state, w *itemWrite, a *answer) (out written, err error) {
	t, err := s.usable(st, w.table)
	if err != nil {
		return out, err
	}
	out.table = t
	if out.key, err = t.keyOfWrite(w); err != nil {
		return out, err
	}
	old, r, err := t.get(out.key, a)
	if err != nil {
		return out, err
	}
	out.old, out.oldBytes = old, old.Size()
	if !w.condition.Match(old) {
		return out, errCondition
	}
	out.step = step{kind: w.kind, table: w.table, id: t.doc.ID, key: out.key, version: r.version,
		costs: -itemCost(out.key, r) - t.doc.entriesCost(out.key, old)}
	switch {
	case w.kind == checkItem:
		out.new, out.newBytes, out.step.costs = old, out.oldBytes, 0
		return out, nil
	case w.kind == deleteItem:
		out.nothing = old == nil
		return out, nil
	case w.isUpdate():
		if out.new, err = t.updated(w, old, a); err != nil {
			return out, err
		}
		if out.new == nil {
			out.nothing = true
			return out, nil
		}
	default:
		out.new = w.item
	}
	out.newBytes = out.new.Size()
	out.step.stored = string(out.new.Append(make([]byte, 0, out.newBytes+out.newBytes/8)))
	if !a.keep(commandCopies * int64(len(out.step.stored))) {
		return out, errNoRoom()
	}
	out.step.costs += itemCost(out.key, row{version: 1, stored: out.step.stored}) + t.doc.entriesCost(out.key, out.new)
	return out, nil
}

// updated is the item that an update makes of old; nil if it makes none.
func (t *table) updated(w *itemWrite, old item.Item, a *answer) (item.Item, error) {
	from := old
	if from == nil {
		from = w.key
	}
	it, err := w.update.Apply(from, a.work)
	if errors.Is(err, expr.ErrNoRoom) {
		err = errNoRoom()
	}
	if err != nil || old == nil && w.update.OnlyDeletes() {
		return nil, err
	}
	if err := t.doc.checkIndexKeys(it.Item); err != nil {
		return nil, validation("The update expression attempted to update the secondary index key to unsupported type")
	}
	checked := "" // paths into one attribute may be many
	for i, path := range w.update.Paths() {
		name := path[0].Name
		if (i == 0 || name != checked) && it.Item[name].Depth() > item.DepthMax {
			return nil, validation("Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")
		}
		checked = name
	}
	if it.Size() > item.BytesMax {
		return nil, validation("Item size to update has exceeded the maximum allowed size")
	}
	return it.Item, checkCount(it.Count())
}

// checkSize says that an item to be put is not too large.
func checkSize(it item.Item) error {
	if it.Size() > item.BytesMax {
		return validation("Item size has exceeded the maximum allowed size")
	}
	return checkCount(it.Count())
}

func checkCount(n int) error {
	if n > item.ValuesMax {
		return validation("The item has %d values, in lists and maps too; rheo takes up to %d.", n, item.ValuesMax)
	}
	return nil
}

// writeItem makes one write. It returns what it came to.
func (s *Service) writeItem(ctx context.Context, w *itemWrite) (out written, err error) {
	latch, err := s.latchKey(s.machine.view(), w)
	if err != nil {
		return out, err
	}
	a := s.newAnswer()
	defer a.sent(ctx)
	err = s.decide(ctx, []string{latch}, func(st *state) (txn, error) {
		a.release() // what was taken when it was decided before
		out, err = s.evaluate(st, w, a)
		if errors.Is(err, errCondition) && w.show {
			out.shown = out.old
		} else if err == nil {
			out.shown = w.shows(&out)
		}
		out.forget()
		switch {
		case !a.take(out.shown): // better now than when it is written
			return nil, errNoRoom()
		case err != nil:
			return nil, err
		case out.nothing:
			return nil, nil
		}
		return txn{out.step}, nil
	})
	if errors.Is(err, errCondition) {
		err = conditionFailed(out.shown)
	}
	return out, err
}

// shows is what the answer shows of a write, by its ReturnValues; nil if nothing.
func (w *itemWrite) shows(out *written) (it item.Item) {
	switch w.returns {
	case api.ReturnValueAllOld:
		it = out.old
	case api.ReturnValueAllNew:
		it = out.new
	case api.ReturnValueUpdatedOld:
		it = expr.Project(w.update.Paths()).Of(out.old)
	case api.ReturnValueUpdatedNew:
		it = expr.Project(w.update.Paths()).Of(out.new)
	}
	if len(it) == 0 {
		return nil
	}
	return it
}
