// Package streams is Kinesis Data Streams: streams of shards that keep records
// in order, for a time, for any number of readers.
//
// A stream is a document in the catalog ([streamDoc]), each of its shards
// another ([shardDoc]) and a shard of the log with the records. The documents
// are the truth; what the service holds in memory (stream, shard) is a view of
// them that Watch keeps current, with what need not survive: rate limits,
// subscriptions.
//
// An operation is a method of [Service] in a file of its own. One that changes
// a document reads it, decides, and commits with the version it read; whatever
// takes time (creating shards, resharding, deleting) is written down as a
// status with a due time, and the lifecycle loop carries it out in steps that
// may be repeated, so that a crash anywhere is gone on from, at the next start.
//
//	CreateStream   CREATING -> shards made in the log -> ACTIVE with its shards
//	SplitShard ... UPDATING -> children made, parents SEALING -> END markers -> CLOSED, ACTIVE
//	DeleteStream   DELETING -> documents removed -> logs removed
package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
)

// Config of the service. Log and Catalog are required.
type Config struct {
	Log     shardlog.Log
	Catalog *catalog.Catalog
	Logger  *slog.Logger
	Metrics *metrics.Registry // a new one if nil
	Memory  Memory            // of answers; nil: unlimited
	// Repair starts a shard empty whose log is lost; else that is an error.
	Repair bool
	// Transition is how long CREATING, UPDATING and DELETING last beyond the
	// work itself. With 0, a call that starts such a transition returns when
	// the work is done, so that the next call finds the stream ready.
	Transition time.Duration
	// Limits scales the capacity limits: 0 means AWS's (1), negative means off.
	Limits float64
	// ShardLimit is the quota of open shards per account and region; 0 means 20,000.
	ShardLimit int
	// OnDemandLimit is the quota of on-demand streams per account and region; 0 means 50.
	OnDemandLimit int
}

// Service implements the operations of package api/kinesis as methods.
type Service struct {
	cfg    Config
	stop   context.CancelFunc
	closed context.Context
	work   sync.WaitGroup
	wake   chan struct{} // the lifecycle loop looks again
	tokens tokenSealer

	mu      sync.RWMutex
	streams map[streamName]*stream // mu
	byID    map[string]*stream     // mu
	due     map[string]*stream     // mu; by id, those that want a step, now or later
	busy    map[string]bool        // mu; stream ids that a lifecycle step works on
	failing map[string]failure     // mu; streams whose last step failed
}

// failure says how often in a row a stream's step failed and when to try again, ms.
type failure struct {
	times int
	again int64
}

type streamName struct{ account, region, name string }

// stream is the view of one stream. Its documents are replaced, never changed.
type stream struct {
	id   string
	name streamName

	doc     atomic.Pointer[streamDoc] // nil before the stream's own document was seen, and after it is gone
	route   atomic.Pointer[route]
	spread  atomic.Uint64 // AUTO distribution: counts records
	metrics atomic.Pointer[metrics.Stream]
	// retaining is full while a call changes the retention.
	retaining chan struct{}
	uneven    bool // a log did not follow the last change; of whoever filled retaining

	// The rest is guarded by Service.mu.
	shards    map[uint32]*shard
	consumers map[string]*consumer
	changed   chan struct{} // closed, and a new one made, when any document of the stream changes
}

// shard is the view of one shard.
type shard struct {
	stream *stream
	index  uint32
	id     string
	doc    atomic.Pointer[shardDoc]
	log    shardlog.Shard
	write  writeLimit
	read   readLimit
	usage  usage
	// metrics are nil unless enhanced monitoring is on.
	metrics atomic.Pointer[metrics.Shard]
}

// consumer is the view of one registered consumer.
type consumer struct {
	stream *stream
	doc    *consumerDoc // replaced, not changed; guarded by Service.mu
	subs   subscriptions
}

// New starts the service on an open catalog and log.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New()
	}
	if cfg.ShardLimit == 0 {
		cfg.ShardLimit = 20_000
	}
	if cfg.OnDemandLimit == 0 {
		cfg.OnDemandLimit = 50
	}
	if cfg.Limits == 0 {
		cfg.Limits = 1
	}
	s := &Service{
		cfg:     cfg,
		wake:    make(chan struct{}, 1),
		streams: map[streamName]*stream{},
		byID:    map[string]*stream{},
		due:     map[string]*stream{},
		busy:    map[string]bool{},
		failing: map[string]failure{},
	}
	if err := s.reconcile(ctx); err != nil {
		return nil, err
	}
	if err := s.tokens.init(ctx, cfg.Catalog, s.now()); err != nil {
		return nil, err
	}
	s.closed, s.stop = context.WithCancel(context.Background())
	cfg.Catalog.Watch("kinesis/", s.apply)
	s.work.Go(s.lifecycle)
	s.work.Go(s.scaleOnDemand)
	return s, nil
}

// Close ends subscriptions and background work. Log and catalog stay open.
func (s *Service) Close() {
	s.stop()
	s.work.Wait()
}

func (s *Service) now() time.Time { return s.cfg.Log.Now() }

// reconcile makes the log's shards those of the catalog. A crash leaves log
// shards whose documents were not yet, or are no longer, there; they are empty
// or unwanted. A document without its log shard is only left when files were
// lost: that is damage, and only a repair goes on without.
func (s *Service) reconcile(ctx context.Context) error {
	want := map[shardlog.ID]shardlog.Options{}
	streams := map[string]*streamDoc{}
	for _, ch := range s.cfg.Catalog.List(streamPrefix) {
		var d streamDoc
		if err := json.Unmarshal(ch.Doc, &d); err != nil {
			return fmt.Errorf("cannot read catalog document %s: %w", ch.Key, err)
		}
		streams[d.ID] = &d
	}
	for _, ch := range s.cfg.Catalog.List(shardPrefix) {
		id, index, ok := parseShardKey(ch.Key)
		if d := streams[id]; ok && d != nil {
			want[logID(id, index)] = shardlog.Options{Retention: d.retention()}
		}
	}
	lost := maps.Clone(want)
	holding := 0 // shards with records that no document names
	for _, sh := range s.cfg.Log.Shards() {
		delete(lost, sh.ID())
		if _, ok := want[sh.ID()]; !ok && isLogID(sh.ID()) && sh.Info().Next > 1 {
			holding++
		}
	}
	if holding > 0 && len(s.cfg.Catalog.List("kinesis/")) == 0 {
		// Not even the documents that the first start writes are there. What is to be
		// taken for leftovers otherwise may be all that somebody has.
		return fmt.Errorf("the catalog is empty, but %d shards of the log hold records: the catalog is lost, and no repair brings it back. "+
			"Nothing was changed. Put the whole data directory back from a backup, or move it away to start with an empty one", holding)
	}
	if len(lost) > 0 && !s.cfg.Repair {
		return fmt.Errorf("the log has lost %d shards that the catalog knows, %v among them: their records are gone. With repair they start empty", len(lost), slices.Sorted(maps.Keys(lost))[0])
	}
	var g errgroup.Group
	g.SetLimit(32)
	for _, sh := range s.cfg.Log.Shards() {
		if o, ok := want[sh.ID()]; ok {
			if sh.Info().Retention != o.Retention {
				g.Go(func() error { return s.cfg.Log.SetRetention(ctx, sh, o.Retention) })
			}
		} else if isLogID(sh.ID()) {
			g.Go(func() error { return s.cfg.Log.Delete(ctx, sh) })
		}
	}
	for id, o := range lost {
		s.cfg.Logger.Error("the log has lost a shard; it starts empty", "shard", id)
		g.Go(func() error { _, err := s.cfg.Log.Create(ctx, id, o); return err })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("cannot reconcile log and catalog: %w", err)
	}
	return nil
}

func parseShardKey(key string) (streamID string, index uint32, ok bool) {
	streamID, digits, ok := strings.Cut(strings.TrimPrefix(key, shardPrefix), "/")
	if !ok {
		return "", 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return streamID, uint32(n), err == nil
}

func (d *streamDoc) retention() time.Duration { return time.Duration(d.RetentionHours) * time.Hour }

// apply brings the view up to date; the catalog calls it in the order of its log.
func (s *Service) apply(changes []catalog.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	touched := map[*stream]bool{} // true where a shard changed
	for _, ch := range changes {
		var st *stream
		var err error
		isShard := false
		switch {
		case strings.HasPrefix(ch.Key, streamPrefix):
			st, err = s.applyStream(ch)
		case strings.HasPrefix(ch.Key, shardPrefix):
			isShard = true
			st, err = s.applyShard(ch)
		case strings.HasPrefix(ch.Key, consumerPrefix):
			st, err = s.applyConsumer(ch)
		case ch.Key == tokenKeysKey:
			err = s.tokens.apply(ch.Doc)
		}
		if err != nil { // written by a rheo that this one does not understand
			s.cfg.Logger.Error("cannot read catalog document", "key", ch.Key, "err", err)
			continue
		}
		if st != nil {
			touched[st] = touched[st] || isShard
		}
	}
	for st, shards := range touched {
		if st.due() != 0 {
			s.due[st.id] = st
		} else {
			delete(s.due, st.id)
		}
		st.monitor()
		if shards || st.route.Load() == nil { // with 20,000 shards a new one takes 20 ms, and puts wait
			st.route.Store(newRoute(st))
		}
		close(st.changed)
		st.changed = make(chan struct{})
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) viewOf(id string) *stream {
	st := s.byID[id]
	if st == nil {
		st = &stream{id: id, shards: map[uint32]*shard{}, consumers: map[string]*consumer{}, retaining: make(chan struct{}, 1), changed: make(chan struct{})}
		s.byID[id] = st
	}
	return st
}

func (s *Service) applyStream(ch catalog.Change) (*stream, error) {
	if ch.Doc == nil {
		p := strings.SplitN(strings.TrimPrefix(ch.Key, streamPrefix), "/", 3)
		n := streamName{p[0], p[1], p[2]}
		st := s.streams[n]
		if st == nil {
			return nil, nil
		}
		delete(s.streams, n)
		delete(s.byID, st.id)
		st.doc.Store(nil)
		s.cfg.Metrics.DropStream(n.account, n.region, n.name)
		return st, nil
	}
	d := new(streamDoc)
	if err := json.Unmarshal(ch.Doc, d); err != nil {
		return nil, err
	}
	st := s.viewOf(d.ID)
	if st.doc.Load() == nil { // at first sight, before anybody else can see it
		st.name = streamName{d.Account, d.Region, d.Name}
	}
	if st.doc.Swap(d) == nil {
		st.metrics.Store(s.cfg.Metrics.Stream(d.Account, d.Region, d.Name))
	}
	s.streams[st.name] = st
	return st, nil
}

func (s *Service) applyShard(ch catalog.Change) (*stream, error) {
	id, index, ok := parseShardKey(ch.Key)
	if !ok {
		return nil, fmt.Errorf("bad key")
	}
	st := s.viewOf(id)
	if ch.Doc == nil {
		delete(st.shards, index)
		if m := st.metrics.Load(); m != nil {
			m.DropShard(shardID(index))
		}
		return st, nil
	}
	d := new(shardDoc)
	if err := json.Unmarshal(ch.Doc, d); err != nil {
		return nil, err
	}
	sh := st.shards[index]
	if sh == nil {
		log, err := s.cfg.Log.Shard(logID(id, index))
		if err != nil {
			return nil, fmt.Errorf("shard without its log: %w", err)
		}
		sh = &shard{stream: st, index: index, id: shardID(index), log: log}
	}
	sh.doc.Store(d)
	st.shards[index] = sh
	return st, nil
}

func (s *Service) applyConsumer(ch catalog.Change) (*stream, error) {
	id, name, _ := strings.Cut(strings.TrimPrefix(ch.Key, consumerPrefix), "/")
	st := s.viewOf(id)
	if ch.Doc == nil {
		if c := st.consumers[name]; c != nil {
			c.subs.end()
			if m := st.metrics.Load(); m != nil {
				m.DropConsumer(name)
			}
		}
		delete(st.consumers, name)
		return st, nil
	}
	d := new(consumerDoc)
	if err := json.Unmarshal(ch.Doc, d); err != nil {
		return nil, err
	}
	c := st.consumers[name]
	if c == nil {
		c = &consumer{stream: st}
		st.consumers[name] = c
	}
	c.doc = d
	return st, nil
}

// lookup finds the stream that a call means, by name or ARN, in the caller's
// account and region.
func (s *Service) lookup(ctx context.Context, name, arn *string) (*stream, *streamDoc, error) {
	caller := api.CallerFrom(ctx)
	n := streamName{account: caller.Account, region: caller.Region}
	switch {
	case arn != nil:
		account, region, fromARN, ok := parseStreamARN(*arn)
		if !ok {
			return nil, nil, invalidArgument("Invalid StreamARN: %s", *arn)
		}
		if name != nil && *name != fromARN {
			return nil, nil, invalidArgument("StreamName %s and StreamARN %s name different streams.", *name, *arn)
		}
		if account != n.account || region != n.region {
			// Access across accounts comes with resource policies; what is not
			// granted looks as if it were not there.
			return nil, nil, streamNotFound(account, fromARN)
		}
		n.name = fromARN
	case name != nil:
		n.name = *name
	default:
		return nil, nil, invalidArgument("Either StreamName or StreamARN should be provided.")
	}
	s.mu.RLock()
	st := s.streams[n]
	s.mu.RUnlock()
	if st != nil {
		if d := st.doc.Load(); d != nil {
			return st, d, nil
		}
	}
	return nil, nil, streamNotFound(n.account, n.name)
}

// parseStreamARN reads arn:<partition>:kinesis:<region>:<account>:stream/<name>.
// One whose partition is not its region's names nothing: its region comes back as "".
func parseStreamARN(arn string) (account, region, name string, ok bool) {
	p := strings.SplitN(arn, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[2] != "kinesis" {
		return "", "", "", false
	}
	name, ok = strings.CutPrefix(p[5], "stream/")
	if !ok || name == "" || strings.Contains(name, "/") {
		return "", "", "", false
	}
	if region = p[3]; p[1] != partition(region) {
		region = ""
	}
	return p[4], region, name, true
}

// A change is a transaction in the making that centres on one stream.
type change struct {
	doc    *streamDoc
	expect map[string]uint64
	write  map[string]json.RawMessage
}

// update commits what fn decides for the stream's document and any others it
// adds to the change. fn runs again if another command came between.
func (s *Service) update(ctx context.Context, st *stream, fn func(c *change) error) error {
	key := streamKey(st.name.account, st.name.region, st.name.name)
	for {
		raw, version, ok := s.cfg.Catalog.Get(key)
		if !ok {
			return streamNotFound(st.name.account, st.name.name)
		}
		d := new(streamDoc)
		if err := json.Unmarshal(raw, d); err != nil {
			return fmt.Errorf("cannot read catalog document %s: %w", key, err)
		}
		if d.ID != st.id {
			return streamNotFound(st.name.account, st.name.name)
		}
		c := &change{doc: d, expect: map[string]uint64{key: version}, write: map[string]json.RawMessage{}}
		if err := fn(c); err != nil {
			return err
		}
		if c.doc != nil {
			c.write[key] = encode(c.doc)
		} else {
			c.write[key] = nil
		}
		err := s.cfg.Catalog.Commit(ctx, catalog.Txn{Expect: c.expect, Write: c.write})
		if !errors.Is(err, catalog.ErrConflict) {
			return err
		}
	}
}

// touchAccount adds the account's document to a transaction that uses up a
// quota, so that of two such transactions decided at the same time one is decided anew.
func (s *Service) touchAccount(c *change, account, region string) error {
	key := accountKey(account, region)
	d, version, err := s.account(account, region)
	if err != nil {
		return err
	}
	d.Serial++
	c.expect[key] = version
	c.write[key] = encode(d)
	return nil
}

func (s *Service) account(account, region string) (*accountDoc, uint64, error) {
	d := new(accountDoc)
	raw, version, ok := s.cfg.Catalog.Get(accountKey(account, region))
	if ok {
		if err := json.Unmarshal(raw, d); err != nil {
			return nil, 0, fmt.Errorf("cannot read account document: %w", err)
		}
	}
	return d, version, nil
}

// quota counts what an account has in a region.
type quota struct{ openShards, creating, onDemand, streams int }

func (s *Service) quota(account, region string) quota {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var q quota
	for n, st := range s.streams {
		d := st.doc.Load()
		if n.account != account || n.region != region || d == nil {
			continue
		}
		q.streams++
		if d.Status == "CREATING" {
			q.creating++
			q.openShards += d.InitialShards
		}
		if d.Mode == "ON_DEMAND" {
			q.onDemand++
		}
		open := len(st.route.Load().shards)
		if r := d.Reshard; r != nil { // what it will have on the way
			if r.Split != nil {
				open++
			}
			open = max(open+len(r.Hot), r.Target, r.Peak)
		}
		q.openShards += open
	}
	return q
}

func (s *Service) shardQuota(q quota, account, region string, more int) error {
	if q.openShards+more <= s.cfg.ShardLimit {
		return nil
	}
	return limitExceeded("This request would exceed the shard limit for the account %s in %s. Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d. Refer to the AWS Service Limits page (https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits.",
		account, region, q.openShards, s.cfg.ShardLimit, more)
}

// active refuses a change of a stream that is on its way from one state to another.
func active(d *streamDoc) error {
	if d.Status != "ACTIVE" {
		return notActive(d)
	}
	return nil
}
