package agent

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
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

// read takes records from the first source that has any. It reports whether
// anything came of it.
func (t *tailer) read(now time.Time) bool {
	for len(t.ready) > 0 {
		s := t.ready[0]
		if t.sources[s.id] != s {
			t.ready = t.ready[1:]
			continue
		}
		before := s.offset
		more := t.consume(s, now)
		if !more {
			t.ready = t.ready[1:]
		}
		if s.offset != before {
			return true
		}
		if more {
			return false // no room
		}
	}
	return false
}

// consume takes records from a source, up to a buffer of them. It reports whether
// there is more to take now.
func (t *tailer) consume(s *source, now time.Time) (more bool) {
	if !t.mayRead(s, now) {
		return false
	}
	filled := false
	began := s.offset
	defer func() {
		if s.offset != began && t.rawOf == s {
			t.reach(s, now)
			s.remember(t.raw, t.rawStart)
		}
	}()
	for {
		var data []byte
		if t.rawOf == s && s.offset >= t.rawStart && s.offset < t.rawStart+int64(len(t.raw)) {
			data = t.raw[s.offset-t.rawStart:]
		}
		g := growing
		if t.rawEOF && t.rawStart+int64(len(t.raw)) >= s.size {
			g = t.growthOf(s, now)
		}
		n, long := t.next(s, data, g)
		if n == 0 && filled {
			if t.rawEOF {
				s.tried, s.triedSize, s.triedGrowth = true, s.size, g
				return false
			}
			return true
		}
		if n == 0 {
			if s.offset != began { // the buffer is used up
				return true
			}
			if !t.fill(s, now) {
				return false
			}
			filled = true
			continue
		}
		switch t.take(s, data[:n], long, now) {
		case noRoom:
			return true
		case atFooter:
			s.finished = true
			return false
		}
		s.offset += int64(n)
	}
}

// next is how long the first record of data is, and whether its end is still to
// come although there is no more room for it.
func (t *tailer) next(s *source, data []byte, g growth) (n int, long bool) {
	if len(data) == 0 {
		return 0, false
	}
	if s.skipZeros {
		if zeros := len(data) - len(bytes.TrimLeft(data, "\x00")); zeros > 0 {
			return zeros, false
		}
		s.skipZeros = false
	}
	split := t.flow.split
	if s.header > 0 {
		split = lines{}
	}
	n = split.next(data, g)
	if n == 0 && len(data) >= chunkBytes {
		return len(data), true
	}
	return n, false
}

type taken int

const (
	isTaken  taken = iota
	noRoom         // not now
	atFooter       // this is the file's end
)

// take puts the record that stands at the offset into a batch, if it is to be sent.
func (t *tailer) take(s *source, data []byte, long bool, now time.Time) taken {
	switch {
	case s.skipZeros:
		return isTaken
	case s.header > 0:
		s.header--
		return isTaken
	case s.discarding:
		s.discarding = long
		return isTaken
	case t.flow.footer != nil && t.flow.footer.Match(bytes.TrimFunc(data, func(r rune) bool { return r <= ' ' })):
		return atFooter
	}
	if b := t.batch; b != nil && (len(b.ends) >= t.flow.BufferRecords || b.bytes >= t.flow.BufferBytes) && !t.room() {
		return noRoom
	}
	out, err := t.flow.convert.convert(data, moment{now, t.host()})
	if errors.Is(err, errDrop) {
		t.counts.read(len(data))
		t.counts.skipped.Add(1)
		s.discarding = long
		return isTaken
	}
	if err != nil {
		out = data
	}
	key := t.keyOf(out)
	limit := t.flow.limits.recordBytes - len(key)
	cut := len(out) > limit
	if cut {
		out = truncate(out, limit, t.flow.Terminator)
	}
	if !t.put(s, out, key, now) {
		return noRoom
	}
	t.counts.read(len(data))
	if err != nil {
		t.counts.failed.Add(1)
		t.say(now, "records could not be converted and are sent as they are", "file", s.path, "error", err)
	}
	if cut || long {
		t.counts.truncated.Add(1)
		t.say(now, "a record is too long and was cut", "file", s.path, "offset", s.offset, "bytes", len(data), "kept", len(out))
	}
	s.discarding = long
	return isTaken
}

// put adds a record to the batch, and sends that first if it is full. It reports
// whether there was room.
func (t *tailer) put(s *source, data []byte, key string, now time.Time) bool {
	if b := t.batch; b != nil && b.bytes+len(data) <= t.flow.BufferBytes && b.join(data, t.flow.AggregateBytes) {
		return true
	}
	if b := t.batch; b != nil && len(b.ends) > 0 && (len(b.ends) >= t.flow.BufferRecords || b.bytes+len(data)+len(key) > t.flow.BufferBytes) {
		if !t.room() {
			return false
		}
		t.reach(s, now)
		t.seal()
	}
	if t.batch == nil {
		t.batch = t.newBatch()
	}
	t.batch.add(data, key)
	if t.batch.began.IsZero() {
		t.batch.began = now
	}
	return true
}

// reach notes in the batch how far the source came.
func (t *tailer) reach(s *source, now time.Time) {
	if t.batch == nil {
		t.batch = t.newBatch()
	}
	s.hash(t.raw, t.rawStart)
	p := int(s.offset - t.rawStart)
	t.batch.reach(s, t.raw[max(0, p-markBytes):p], now)
}

func (t *tailer) newBatch() *batch {
	if n := len(t.free); n > 0 {
		b := t.free[n-1]
		t.free = t.free[:n-1]
		return b
	}
	return new(batch)
}

// room says whether another batch may be under way.
func (t *tailer) room() bool {
	return t.inFlight == 0 || t.inFlight < t.flow.QueueBatches && t.inFlightBytes+t.batch.bytes <= t.budget
}

// seal hands the batch to the senders.
func (t *tailer) seal() {
	b := t.batch
	t.batch = nil
	if len(b.ends) == 0 {
		b.sent = true
		t.settle(b)
		return
	}
	t.inFlight++
	t.inFlightBytes += b.bytes
	t.queue <- b
}

// collect takes a batch back from a sender.
func (t *tailer) collect(b *batch) {
	t.inFlight--
	t.inFlightBytes -= b.bytes
	t.settle(b)
}

func (t *tailer) settle(b *batch) {
	if !b.sent {
		return
	}
	for _, sp := range b.spans {
		sp.done = true
		if sp.src.settle() {
			t.dirty = true
		}
	}
	if len(t.free) < freeMax {
		b.reset()
		t.free = append(t.free, b)
	}
}

// fill reads what stands at the source's offset, with the trail before it. It
// reports false if that cannot be read, or the content is no longer there.
func (t *tailer) fill(s *source, now time.Time) bool {
	if t.buf == nil {
		t.buf = make([]byte, trailBytes+chunkBytes)
	}
	t.rawOf = nil
	lead := len(s.trail)
	n, err := s.file.ReadAt(t.buf[:lead+chunkBytes], s.offset-int64(lead))
	if err != nil && !errors.Is(err, io.EOF) {
		t.say(now, "cannot read a file", "file", s.path, "error", err)
		return false
	}
	if n < lead || !bytes.Equal(t.buf[:lead], s.trail) || s.offset == 0 && !bytes.HasPrefix(t.buf[:n], s.glimpse) {
		t.lose(s, now)
		return false
	}
	t.raw, t.rawStart, t.rawOf, t.rawEOF = t.buf[:n], s.offset-int64(lead), s, err != nil
	if end := t.rawStart + int64(n); end > s.size {
		t.resize(s, end, now)
	}
	return true
}

func (t *tailer) keyOf(data []byte) string {
	switch {
	case t.flow.Service == Firehose:
		return ""
	case t.flow.DeterministicKeys:
		sum := md5.Sum(data)
		return hex.EncodeToString(sum[:])
	}
	return strconv.FormatUint(rand.Uint64(), 36)
}

// truncate cuts data so that it has limit bytes with the terminator, between
// characters where it can.
func truncate(data []byte, limit int, terminator []byte) []byte {
	n := limit - len(terminator)
	for back := 0; back < utf8.UTFMax && n-back > 0; back++ {
		if utf8.RuneStart(data[n-back]) {
			n -= back
			break
		}
	}
	return append(append(make([]byte, 0, limit), data[:n]...), terminator...)
}
