package agent

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	blockRest = time.Second     // a record of several lines is whole when nothing came for so long
	goneRest  = time.Minute     // a file that no name leads to any more is done with then
	idleClose = 5 * time.Minute // a file that is read and rests is closed then
	freeMax   = 4               // batches kept for their memory
)

// A tailer runs one flow. Its goroutine owns all that is not said to be another's.
type tailer struct {
	flow    *Flow
	dest    Destination
	store   *store
	meter   *meter
	counts  *counts // atomic
	log     *slog.Logger
	host    func() []Attribute
	senders int
	budget  int  // bytes of batches under way, beyond one
	once    bool // end when all that is there is sent
	grace   time.Duration

	lastRefusal atomic.Int64 // when one was last complained of, in Unix nanoseconds

	queue chan *batch // to the senders; there is always room, see room
	done  chan *batch // and back, likewise

	sources  map[fileID]*source
	missing  []entry   // whose files are not there
	leaving  []*source // that are read and gone, with records under way
	ready    []*source // that may have records, those written to longest ago first
	dirTime  time.Time
	lastScan time.Time
	lastLook time.Time
	lastSave time.Time
	open     int // files
	openMax  int
	closable []*source       // of those that are open, which rests longest first, as of the last look
	byTime   []*source       // see sourcesByTime; nil: to be made
	hidden   map[string]bool // paths that the last list could not look at
	waiting  bool            // a source waits for another one, see judge
	idle     bool            // the last look found nothing to read
	dirty    bool
	unsaved  bool // there are sources that no save has yet: they wait for one
	said     map[string]time.Time

	stop        <-chan struct{}      // closed when the run is to end
	cut         bool                 // it did while a file was looked for: what is stored is better than what is known
	vacated     map[string]*source   // names that were another file's until this scan
	prefixes    map[prefixKey]prefix // see prefixOfFound
	compareLeft int64                // until the next look
	hashLeft    int64
	hashBuf     []byte

	batch         *batch // being filled; nil if there is none
	free          []*batch
	inFlight      int
	inFlightBytes int

	buf      []byte  // what raw is a part of
	raw      []byte  // of rawOf's file, from rawStart on
	rawStart int64   // at or before the offset
	rawOf    *source // nil: raw is of nothing
	rawEOF   bool    // raw goes to the end of the file as it was
}

// run tails until ctx ends; then what is read is sent, for a while.
func (t *tailer) run(ctx context.Context) error {
	sendCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(t.grace, cancel) })()
	var senders sync.WaitGroup
	for range t.senders {
		senders.Go(func() {
			for b := range t.queue {
				t.send(sendCtx, b)
				t.done <- b
			}
		})
	}
	t.stop = ctx.Done()
	t.begin(time.Now())
	var err error
	if !t.cut {
		t.save(time.Now())
		err = t.store.flush() // before anything is read: where files began must not be forgotten
	}
	if err == nil {
		t.loop(ctx)
	}
	if t.batch != nil {
		t.seal()
	}
	close(t.queue)
	for t.inFlight > 0 {
		t.collect(<-t.done)
	}
	senders.Wait()
	if !t.cut {
		t.save(time.Now())
	}
	for _, s := range t.sources {
		s.close()
	}
	return err
}

func (t *tailer) loop(ctx context.Context) {
	poll := time.NewTicker(t.flow.PollEvery)
	defer poll.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		if t.scanDue(now) {
			t.scan(now, nil)
		}
		if now.Sub(t.lastLook) >= t.flow.PollEvery {
			t.look(now)
		}
		worked := t.read(now)
		if b := t.batch; b != nil && !b.empty() && now.Sub(b.began) >= t.flow.BufferAge && t.room() {
			t.seal()
		}
		if t.dirty && (now.Sub(t.lastSave) >= saveEvery || t.unsaved && now.Sub(t.lastSave) >= flushEvery) {
			hurry := t.unsaved
			t.save(now)
			if hurry {
				t.store.wake()
			}
		}
		if worked {
			select {
			case b := <-t.done:
				t.collect(b)
			default:
			}
			continue
		}
		if t.once && t.idle {
			return
		}
		select {
		case <-ctx.Done():
		case b := <-t.done:
			t.collect(b)
		case <-poll.C:
		}
	}
}

// look finds out what became of the files that are open, and so which have records.
func (t *tailer) look(now time.Time) {
	t.lastLook = now
	waited := t.waiting // since the last look
	t.ready, t.waiting = t.ready[:0], false
	t.compareLeft, t.hashLeft = compareBytes, hashBytes
	t.byTime, t.closable = nil, t.closable[:0]
	var behindBytes, behindFiles int64
	for _, s := range t.sourcesByTime() {
		if t.sources[s.id] != s {
			continue // another one moved, and this with it
		}
		if s.file != nil {
			info, err := s.file.Stat()
			if err != nil {
				t.say(now, "cannot look at a file", "file", s.path, "error", err)
				continue
			}
			largest := s.largest
			t.resize(s, info.Size(), now)
			same := info.ModTime().Equal(s.modified)
			if s.copyOf == nil && (s.size < s.offset || s.offset == 0 && s.size < largest || !same && !t.still(s)) {
				s.largest = largest // of what is lost
				t.lose(s, now)
				continue
			}
			s.modified = info.ModTime()
			t.glance(s, now)
			t.makeUp(s)
		}
		if left := s.size - s.offset; left > 0 && s.copyOf == nil && !s.finished {
			behindBytes += left
			behindFiles++
		}
		t.judgeCopy(s, now)
		g := t.growthOf(s, now)
		if g == ended && !s.gone.IsZero() && (s.finished || s.copyOf != nil || s.offset >= s.size || s.file == nil) {
			t.leave(s)
			continue
		}
		if s.copyOf != nil || s.finished || s.offset >= s.size {
			if s.file != nil && g != growing && now.Sub(s.grew) >= idleClose {
				t.shut(s)
			}
			continue
		}
		if s.tried && s.triedSize == s.size && s.triedGrowth == g {
			waited = waited || t.once && g == resting && s.gone.IsZero() // for the end of its last line
			continue
		}
		t.ready = append(t.ready, s)
	}
	for _, s := range t.sources {
		if s.mayClose() {
			t.closable = append(t.closable, s)
		}
	}
	slices.SortFunc(t.closable, func(a, b *source) int { return a.grew.Compare(b.grew) })
	t.idle = len(t.ready) == 0 && !waited
	t.counts.behindBytes.Store(behindBytes)
	t.counts.behindFiles.Store(behindFiles)
}

func (t *tailer) glance(s *source, now time.Time) {
	if err := s.glance(); err != nil {
		t.say(now, "cannot read a file", "file", s.path, "error", err)
	}
}

// still says whether a file that was written to has its content: that it did not shrink
// does not tell, it may have been filled again since the last look.
func (t *tailer) still(s *source) bool {
	if s.offset == 0 {
		b, err := readExactly(s.file, 0, int64(len(s.glimpse)))
		return err == nil && bytes.Equal(b, s.glimpse) || eofIsNo(err) != nil
	}
	is, err := s.isIn(s.file, s.size)
	return err != nil || is
}

// growthOf is what may still come of a source, as splitters are told: a run that ends
// when all is read waits for nothing but a writer that is within a line.
func (t *tailer) growthOf(s *source, now time.Time) growth {
	g := s.growth(now, blockRest, goneRest)
	switch {
	case t.once && g == growing:
		return resting
	case t.once && s.gone.IsZero():
		return ended
	}
	return g
}

func (t *tailer) resize(s *source, size int64, now time.Time) {
	if size != s.size {
		s.size, s.largest, s.grew = size, max(size, s.largest), now
	}
}
