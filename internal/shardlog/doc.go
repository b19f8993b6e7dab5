// Package shardlog keeps records in order, per shard.
//
// Log is the contract, and shardlogtest is the contract as a test. Disk (Open)
// keeps records on a local disk; Memory (NewMemory) forgets them.
//
// # The disk log
//
// Every record is written twice: first to a journal that all shards share, so
// that one sync acknowledges whatever hundreds of writers have to say; later to a
// segment of its own shard, so that reading a shard is reading a file. One write
// only would mean a sync per shard, or reads that pick a shard's records out of
// everybody's: measured, 40 and 55 times slower.
//
//	FORMAT                       "rheo shard log", version
//	LOCK                         held while open
//	checkpoint, checkpoint.copy  state of all shards, from which on to read the journal
//	journal/NNNNNN.journal       a ring of preallocated files
//	journal.files                which of them there are, and how long they are
//	shards/<ref>/<base>-<arrival>.seg   frames of one shard, nothing else
//	shards/<ref>/<base>-<arrival>.idx   index of a sealed segment; can be rebuilt
//	shards/<ref>/shard           whose segments these are, should both checkpoints be lost
//	quarantine/                  copies of damaged ranges that a repair passed over
//	ballast                      freed when the disk is full
//
// A shard is known to its client by an ID and inside by a ref, which is never
// given to another shard. Creating, deleting, trimming and changing the retention
// are records of the log's own (control.go): the directory describes itself.
//
// # Formats
//
// All numbers are little-endian; crc is CRC-32C. Whoever changes one of these
// raises its version and teaches the reader both; FORMAT's version is raised when
// an older program must not touch the directory at all.
//
// The frame of a record, version 1: built once, and the same bytes in journal and
// segment. The crc covers all that follows it.
//
//	 0  crc u32        8  version u8   9  flags u8     10  key length u16
//	 4  length u32    12  shard ref u32
//	16  offset u64    24  arrival i64, ms              32  key epoch u32
//	36  [nonce, 12]                       if flags & 1, encrypted
//	    [producer: id 16, epoch u64, index u32]   if flags & 4
//	    partition key, data
//	flags & 2: the END marker of a sealed shard;  flags & 8: a control record
//	flags & 16: a hole, where a repair found what was not a frame (hole.go)
//
// A journal file. Everything starts on 4 KiB. Groups do not cross files.
//
//	header block:  magic u64, crc u32, version u32, generation u64, use u64,
//	               previous use u64, its generation u64, its last group u64
//	commit block:  magic u32, crc u32 (of this header), version u32, count u32,
//	               generation u64, group u64, digest u64, length u32; 64 bytes in all
//	               frames, length bytes; zeros to the next 4 KiB
//
// The generation is random and new whenever a file is used again, so blocks of an
// earlier use are not mistaken for this one's. The group number goes up by one
// with every block. The digest is a sum over all frames of a mix of the frame's
// place and crc: each writer adds its own share while it fills the group, and no
// byte is run over twice. A file that was never used has a header with use 0.
//
// An index: magic u64, crc u32, version u32, segment size u64, last offset u64,
// count u32 (padded to 48 bytes), then 24 bytes per 64 KiB of segment: offset,
// arrival, place. A checkpoint: checkpoint.go.
//
// # The way of a record, crash by crash
//
//  1. Append takes the shard's lock, gives the records their offsets and a place
//     in the open group, lets go, and builds the frames there. A crash: nothing happened.
//  2. The committer, one goroutine, takes the group and writes it. There is no
//     timer: while it syncs, the next group fills. A crash: the group is on the
//     disk, or torn, or not at all. If it is all there it will be replayed, and
//     nobody was told that it would not.
//  3. The sync returns. Now, and not before, the group's records are readable and
//     acknowledged, by one store of its number. A crash: the journal has them.
//  4. A flush copies readable frames to the shard's active segment. A crash: the
//     segment has a part of them, and the journal all. Recovery checks every frame
//     behind the checkpoint's mark, cuts the file at the first bad one, and
//     replays the rest. A segment's name says how far its predecessor reaches, so a
//     hole between two is noticed.
//  5. A checkpoint syncs the segments that a closed journal file has records for, and
//     their names, then writes the checkpoint twice, and only then frees the
//     file. A crash: either checkpoint will do, since nothing that the older one
//     needs is gone.
//  6. Retention unlinks a segment when all of it is out of view. A crash may bring the
//     name back; its records stay out of view, since floor and trim are durable first.
//
// Recovery reads the checkpoint, then the uses of journal files since, oldest
// first, as each header names its predecessor. Where the last one's blocks end it
// looks behind: a later group of the same generation proves that what is missing
// was acknowledged, since group k+1 is not written before k is synced. Then Open
// reports the damage and refuses. Nothing later means a torn tail. So that the
// last group acknowledged does not look like one, 50 ms of idleness put an empty group
// behind it. The tail that was cut stays cut: before it serves anybody a
// recovery starts a new file, whose header says after which group the last one ends.
//
// After a failed sync nothing is known of what was written since the last good
// one, and the page cache may pretend. A journal file is given up: its group fails, the
// next file's header says where to stop reading it. A segment is written anew from
// the journal. A recovery writes the last group again before it syncs it.
//
// # Damage and repair
//
// Nothing is served but frames whose checksum is right, in order, of that shard.
// A Read that meets anything else in a segment looks for the next good frame (resync.go)
// and fails with the offsets between, and with no others. What Open meets it reports:
// damaged groups, journal files that are gone, cut short (ring.go) or without a header
// (recover_chain.go), segments shorter than the checkpoint says, and both checkpoints lost.
//
// With Config.Repair, Open goes on. It keeps of a damaged group what it can prove to be
// frames (recover_journal.go), reads all segments and restores what the journal still
// has (mend.go), or finds the shards by their directories (rebuild.go). What is lost is
// copied to quarantine/ and reported; in segments holes take its place, so that
// afterwards all is good frames again and the next Open needs no repair. A crash in a repair
// leaves damage that is still damage, and the next repair does the rest.
//
// Readers pass over holes: offsets may have gaps. But a shard without retention is kept
// for a client that needs every record, a state machine: its Reads fail at a hole,
// unless they start behind it.
//
// # Memory
//
// Groups are built in slabs, and their frames stay there until they are flushed: when
// a shard has 1 MiB, when half the budget is used (oldest first), or for a
// checkpoint. The budget is hard; when it or the journal is full, Append waits
// one second at most and then answers ErrOverloaded. Readers copy out of slabs, outside of
// locks, each slab held by a reference meanwhile.
//
// # Deviations
//
// The journal grows by reserving blocks, not by writing zeros: it grows just when
// the disk is busy. A file's first round is slower for it (0.7 of the rate), later ones are not.
// Groups are cut at 4 MiB, a slab, not 8. A segment's name has its arrival bound too.
//
// BUG: The dedup table of idempotent producers is not here yet: marks are stored and
// returned, and nothing is refused.
package shardlog
