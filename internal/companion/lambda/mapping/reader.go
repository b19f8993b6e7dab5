package mapping

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"
)

const (
	// readRecordsMax is how many records a read asks for: the most that there may be.
	readRecordsMax = 10_000
	// readBytes is set aside for an answer before it is asked for: 10 MiB of data as
	// they are and as JSON, and what 10,000 records take beside that. Of a small budget it
	// is a quarter: it is exceeded then by what is being read.
	readBytes = 32 << 20
	// recordOverhead is what a record takes in memory beside its data and its JSON.
	recordOverhead = 256
)

// reader reads one shard, with GetRecords or, of a consumer, SubscribeToShard. It is
// used by one goroutine at a time.
type reader struct {
	m        *Mapping
	shard    ShardID
	created  time.Time // of the stream
	format   *eventFormat
	at       Position // of what to read next, when there is no iterator or subscription
	iterator string
	sub      Subscription
	next     time.Time // a read before it would be too often
	limit    int       // of records to ask for
	urgent   bool      // does not wait for memory
}

// answer is what a read found, as records that are pending.
type answer struct {
	records []pending
	held    int64     // of the budget, for all of them
	atEnd   bool      // the shard is closed and nothing follows
	tip     time.Time // when nothing followed yet: as of when; else zero
	err     error     // ErrShardGone, ErrPosition, or that of the context
}

// seek makes the next read begin elsewhere.
func (r *reader) seek(at Position) {
	r.close()
	r.at = at
}

func (r *reader) close() {
	if r.sub != nil {
		r.sub.Close()
	}
	r.iterator, r.sub = "", nil
}

// read reads on. What passes is waited for: it returns with an answer, or when the
// shard cannot be read at this place at all. It is paced: some five times a second, about
// once where nothing follows.
func (r *reader) read(ctx context.Context) answer {
	for failures := 0; ; {
		if err := sleep(ctx, time.Until(r.next)); err != nil {
			return answer{err: err}
		}
		a, err := r.try(ctx)
		if err == nil {
			return a
		}
		if ctx.Err() != nil {
			return answer{err: ctx.Err()}
		}
		failures++
		pause := readBackoff.after(failures)
		switch {
		case errors.Is(err, errOver):
			continue // a subscription has its time
		case errors.Is(err, ErrPosition) && r.at.Sequence != "":
			return answer{err: err}
		case errors.Is(err, ErrShardGone):
			r.close()
			if err := r.gone(ctx); err != nil {
				return answer{err: err}
			}
			r.m.problem(r.shard, err, failures)
		case errors.Is(err, ErrIteratorExpired):
			r.iterator = ""
			pause = 0
			if failures > 1 {
				pause = readBackoff.after(failures)
			}
		case errors.Is(err, ErrThrottled):
		case errors.Is(err, ErrSourceGone), errors.Is(err, ErrAccess):
			r.close()
			r.m.problem(r.shard, err, failures)
			r.m.look() // at what became of the stream
			pause = gonePause
		default:
			r.m.problem(r.shard, err, failures)
		}
		if err := sleep(ctx, pause); err != nil {
			return answer{err: err}
		}
	}
}

// gone says what it means that a shard is: ErrShardGone if the stream does not list it either,
// for then all that it had is passed over; ErrPosition if it was the shard of another
// stream; else nothing that can be relied on.
func (r *reader) gone(ctx context.Context) error {
	stream, err := r.m.source.Stream(ctx)
	switch {
	case err != nil:
		return nil
	case !stream.Created.Equal(r.created):
		return ErrPosition
	case slices.ContainsFunc(stream.Shards, func(s Shard) bool { return s.ID == r.shard }):
		return nil
	}
	return ErrShardGone
}

func (r *reader) try(ctx context.Context) (answer, error) {
	if r.m.cfg.ConsumerARN != "" {
		return r.push(ctx)
	}
	return r.poll(ctx)
}

// poll reads with GetRecords.
func (r *reader) poll(ctx context.Context) (answer, error) {
	if err := r.untilBegin(ctx); err != nil {
		return answer{}, err
	}
	if r.iterator == "" {
		it, err := r.m.source.Iterator(ctx, r.shard, r.at)
		if err != nil {
			return answer{}, err
		}
		r.iterator = it
	}
	budget, reserved := &r.m.engine.budget, r.m.engine.readBytes()
	if err := r.reserve(ctx, reserved); err != nil {
		return answer{}, err
	}
	asked := time.Now()
	got, err := r.m.source.Records(ctx, r.iterator, r.limit)
	if errors.Is(err, ErrPosition) {
		err = ErrIteratorExpired // it is the iterator that is refused: whether the place is good, a new one will show
	}
	if err != nil {
		budget.release(reserved)
		return answer{}, err
	}
	r.iterator = got.Next
	a := r.take(&got, got.Records)
	budget.release(reserved - a.held)
	r.next = asked.Add(r.m.engine.limits.ReadPause)
	if got.Behind == 0 {
		a.tip = asked
		r.next = asked.Add(r.m.engine.limits.PollPause)
	}
	return a, nil
}

// errOver is that a subscription has ended and a new one is to be made.
var errOver = errors.New("subscription over")

// push reads the next event of a subscription.
func (r *reader) push(ctx context.Context) (answer, error) {
	if err := r.untilBegin(ctx); err != nil {
		return answer{}, err
	}
	if r.sub == nil {
		sub, err := r.m.source.Subscribe(ctx, r.shard, r.at)
		if err != nil {
			return answer{}, err
		}
		r.sub = sub
	}
	got, err := r.sub.Next(ctx)
	if err != nil {
		r.close()
		if err == io.EOF {
			err = errOver
			r.next = time.Now().Add(time.Second) // one subscription a second is allowed
		}
		return answer{}, err
	}
	// The event is good until the next: what is kept is copied.
	records := slices.Clone(got.Records)
	data := 0
	for i := range records {
		data += len(records[i].Data)
	}
	all := make([]byte, 0, data)
	for i := range records {
		from := len(all)
		all = append(all, records[i].Data...)
		records[i].Data = all[from:len(all):len(all)]
	}
	a := r.take(&got, records)
	if got.Next != "" {
		r.at = Position{Kind: AfterSequenceNumber, Sequence: SequenceNumber(got.Next)}
	}
	if got.Behind == 0 {
		a.tip = time.Now()
	}
	reserved := min(a.held, r.m.engine.readBytes())
	if err := r.reserve(ctx, reserved); err != nil {
		return answer{}, err
	}
	r.m.engine.budget.release(reserved - a.held)
	return a, nil
}

// reserve takes bytes of the budget, when they are free.
func (r *reader) reserve(ctx context.Context, bytes int64) error {
	if r.urgent {
		r.m.engine.budget.release(-bytes)
		return nil
	}
	return r.m.engine.budget.acquire(ctx, bytes)
}

// untilBegin waits until the time at which the shard is to begin is not ahead, which no
// stream answers. A clock that was set back makes it so.
func (r *reader) untilBegin(ctx context.Context) error {
	if r.at.Kind != AtTimestamp {
		return nil
	}
	return sleep(ctx, time.Until(r.at.Time))
}

// take makes records pending and remembers where they end.
func (r *reader) take(got *Answer, records []Record) answer {
	a := answer{atEnd: got.Next == "", records: make([]pending, len(records))}
	now := time.Now()
	for i := range records {
		p := &a.records[i]
		p.Record, p.size, p.queued = records[i], r.format.recordSize(&records[i]), now
		a.held += p.held()
	}
	if n := len(records); n > 0 {
		r.at = Position{Kind: AfterSequenceNumber, Sequence: records[n-1].SequenceNumber}
	}
	return a
}
