package shardlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

// Config says where a disk log lives and what it may use. The zero value works
// but for Dir.
type Config struct {
	FS  vfs.FS // default vfs.OS()
	Dir string // made if missing

	JournalFileBytes int64 // largest size of a journal file; default 256 MiB, at least 64 KiB. The first is 32 MiB at most.
	JournalFilesMax  int   // default 8, at least 2
	MemoryBytes      int64 // hard budget for records that are not yet in segments; default 256 MiB, at least 1 MiB
	SegmentBytes     int64 // default 128 MiB
	OpenFilesMax     int   // segments kept open; default 512
	ReserveBytes     int64 // free space below which records are refused; default the smaller of 5 % and 1 GiB
	ScrubBytesPerSec int   // pace at which sealed segments are verified; default 10 MB/s, negative: never

	// Repair lets Open go on when acknowledged records are damaged. It reads all
	// segments. What can be restored or read is kept, the bad ranges are copied to
	// quarantine/, logged, and listed by Damage.
	Repair bool

	Logger *slog.Logger // default slog.Default()
	Clock  Clock        // default the system's

	waitMax time.Duration // for memory or for a journal file; tests wait less
}

const (
	formatText       = "rheo shard log\nversion 1\n"
	firstJournalFile = 32 << 20
	slabBytesMax     = 4 << 20
	retentionTick    = time.Second
)

func (c *Config) fill() error {
	if c.FS == nil {
		c.FS = vfs.OS()
	}
	def := func(p *int64, d, least int64) {
		if *p == 0 {
			*p = d
		}
		*p = max(*p, least)
	}
	def(&c.JournalFileBytes, 256<<20, 64<<10)
	def(&c.MemoryBytes, 256<<20, 1<<20)
	def(&c.SegmentBytes, 128<<20, 4<<10)
	c.JournalFileBytes = int64(alignUp(int(c.JournalFileBytes)))
	if c.JournalFilesMax == 0 {
		c.JournalFilesMax = 8
	}
	c.JournalFilesMax = max(c.JournalFilesMax, 2)
	if c.OpenFilesMax == 0 {
		c.OpenFilesMax = 512
	}
	if c.ScrubBytesPerSec == 0 {
		c.ScrubBytesPerSec = 10e6
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.waitMax == 0 {
		c.waitMax = waitMax
	}
	if c.Clock == nil {
		c.Clock = systemClock{time.Now()}
	}
	if c.Dir == "" {
		return errors.New("no directory for the log")
	}
	return nil
}

// Disk is the log on a local disk.
type Disk struct {
	cfg       Config
	fs        vfs.FS
	log       *slog.Logger
	shardsDir string
	lock      io.Closer
	clock     *slewedClock
	arena     *arena
	journal   *journal
	commit    *committer
	files     *files
	indexes   *indexCache
	space     *spaceWatch
	room      *notifier
	putMax    int // bytes of a Put's frames
	stats     counters

	keep     chan struct{} // there is work for the keeper: checkpoint, files of deleted shards
	pressure chan struct{} // memory is short
	flushes  chan *shard
	stop     chan struct{}
	workers  sync.WaitGroup
	closed   atomic.Bool
	closing  sync.Once

	mu       sync.RWMutex // guards all below
	byID     map[ID]*shard
	byRef    map[uint32]*shard
	creating map[ID]struct{}
	nextRef  uint32
	garbage  []*shard // deleted, files still there
	damage   []DamagedError

	dirtyMu sync.Mutex
	dirty   []*shard // guarded by dirtyMu: those with runs in memory, and some without

	checkpointing sync.Mutex
	checkpoints   uint64 // guarded by checkpointing
	wantSave      atomic.Bool
}

// ErrTooLarge: a record or a Put is larger than the log takes.
var ErrTooLarge = errors.New("too large for the log")

// Open opens the log in cfg.Dir, or makes a new one. If acknowledged records are
// damaged it fails with a *DamageReport unless cfg.Repair is set.
func Open(cfg Config) (*Disk, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	room := &notifier{}
	d := &Disk{
		cfg: cfg, fs: cfg.FS, log: cfg.Logger, room: room,
		shardsDir: filepath.Join(cfg.Dir, "shards"),
		files:     newFiles(cfg.FS, cfg.OpenFilesMax),
		indexes:   newIndexCache(),
		keep:      make(chan struct{}, 1),
		pressure:  make(chan struct{}, 1),
		flushes:   make(chan *shard, 1024),
		stop:      make(chan struct{}),
		byID:      map[ID]*shard{}, byRef: map[uint32]*shard{}, creating: map[ID]struct{}{}, nextRef: 1,
	}
	first := min(firstJournalFile, cfg.JournalFileBytes)
	d.putMax = int(min((first-blockAlign)/2-blockAlign, cfg.MemoryBytes/4)) - blockHeader
	slabBytes := max(min(slabBytesMax, alignUp(int(cfg.MemoryBytes/16))), 64<<10)
	slabBytes = min(slabBytes, alignUp(d.putMax))
	d.arena = &arena{budget: cfg.MemoryBytes, slabBytes: slabBytes, room: room}
	d.space = newSpaceWatch(d)
	d.journal = &journal{
		fs: cfg.FS, dir: filepath.Join(cfg.Dir, "journal"), log: cfg.Logger, filesMax: cfg.JournalFilesMax, ring: ring{files: map[int]int64{}},
		bytesMin: first, bytesMax: cfg.JournalFileBytes, nextUse: 1,
		filled: func() { d.kick(d.keep) }, freed: &notifier{}, nospace: d.space.failed, room: d.space.room,
	}
	d.commit = newCommitter(d.journal, d.arena, room, cfg.waitMax, func() { d.kick(d.pressure) })

	if err := d.open(); err != nil {
		if d.lock != nil {
			d.lock.Close()
		}
		d.files.closeAll()
		d.journal.close()
		return nil, fmt.Errorf("cannot open the log in %s: %w", cfg.Dir, err)
	}
	d.start()
	return d, nil
}

func (d *Disk) open() (err error) {
	for _, dir := range []string{d.cfg.Dir, d.journal.dir, d.shardsDir} {
		if err := d.fs.MkdirAll(dir); err != nil {
			return err
		}
	}
	if err := vfs.SyncUpwards(d.fs, d.cfg.Dir); err != nil {
		return err
	}
	if d.lock, err = d.fs.Lock(filepath.Join(d.cfg.Dir, "LOCK")); err != nil {
		return err
	}
	if err := d.checkFormat(); err != nil {
		return err
	}
	d.space.look()
	d.clock = newSlewedClock(d.cfg.Clock, d.log)
	return d.recover()
}

// checkFormat refuses a directory of a newer program, and marks a new one.
func (d *Disk) checkFormat() error {
	name := filepath.Join(d.cfg.Dir, "FORMAT")
	problem := ""
	f, err := d.fs.Open(name)
	switch {
	case errors.Is(err, errNotExist):
		names, err := d.fs.List(d.journal.dir)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return d.writeFile(name, []byte(formatText))
		}
		problem = name + " is missing beside journal files"
	case err != nil:
		return err
	default:
		defer f.Close()
		b := make([]byte, 2*len(formatText))
		n, err := f.ReadAt(b, 0)
		if err != nil && !isEOF(err) {
			return err
		}
		got := string(b[:n])
		if got == formatText {
			return nil
		}
		var version uint
		if k, _ := fmt.Sscanf(got, "rheo shard log\nversion %d\n", &version); k == 1 && version > 1 {
			return fmt.Errorf("%s says %q, which this program does not know", name, strings.TrimSpace(got))
		}
		problem = fmt.Sprintf("%s is damaged: %q", name, got)
	}
	e := DamagedError{Where: problem}
	if !d.cfg.Repair {
		return &DamageReport{Ranges: []DamagedError{e}}
	}
	d.damaged(e)
	return d.writeFile(name, []byte(formatText))
}

// writeFile replaces a file's content atomically and durably.
func (d *Disk) writeFile(name string, b []byte) error {
	return writeFile(d.fs, name, b)
}

// start sets the log's goroutines going; Close stops them in reverse.
func (d *Disk) start() {
	go d.commit.run()
	for _, loop := range []func(){d.keepLoop, d.flushLoop, d.flushLoop, d.pressureLoop, d.tickLoop, d.scrubLoop} {
		d.workers.Add(1)
		go func() { defer d.workers.Done(); loop() }()
	}
}

// kick tells a loop that there is work, without blocking.
func (d *Disk) kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Close commits what is under way, brings all of it to segments, and releases
// the log.
func (d *Disk) Close() error {
	err := ErrClosed
	d.closing.Do(func() { err = d.shut() })
	return err
}

func (d *Disk) shut() error {
	d.closed.Store(true)
	d.commit.stop()
	close(d.stop)
	d.workers.Wait()
	for _, s := range d.allShards() {
		s.wakeWaiters()
	}
	d.journal.retire()
	err := d.checkpoint()
	d.removeGarbage()
	d.files.closeAll()
	err = errors.Join(err, d.journal.close(), d.lock.Close())
	if err != nil {
		return fmt.Errorf("cannot close the log in %s cleanly: %w", d.cfg.Dir, err)
	}
	return nil
}

// Now is the clock that stamps arrivals.
func (d *Disk) Now() time.Time { return d.clock.Now() }

// Shard finds a shard.
func (d *Disk) Shard(id ID) (Shard, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if s := d.byID[id]; s != nil {
		return s, nil
	}
	return nil, ErrNotFound
}

// Shards lists all shards, sorted by ID.
func (d *Disk) Shards() []Shard {
	all := d.allShards()
	slices.SortFunc(all, func(a, b *shard) int { return strings.Compare(string(a.id), string(b.id)) })
	list := make([]Shard, len(all))
	for i, s := range all {
		list[i] = s
	}
	return list
}

func (d *Disk) allShards() []*shard {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]*shard, 0, len(d.byRef))
	for _, s := range d.byRef {
		all = append(all, s)
	}
	return all
}

// own returns the shard behind a handle that this log gave out.
func (d *Disk) own(h Shard) (*shard, error) {
	s, ok := h.(*shard)
	if !ok || s.d != d {
		return nil, ErrNotFound
	}
	return s, nil
}
