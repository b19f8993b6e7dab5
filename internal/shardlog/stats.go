package shardlog

import "sync/atomic"

// Stats are the log's figures since it was opened, and its state now.
type Stats struct {
	Groups, Records, FailedGroups uint64
	JournalBytes, JournalSyncs    uint64
	SegmentBytes, SegmentSyncs    uint64
	FailedSyncs, FailedFlushes    uint64
	Checkpoints, ExpiredSegments  uint64
	ClockSteps                    uint64
	ScrubbedBytes                 uint64
	DamagedRanges                 uint64 // found by recovery, reads and scrub
	FreeBytes                     int64  // on the volume
	Full                          bool   // records are refused for want of space
	MemoryBytes, MemoryMax        int64
	JournalFiles, JournalFree     int
	OpenSegments                  int
	Shards                        int
}

type counters struct {
	segmentBytes, segmentSyncs, failedSyncs, failedFlushes atomic.Uint64
	checkpoints, expired, scrubbed, damaged                atomic.Uint64
}

// Stats returns the log's figures.
func (d *Disk) Stats() Stats {
	j, c := d.journal, d.commit
	st := Stats{
		Groups: c.stats.groups.Load(), Records: c.stats.records.Load(), FailedGroups: c.stats.failed.Load(),
		JournalBytes: j.written.Load(), JournalSyncs: j.syncs.Load(),
		SegmentBytes: d.stats.segmentBytes.Load(), SegmentSyncs: d.stats.segmentSyncs.Load(),
		FailedSyncs: d.stats.failedSyncs.Load() + j.failed.Load(), FailedFlushes: d.stats.failedFlushes.Load(),
		Checkpoints: d.stats.checkpoints.Load(), ExpiredSegments: d.stats.expired.Load(),
		ClockSteps: d.clock.stepCount(), ScrubbedBytes: d.stats.scrubbed.Load(), DamagedRanges: d.stats.damaged.Load(),
		FreeBytes: d.space.free.Load(), Full: d.space.full.Load(),
		MemoryBytes: d.arena.used.Load(), MemoryMax: d.arena.budget,
		OpenSegments: d.files.count(),
	}
	j.mu.Lock()
	st.JournalFiles, st.JournalFree = j.files, len(j.free)
	j.mu.Unlock()
	d.mu.RLock()
	st.Shards = len(d.byRef)
	d.mu.RUnlock()
	return st
}

// Damage lists the damaged ranges found since the log was opened, at most
// damageMax of them, in the order found.
func (d *Disk) Damage() []DamagedError {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return append([]DamagedError(nil), d.damage...)
}

const damageMax = 1000

// damaged counts and logs a damaged range once.
func (d *Disk) damaged(e DamagedError) {
	d.mu.Lock()
	for i := range d.damage {
		if d.damage[i] == e {
			d.mu.Unlock()
			return
		}
	}
	if len(d.damage) < damageMax {
		d.damage = append(d.damage, e)
	}
	d.mu.Unlock()
	d.stats.damaged.Add(1)
	if e.Shard == "" {
		d.log.Error("the log is damaged", "where", e.Where)
		return
	}
	d.log.Error("stored records are damaged", "shard", e.Shard, "from", e.From, "to", e.To, "where", e.Where)
}
