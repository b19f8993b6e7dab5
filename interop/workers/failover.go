package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rheostream/rheo/interop/contents"
)

func (r *run) failover(ctx context.Context) error {
	const shards = 4
	if err := r.createStream(ctx, shards); err != nil {
		return err
	}
	traffic, err := r.startTraffic(ctx)
	if err != nil {
		return err
	}
	byName := map[string]*worker{}
	for _, name := range []string{"worker-a", "worker-b"} {
		if byName[name], err = r.start(name); err != nil {
			return err
		}
		if _, err := r.await(ctx, name+" has begun the application", 2*time.Minute, func() (bool, error) { return r.begun(ctx) }); err != nil {
			return err
		}
	}
	var leases []lease
	var leader string
	took, err := r.await(ctx, "both workers hold leases and every shard has a checkpoint", 4*time.Minute, func() (bool, error) {
		if leases, leader, err = r.leases(ctx); err != nil {
			return false, err
		}
		of := held(leases)
		return len(of) == 2 && of["worker-a"]+of["worker-b"] == shards && len(shardsWith("checkpoint", r.events())) == shards, nil
	})
	if err != nil {
		return fmt.Errorf("%w\nleases are %+v, the leader is %q", err, leases, leader)
	}
	fmt.Printf("after %.1f s %v, the leader is %q\n", took.Seconds(), held(leases), leader)

	victim, within, err := r.chooseVictim(leader)
	if err != nil {
		return err
	}
	survivor := "worker-a"
	if victim == survivor {
		survivor = "worker-b"
	}
	parent, err := r.splitOneOf(ctx, leases, victim)
	if err != nil {
		return err
	}
	byName[victim].kill()
	died := time.Now()
	merged, err := r.merge(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("split %s, killed %s who read it, merged %s and %s\n", parent, victim, merged[0], merged[1])

	_, err = r.await(ctx, "the leases of "+victim+" have moved", within, func() (bool, error) {
		leases, _, err = r.leases(ctx)
		return err == nil && held(leases)[victim] == 0, err
	})
	if err != nil {
		return fmt.Errorf("%w\nleases are %+v", err, leases)
	}
	fmt.Printf("the leases of %s moved %.1f s after its death; the library has until %s, see settings.go\n",
		victim, time.Since(died).Seconds(), within)

	// Traffic goes on until each child of the split and of the merge has been begun.
	if _, err = r.await(ctx, "all open shards are read", 2*time.Minute, func() (bool, error) { return r.readsAllOpen(ctx, survivor) }); err != nil {
		return fmt.Errorf("%w\n%s", err, r.progress(ctx))
	}
	acked, err := traffic.finish(ctx, r)
	if err != nil {
		return err
	}
	return r.drain(ctx, byName[survivor], acked)
}

// chooseVictim says whom to kill, and how long its leases may take to move.
func (r *run) chooseVictim(leader string) (victim string, within time.Duration, err error) {
	if r.library.version == 2 {
		return "worker-b", r.library.moved(false), nil // it has no leader
	}
	other := map[string]string{"worker-a": "worker-b", "worker-b": "worker-a"}
	switch {
	case other[leader] == "":
		return "", 0, fmt.Errorf("the leader is %q, which is no worker", leader)
	case r.victim == "leader":
		return leader, r.library.moved(true), nil
	default:
		return other[leader], r.library.moved(false), nil
	}
}

// splitOneOf splits a shard that the worker reads.
func (r *run) splitOneOf(ctx context.Context, leases []lease, worker string) (parent string, err error) {
	shards, err := contents.List(ctx, r.kinesis, r.stream)
	if err != nil {
		return "", err
	}
	for _, l := range leases {
		for _, shard := range shards {
			if l.owner == worker && l.shard == *shard.ShardId && contents.Open(shard) {
				return l.shard, r.split(ctx, shard)
			}
		}
	}
	return "", fmt.Errorf("%s reads no open shard: %+v", worker, leases)
}

// readsAllOpen says whether the worker has been given records of every open shard.
func (r *run) readsAllOpen(ctx context.Context, name string) (bool, error) {
	shards, err := contents.List(ctx, r.kinesis, r.stream)
	if err != nil {
		return false, err
	}
	var given map[string]bool
	for _, w := range r.workers {
		if w.name == name {
			given = shardsWith("record", w.events)
		}
	}
	for _, shard := range shards {
		if contents.Open(shard) && !given[*shard.ShardId] {
			return false, nil
		}
	}
	return true, nil
}

// shardsWith gives the shards of which there is an event of a kind.
func shardsWith(kind string, events []event) map[string]bool {
	shards := map[string]bool{}
	of := map[[2]string]string{} // worker and session to shard
	for _, e := range events {
		id := [2]string{e.worker, e.session}
		if e.kind == "start" {
			of[id] = e.shard
		}
		if e.kind == kind {
			shards[of[id]] = true
		}
	}
	return shards
}

// progress is for error messages.
func (r *run) progress(ctx context.Context) string {
	leases, leader, err := r.leases(ctx)
	return fmt.Sprintf("leases are %+v (%v), the leader is %q", leases, err, leader)
}

// drain waits until all that is in the stream was delivered, stops the last worker, and checks everything.
func (r *run) drain(ctx context.Context, last *worker, acked map[string]int) error {
	shards, err := contents.Read(ctx, r.kinesis, r.stream)
	if err != nil {
		return fmt.Errorf("cannot read the stream back: %w", err)
	}
	lostByLibraries, err := checkPut(shards, acked)
	if err != nil {
		return err
	}
	var found *report
	_, err = r.await(ctx, "all records are delivered", 2*time.Minute, func() (bool, error) {
		if missing(shards, r.events()) {
			return false, nil
		}
		return true, nil
	})
	found = check(shards, r.events())
	if err != nil {
		for _, f := range found.faults {
			fmt.Println(f)
		}
		return fmt.Errorf("%w\n%s", err, r.progress(ctx))
	}
	if err := last.stop(ctx); err != nil {
		return err
	}
	found = check(shards, r.events())
	records, packed := 0, 0
	for _, s := range shards {
		records, packed = records+len(s.Records), packed+s.Packed
	}
	total := 0
	for _, n := range acked {
		total += n
	}
	fmt.Printf("%d user records were acknowledged; the stream has %d shards with %d, in %d records; %s\n", total, len(shards), records, packed, found)
	if lostByLibraries > 0 {
		fmt.Printf("%d of them are only in aggregates that the client library drops, see checkPut\n", lostByLibraries)
	}
	return found.error()
}

// missing says whether some record has not been delivered.
func missing(shards []contents.Shard, events []event) bool {
	given := map[contents.Position]bool{}
	for _, e := range events {
		if e.kind == "record" {
			given[e.pos] = true
		}
	}
	for _, s := range shards {
		for _, rec := range s.Records {
			if !rec.Dropped && !given[rec.Position] {
				return true
			}
		}
	}
	return false
}

func (r *report) error() error {
	for _, f := range r.faults {
		fmt.Println(f)
	}
	if len(r.faults) > 0 {
		return fmt.Errorf("%d faults in what workers were given", len(r.faults))
	}
	return nil
}
