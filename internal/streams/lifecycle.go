package streams

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/shardlog"
)

// lifecycle carries out what documents announce: it looks at each change of the
// view and whenever something falls due. Streams are worked on side by side,
// each by at most one step at a time.
func (s *Service) lifecycle() {
	upkeep := time.NewTicker(time.Minute)
	defer upkeep.Stop()
	for {
		timer := time.NewTimer(s.startDue())
		select {
		case <-s.wake:
		case <-timer.C:
		case <-upkeep.C:
			s.work.Go(s.upkeep)
		case <-s.closed.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// startDue starts a step for every stream that is due and says how long until the next one is.
func (s *Service) startDue() time.Duration {
	now := s.now().UnixMilli()
	wait := int64(60_000)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, st := range s.due {
		if s.busy[id] {
			continue
		}
		if due := max(st.due(), s.failing[id].again); due > now {
			wait = min(wait, due-now)
			continue
		}
		s.busy[id] = true
		s.work.Go(func() { s.step(st) })
	}
	return time.Duration(wait) * time.Millisecond
}

// due is when the stream or one of its consumers wants a step, 0 for never. The caller holds Service.mu.
func (st *stream) due() int64 {
	d := st.doc.Load()
	if d == nil {
		return 0
	}
	due := d.Due
	for _, c := range st.consumers {
		if c.doc.Due != 0 && (due == 0 || c.doc.Due < due) {
			due = c.doc.Due
		}
	}
	return due
}

// step does what is due for one stream. It may be repeated at any point.
func (s *Service) step(st *stream) {
	ctx := s.closed
	err := s.stepStream(ctx, st)
	if err == nil {
		err = s.stepConsumers(ctx, st)
	}
	if errors.Is(err, errOvertaken) {
		err = nil // it is still due, or due no more
	}
	s.mu.Lock()
	delete(s.busy, st.id)
	if err != nil && ctx.Err() == nil {
		n := s.failing[st.id].times + 1
		s.failing[st.id] = failure{n, s.now().UnixMilli() + int64(min(n, 10))*500}
	} else {
		delete(s.failing, st.id)
	}
	s.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		s.cfg.Logger.Error("a stream's transition failed and will be tried again", "stream", st.name.name, "account", st.name.account, "err", err)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) stepStream(ctx context.Context, st *stream) error {
	d := st.doc.Load()
	if d == nil || d.Due == 0 || d.Due > s.now().UnixMilli() {
		return nil
	}
	switch {
	case d.Status == kinesis.StreamStatusCreating:
		return s.finishCreate(ctx, st)
	case d.Status == kinesis.StreamStatusDeleting:
		return s.finishDelete(ctx, st)
	case d.Reshard != nil:
		return s.reshard(ctx, st)
	}
	return s.update(ctx, st, func(c *change) error {
		if c.doc.Status == kinesis.StreamStatusUpdating && c.doc.Reshard == nil {
			c.doc.Status, c.doc.Due = kinesis.StreamStatusActive, 0
		}
		return nil
	})
}

// stagedAtOnce is how many documents one command stages: a command is a record
// of the log, and holds up all others while it is applied.
const stagedAtOnce = 1000

// finishCreate makes the first shards in the log, stages their documents, as
// many as there are, and shows all of them in one command. A crash on the way
// leaves log shards that nobody knows, removed at the next start, and staged
// documents that this step, repeated, writes again.
func (s *Service) finishCreate(ctx context.Context, st *stream) error {
	d, version, err := s.current(st)
	if err != nil || d == nil || d.Status != kinesis.StreamStatusCreating {
		return err // deleted meanwhile
	}
	starts := uniformStarts(d.InitialShards)
	docs := make([]*shardDoc, len(starts))
	for i, start := range starts {
		docs[i] = &shardDoc{Index: uint32(i), Created: d.Created, Start: start, End: maxHashKey, State: shardOpen}
		if i > 0 {
			docs[i-1].End = start.prev()
		}
	}
	if err := s.createLogs(ctx, d, docs); err != nil {
		return err
	}
	unchanged := map[string]uint64{d.key(): version}
	for part := range slices.Chunk(docs, stagedAtOnce) {
		t := catalog.Txn{Expect: unchanged, Write: map[string]json.RawMessage{}}
		for _, sh := range part {
			t.Write[stagedKey(st.id, sh.Index)] = encode(sh)
		}
		if err := s.commitStep(ctx, t); err != nil {
			return err
		}
	}
	d.Status, d.Due, d.NextShard = kinesis.StreamStatusActive, 0, uint32(len(docs))
	return s.commitStep(ctx, catalog.Txn{
		Expect: unchanged,
		Move:   map[string]string{stagedTree(st.id): shardTree(st.id)},
		Write:  map[string]json.RawMessage{d.key(): encode(d)},
	})
}

// current reads a stream's document and its version; nil if the stream is gone.
func (s *Service) current(st *stream) (*streamDoc, uint64, error) {
	key := streamKey(st.name.account, st.name.region, st.name.name)
	raw, version, ok := s.cfg.Catalog.Get(key)
	if !ok {
		return nil, 0, nil
	}
	d := new(streamDoc)
	if err := json.Unmarshal(raw, d); err != nil {
		return nil, 0, fmt.Errorf("cannot read catalog document %s: %w", key, err)
	}
	if d.ID != st.id {
		return nil, 0, nil
	}
	return d, version, nil
}

// errOvertaken: another command changed the stream while a step was at work.
// The step is to be done anew, at once, on what there is then.
var errOvertaken = errors.New("the stream changed meanwhile")

func (s *Service) commitStep(ctx context.Context, t catalog.Txn) error {
	err := s.cfg.Catalog.Commit(ctx, t)
	if errors.Is(err, catalog.ErrConflict) {
		return errOvertaken
	}
	return err
}

func (s *Service) createLogs(ctx context.Context, d *streamDoc, docs []*shardDoc) error {
	var g errgroup.Group
	g.SetLimit(32)
	for _, sh := range docs {
		g.Go(func() error {
			_, err := s.cfg.Log.Create(ctx, logID(d.ID, sh.Index), shardlog.Options{Retention: d.retention()})
			if !errors.Is(err, shardlog.ErrExists) {
				return err
			}
			// By this step before it was interrupted, maybe with another retention.
			log, err := s.cfg.Log.Shard(logID(d.ID, sh.Index))
			if err != nil || log.Info().Retention == d.retention() {
				return err
			}
			return s.cfg.Log.SetRetention(ctx, log, d.retention())
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("cannot create shards of stream %s: %w", d.Name, err)
	}
	return nil
}

// finishDelete removes the documents and then the logs. A crash between the two
// leaves logs that nobody knows, removed at the next start.
func (s *Service) finishDelete(ctx context.Context, st *stream) error {
	d, version, err := s.current(st)
	if err != nil || d == nil {
		return err
	}
	if err := s.commitStep(ctx, catalog.Txn{
		Expect: map[string]uint64{d.key(): version},
		Remove: []string{consumerTree(st.id), shardTree(st.id), stagedTree(st.id)},
		Write:  map[string]json.RawMessage{d.key(): nil},
	}); err != nil {
		return err
	}
	// By name, not by document: a create or reshard that the deletion overtook
	// made logs that have none.
	var logs []shardlog.ID
	for _, sh := range s.cfg.Log.Shards() {
		if strings.HasPrefix(string(sh.ID()), logPrefix(st.id)) {
			logs = append(logs, sh.ID())
		}
	}
	return s.deleteLogs(ctx, logs)
}

func (s *Service) deleteLogs(ctx context.Context, ids []shardlog.ID) error {
	var g errgroup.Group
	g.SetLimit(32)
	for _, id := range ids {
		g.Go(func() error {
			sh, err := s.cfg.Log.Shard(id)
			if err == nil {
				err = s.cfg.Log.Delete(ctx, sh)
			}
			if errors.Is(err, shardlog.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	return g.Wait()
}

// stepConsumers finishes CREATING and DELETING of consumers.
func (s *Service) stepConsumers(ctx context.Context, st *stream) error {
	now := s.now().UnixMilli()
	for _, ch := range s.cfg.Catalog.List(consumerTree(st.id)) {
		var d consumerDoc
		if err := json.Unmarshal(ch.Doc, &d); err != nil {
			return err
		}
		if d.Due == 0 || d.Due > now {
			continue
		}
		t := catalog.Txn{Expect: map[string]uint64{ch.Key: ch.Version}, Write: map[string]json.RawMessage{ch.Key: nil}}
		if d.Status == kinesis.ConsumerStatusCreating {
			d.Status, d.Due = kinesis.ConsumerStatusActive, 0
			t.Write[ch.Key] = encode(d)
		}
		if err := s.cfg.Catalog.Commit(ctx, t); err != nil && !errors.Is(err, catalog.ErrConflict) {
			return err
		}
	}
	return nil
}

// settle waits, when transitions last no longer than their work, until the
// stream is at rest again or gone. Not longer than a client would: the
// transition goes on anyway, and the client can poll as AWS wants it to.
func (s *Service) settle(ctx context.Context, n streamName) {
	if s.cfg.Transition > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		s.mu.RLock()
		st := s.streams[n]
		var changed chan struct{}
		if st != nil && st.due() != 0 {
			changed = st.changed
		}
		s.mu.RUnlock()
		if changed == nil {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// upkeep does what has no moment of its own: token keys, logs that could not
// follow their stream's retention, and closed shards whose records have all expired.
func (s *Service) upkeep() {
	ctx, now := s.closed, s.now()
	if err := s.tokens.rotate(ctx, s.cfg.Catalog, now); err != nil && ctx.Err() == nil {
		s.cfg.Logger.Error("cannot rotate the token key", "err", err)
	}
	s.retainAgain(ctx)
	for _, sh := range s.expired(now) {
		if s.hasParent(sh.stream.id, sh.doc.Load()) {
			continue // the older goes first: a closed shard always has its children
		}
		key := shardKey(sh.stream.id, sh.index)
		_, version, _ := s.cfg.Catalog.Get(key)
		err := s.cfg.Catalog.Commit(ctx, catalog.Txn{Expect: map[string]uint64{key: version}, Write: map[string]json.RawMessage{key: nil}})
		if err == nil {
			err = s.deleteLogs(ctx, []shardlog.ID{logID(sh.stream.id, sh.index)})
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, catalog.ErrConflict) {
			s.cfg.Logger.Error("cannot remove an expired shard", "stream", sh.stream.name.name, "shard", sh.id, "err", err)
		}
	}
}

// expired lists closed shards whose records are all past their time, a stream's
// older ones before its younger ones.
func (s *Service) expired(now time.Time) []*shard {
	s.mu.RLock()
	streams := slices.Collect(maps.Values(s.byID))
	s.mu.RUnlock()
	var out []*shard
	for _, st := range streams {
		d := st.doc.Load()
		if d == nil {
			continue
		}
		s.mu.RLock() // for one stream only: whoever looks one up waits behind a writer that waits for this
		mine := len(out)
		for _, sh := range st.shards {
			if sd := sh.doc.Load(); sd.State == shardClosed && now.Sub(time.UnixMilli(sd.Closed)) >= d.retention() {
				out = append(out, sh)
			}
		}
		s.mu.RUnlock()
		slices.SortFunc(out[mine:], func(a, b *shard) int { return cmp.Compare(a.index, b.index) })
	}
	return out
}

// hasParent says whether one of a shard's parents is still there.
func (s *Service) hasParent(streamID string, d *shardDoc) bool {
	for _, p := range []*uint32{d.Parent, d.Adjacent} {
		if p != nil {
			if _, _, ok := s.cfg.Catalog.Get(shardKey(streamID, *p)); ok {
				return true
			}
		}
	}
	return false
}

// checkTags holds AWS's rules for tags: 50, keys of 128, values of 256
// characters, none that begins with "aws:". have are the tags there already.
func checkTags(tags, have map[string]string) error {
	n := len(have)
	for k, v := range tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return invalidArgument("Tag keys starting with 'aws:' are reserved for system use.")
		}
		if !tagText(k) || !tagText(v) || k == "" || len([]rune(k)) > 128 || len([]rune(v)) > 256 {
			return invalidArgument("Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - %% @ :.")
		}
		if _, ok := have[k]; !ok {
			n++
		}
	}
	if n > 50 {
		return limitExceeded("Failed to add tags. The total number of tags may not exceed 50.")
	}
	return nil
}
