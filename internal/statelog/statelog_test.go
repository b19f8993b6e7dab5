package statelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// A sum is a machine whose commands are an ID and a number: it adds those that are
// even, refuses the others, and cannot read 99.
type sum struct {
	total, offset uint64 // of whoever applies
	shown         atomic.Uint64
	shownOffset   atomic.Uint64
}

var errOdd, errUnreadable = errors.New("odd"), errors.New("unreadable")

func (s *sum) Offset() uint64 { return s.offset }

func (s *sum) Apply(b *shardlog.Batch) (out []Outcome, err error) {
	for _, r := range b.Records {
		o := Outcome{ID: ID(r.Data)}
		switch n := binary.LittleEndian.Uint64(r.Data[16:]); {
		case n == 99:
			return nil, errUnreadable
		case n%2 == 1:
			o.Err = errOdd
		default:
			s.total += n
		}
		out = append(out, o)
	}
	s.offset = uint64(b.Next) - 1
	s.shown.Store(s.total)
	s.shownOffset.Store(s.offset)
	return out, nil
}

// A house is a log and blobs that machines can be started on, one after the other.
type house struct {
	t     *testing.T
	log   shardlog.Log
	blobs blob.Store

	*Log
	sum       *sum
	snapshots *Snapshots
	last      uint64 // ID
}

func newHouse(t *testing.T) *house {
	blobs, err := blob.OpenDir(vfs.NewCrash(0), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	return &house{t: t, log: shardlog.NewMemory(), blobs: blobs}
}

func (h *house) start() error {
	h.sum = new(sum)
	l, err := Open(h.t.Context(), Config{Log: h.log, Shard: "sum", Machine: h.sum, Name: "sum", Snapshot: "snapshot", Mend: "Mend it."})
	if err != nil {
		return err
	}
	h.Log = l
	h.snapshots = &Snapshots{Blobs: h.blobs, Prefix: "sum/", Name: "sum", Logger: slog.New(slog.DiscardHandler), Interval: 1 << 40,
		Current: func() (uint64, func(io.Writer) error) {
			offset, total := h.sum.shownOffset.Load(), h.sum.shown.Load()
			return offset, func(w io.Writer) error {
				_, err := fmt.Fprint(w, offset, " ", total)
				return err
			}
		}}
	_, newest, wrong, err := h.snapshots.Load(h.t.Context(), func(r io.Reader, size int64) error {
		b, err := io.ReadAll(r)
		if err == nil && strings.HasPrefix(string(b), "v2") {
			err = ErrNewer
		}
		if err == nil {
			_, err = fmt.Sscan(string(b), &h.sum.offset, &h.sum.total)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := l.Replay(h.t.Context(), newest, wrong); err != nil {
		return err
	}
	h.sum.shown.Store(h.sum.total)
	h.sum.shownOffset.Store(h.sum.offset)
	l.Start()
	return nil
}

func (h *house) stop() {
	h.Stop()
	h.snapshots.Last(h.Log)
}

func (h *house) add(n uint64) error {
	h.last++
	id := ID{}
	binary.LittleEndian.PutUint64(id[:], h.last)
	return h.Commit(h.t.Context(), id, binary.LittleEndian.AppendUint64(id[:], n), false)
}

func (h *house) names() (names []string) {
	infos, err := h.blobs.List(h.t.Context(), "sum/", "", 10)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, i := range infos {
		names = append(names, i.Name)
	}
	return names
}

func (h *house) want(total uint64) {
	h.t.Helper()
	if got := h.sum.shown.Load(); got != total {
		h.t.Errorf("the sum is %d, want %d", got, total)
	}
}

// TestLifeOfALog: what was committed is seen by its issuer at once and by the next
// process; two snapshots are kept, and the log behind the older one.
func TestLifeOfALog(t *testing.T) {
	h := newHouse(t)
	total := uint64(0)
	for range 4 {
		if err := h.start(); err != nil {
			t.Fatal(err)
		}
		h.want(total)
		for n := range uint64(10) {
			switch err := h.add(n); {
			case n%2 == 1 && errors.Is(err, errOdd):
			case n%2 == 0 && err == nil:
				total += n
			default:
				t.Fatalf("%d: %v", n, err)
			}
			h.want(total)
		}
		h.stop()
	}
	if names := h.names(); len(names) != 2 {
		t.Errorf("there are the snapshots %v", names)
	}
	sh, err := h.log.Shard("sum")
	if err != nil || sh.Info().First != 31 {
		t.Errorf("the log begins at %d, %v", sh.Info().First, err)
	}
	if err := h.add(2); !errors.Is(err, shardlog.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// TestDamage: a damaged snapshot is passed over; without any that meets the log there
// is no start, and none with one of a newer version.
func TestDamage(t *testing.T) {
	h := newHouse(t)
	for range 3 {
		if err := h.start(); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := h.add(2); err != nil {
				t.Fatal(err)
			}
		}
		h.stop()
	}
	damage := func(name, text string) {
		t.Helper()
		if err := h.blobs.Put(t.Context(), name, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	names := h.names()
	damage(names[1], "nothing")
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	h.want(30)
	if err := h.add(2); err != nil {
		t.Fatal(err)
	}
	h.stop()
	if names := h.names(); len(names) != 2 {
		t.Errorf("beside a damaged one there are %v", names)
	}
	for _, name := range h.names() {
		damage(name, "nothing")
	}
	if err := h.start(); err == nil || !strings.Contains(err.Error(), "what is between is missing") || !strings.HasSuffix(err.Error(), "Mend it.") {
		t.Errorf("started with a hole: %v", err)
	}
	damage(h.names()[1], "v2")
	if err := h.start(); !errors.Is(err, ErrNewer) {
		t.Errorf("started on what is newer: %v", err)
	}
	h.log = shardlog.NewMemory()
	damage(h.names()[1], "5 5")
	if err := h.start(); err == nil || !strings.Contains(err.Error(), "not the one that belongs to these blobs") {
		t.Errorf("started on another log: %v", err)
	}
}

// TestUnreadable: behind a command that cannot be read nothing is applied, and whoever
// waits or comes later is told.
func TestUnreadable(t *testing.T) {
	h := newHouse(t)
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	var g sync.WaitGroup
	if err := h.add(99); !errors.Is(err, errUnreadable) {
		t.Errorf("the unreadable one: %v", err)
	}
	for i := range 3 {
		g.Go(func() {
			if err := h.Commit(context.Background(), ID{200, byte(i)}, make([]byte, 24), false); !errors.Is(err, errUnreadable) {
				t.Errorf("after it: %v", err)
			}
		})
	}
	g.Wait()
	if h.Failed() == nil {
		t.Error("it has not failed")
	}
	h.stop()
	if len(h.names()) > 0 {
		t.Error("a snapshot was written of a state that had failed")
	}
	if err := h.start(); !errors.Is(err, errUnreadable) || !strings.HasSuffix(err.Error(), "Mend it.") {
		t.Errorf("started on it: %v", err)
	}
}
