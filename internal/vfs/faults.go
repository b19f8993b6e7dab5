package vfs

import (
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Op names a call of FS or File.
type Op string

const (
	OpCreate   Op = "create"
	OpOpen     Op = "open"
	OpRemove   Op = "remove"
	OpRename   Op = "rename" // matched by the old name and by the new
	OpMkdirAll Op = "mkdirall"
	OpList     Op = "list"
	OpStat     Op = "stat"
	OpSyncDir  Op = "syncdir"
	OpLock     Op = "lock"
	OpUsage    Op = "usage"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpSync     Op = "sync"
	OpTruncate Op = "truncate"
	OpSize     Op = "size"
	OpReserve  Op = "reserve"
	OpClose    Op = "close"
)

// Fault describes calls and what befalls them.
type Fault struct {
	Op Op // empty: any call
	// Name is a glob (path.Match) for the last element of the name or, with a
	// slash in it, for the whole name; empty: any.
	Name string
	// Nth is the one matching call that fails, counted from 1 since Add; 0: all of them.
	Nth int64

	// Err is what the call returns.
	Err error
	// Applied: the call does its work and returns Err all the same. A Sync that
	// is not applied loses unsynced data, where the file system below can show that.
	Applied bool
	// Short, if above 0 and below the length of a read or write, lets that many
	// bytes through before Err.
	Short int
}

// Faults passes calls on to another FS, counts them, and makes chosen ones fail
// or wait. Hints (DontNeed, WriteOut, Direct) cannot fail and are not counted.
type Faults struct {
	inner FS

	mu     sync.Mutex
	calls  int64
	perOp  map[Op]int64
	faults []*Armed
	holds  []*Hold
}

// NewFaults returns an FS that behaves like inner until told otherwise.
func NewFaults(inner FS) *Faults {
	return &Faults{inner: inner, perOp: map[Op]int64{}}
}

// Armed is a Fault at work.
type Armed struct {
	f     *Faults
	fault Fault
	seen  int64 // matching calls; guarded by f.mu
	fired int64 // guarded by f.mu
}

// Add puts a fault to work. Where several match a call, the first added counts.
func (f *Faults) Add(fault Fault) *Armed {
	if _, err := path.Match(fault.Name, ""); err != nil {
		panic("vfs: bad glob " + fault.Name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := &Armed{f: f, fault: fault}
	f.faults = append(f.faults, a)
	return a
}

// Remove ends the fault.
func (a *Armed) Remove() {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	a.f.faults = slices.DeleteFunc(a.f.faults, func(b *Armed) bool { return a == b })
}

// Fired counts the calls that failed by it.
func (a *Armed) Fired() int64 {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	return a.fired
}

// Calls counts all calls so far: run a scenario once without faults, and each
// n up to Calls is a site for Fault{Nth: n}.
func (f *Faults) Calls() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// CallsOf counts the calls of one kind so far.
func (f *Faults) CallsOf(op Op) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.perOp[op]
}

// Hold stops calls before they begin.
type Hold struct {
	f        *Faults
	op       Op
	name     string
	reached  chan struct{}
	released chan struct{}
	once     sync.Once
}

// Hold makes every call of that op and name glob wait from now on until Release.
func (f *Faults) Hold(op Op, name string) *Hold {
	h := &Hold{f: f, op: op, name: name, reached: make(chan struct{}), released: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holds = append(f.holds, h)
	return h
}

// Reached is closed when the first call waits.
func (h *Hold) Reached() <-chan struct{} { return h.reached }

// Release lets all go on. It may be called again.
func (h *Hold) Release() {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if i := slices.Index(h.f.holds, h); i >= 0 {
		h.f.holds = slices.Delete(h.f.holds, i, i+1)
		close(h.released)
	}
}

// begin counts a call, waits where it is held, and returns the fault that befalls it, if any.
func (f *Faults) begin(op Op, names ...string) *Fault {
	f.mu.Lock()
	f.calls++
	f.perOp[op]++
	var fault *Fault
	for _, a := range f.faults {
		if !matches(a.fault.Op, a.fault.Name, op, names) {
			continue
		}
		a.seen++
		if fault == nil && (a.fault.Nth == 0 || a.fault.Nth == a.seen) {
			a.fired++
			fault = &a.fault
		}
	}
	var hold *Hold
	for _, h := range f.holds {
		if matches(h.op, h.name, op, names) {
			hold = h
			break
		}
	}
	f.mu.Unlock()
	if hold != nil {
		hold.once.Do(func() { close(hold.reached) })
		<-hold.released
	}
	return fault
}

func matches(wantOp Op, glob string, op Op, names []string) bool {
	if wantOp != "" && wantOp != op {
		return false
	}
	return glob == "" || slices.ContainsFunc(names, func(name string) bool {
		name = filepath.ToSlash(name)
		if !strings.Contains(glob, "/") {
			name = path.Base(name)
		}
		ok, _ := path.Match(glob, name)
		return ok
	})
}

// do is a call that is done wholly or not at all.
func (f *Faults) do(op Op, call func() error, names ...string) error {
	fault := f.begin(op, names...)
	if fault == nil {
		return call()
	}
	if fault.Applied {
		if err := call(); err != nil {
			return err
		}
	}
	return fault.error(op, names[0])
}

func (x *Fault) error(op Op, name string) error {
	return &fs.PathError{Op: string(op), Path: name, Err: x.Err}
}

func (f *Faults) Create(name string) (File, error) { return f.open(OpCreate, f.inner.Create, name) }
func (f *Faults) Open(name string) (File, error)   { return f.open(OpOpen, f.inner.Open, name) }

func (f *Faults) open(op Op, open func(string) (File, error), name string) (file File, err error) {
	err = f.do(op, func() error { file, err = open(name); return err }, name)
	if err != nil {
		if file != nil {
			file.Close()
		}
		return nil, err
	}
	return &faultyFile{f: f, inner: file, name: name}, nil
}

func (f *Faults) Remove(name string) error {
	return f.do(OpRemove, func() error { return f.inner.Remove(name) }, name)
}

func (f *Faults) Rename(oldname, newname string) error {
	return f.do(OpRename, func() error { return f.inner.Rename(oldname, newname) }, oldname, newname)
}

func (f *Faults) MkdirAll(dir string) error {
	return f.do(OpMkdirAll, func() error { return f.inner.MkdirAll(dir) }, dir)
}

func (f *Faults) List(dir string) (names []string, err error) {
	err = f.do(OpList, func() error { names, err = f.inner.List(dir); return err }, dir)
	if err != nil {
		return nil, err
	}
	return names, nil
}

func (f *Faults) Stat(name string) (info fs.FileInfo, err error) {
	err = f.do(OpStat, func() error { info, err = f.inner.Stat(name); return err }, name)
	if err != nil {
		return nil, err
	}
	return info, nil
}

func (f *Faults) SyncDir(dir string) error {
	return f.do(OpSyncDir, func() error { return f.inner.SyncDir(dir) }, dir)
}

func (f *Faults) Lock(name string) (lock io.Closer, err error) {
	err = f.do(OpLock, func() error { lock, err = f.inner.Lock(name); return err }, name)
	if err != nil {
		if lock != nil {
			lock.Close()
		}
		return nil, err
	}
	return lock, nil
}

func (f *Faults) Usage(dir string) (free, total int64, err error) {
	err = f.do(OpUsage, func() error { free, total, err = f.inner.Usage(dir); return err }, dir)
	if err != nil {
		return 0, 0, err
	}
	return free, total, nil
}

type faultyFile struct {
	f     *Faults
	inner File
	name  string
}

func (x *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	return x.transfer(OpRead, x.inner.ReadAt, p, off)
}

func (x *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	return x.transfer(OpWrite, x.inner.WriteAt, p, off)
}

func (x *faultyFile) transfer(op Op, call func([]byte, int64) (int, error), p []byte, off int64) (int, error) {
	fault := x.f.begin(op, x.name)
	if fault == nil {
		return call(p, off)
	}
	switch {
	case fault.Short > 0 && fault.Short < len(p):
		n, err := call(p[:fault.Short], off)
		if err != nil {
			return n, err
		}
		return n, fault.error(op, x.name)
	case fault.Applied:
		if n, err := call(p, off); err != nil {
			return n, err
		}
	}
	return 0, fault.error(op, x.name)
}

// unsyncedLoser is a file that can show what a failed Sync does to it.
type unsyncedLoser interface{ loseUnsynced() }

func (x *faultyFile) Sync() error {
	fault := x.f.begin(OpSync, x.name)
	if fault == nil {
		return x.inner.Sync()
	}
	if fault.Applied {
		if err := x.inner.Sync(); err != nil {
			return err
		}
	} else if loser, ok := x.inner.(unsyncedLoser); ok {
		loser.loseUnsynced()
	}
	return fault.error(OpSync, x.name)
}

func (x *faultyFile) Truncate(size int64) error {
	return x.f.do(OpTruncate, func() error { return x.inner.Truncate(size) }, x.name)
}

func (x *faultyFile) Size() (size int64, err error) {
	err = x.f.do(OpSize, func() error { size, err = x.inner.Size(); return err }, x.name)
	if err != nil {
		return 0, err
	}
	return size, nil
}

func (x *faultyFile) Reserve(size int64) error {
	return x.f.do(OpReserve, func() error { return x.inner.Reserve(size) }, x.name)
}

func (x *faultyFile) DontNeed(off, n int64) { x.inner.DontNeed(off, n) }
func (x *faultyFile) WriteOut(off, n int64) { x.inner.WriteOut(off, n) }
func (x *faultyFile) Direct()               { x.inner.Direct() }

// Close always closes the file, as the operating systems do; only the error can be had.
func (x *faultyFile) Close() error {
	fault := x.f.begin(OpClose, x.name)
	err := x.inner.Close()
	if fault != nil {
		return fault.error(OpClose, x.name)
	}
	return err
}
