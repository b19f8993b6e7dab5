package shardlog

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/rheostream/rheo/internal/vfs"
)

// The list of the journal's files, so that one that is gone or cut short is
// noticed: the newest is named by no other. A file is in the list before anything is
// written to it, and out of it before it is removed. The list also says whether
// there was a checkpoint, so that it is noticed when both copies are gone.
//
//	magic u64, crc u32, version u32, flags u32 (1: there was a checkpoint), count u32,
//	then for each file: number u32, size u64
const (
	ringName    = "journal.files"
	ringMagic   = 0x31474e524f454852 // "RHEORNG1"
	ringVersion = 1
	ringFixed   = 24
)

// ring is what the list says.
type ring struct {
	files        map[int]int64 // size by number
	checkpointed bool
}

func (r *ring) encode() []byte {
	b := make([]byte, ringFixed)
	le.PutUint64(b, ringMagic)
	le.PutUint32(b[12:], ringVersion)
	if r.checkpointed {
		le.PutUint32(b[16:], 1)
	}
	le.PutUint32(b[20:], uint32(len(r.files)))
	for _, num := range slices.Sorted(maps.Keys(r.files)) {
		b = le.AppendUint32(b, uint32(num))
		b = le.AppendUint64(b, uint64(r.files[num]))
	}
	le.PutUint32(b[8:], checksum(b[12:]))
	return b
}

var errRing = errors.New("the list of journal files is damaged")

func decodeRing(b []byte) (r ring, err error) {
	if len(b) < ringFixed || le.Uint64(b) != ringMagic || checksum(b[12:]) != le.Uint32(b[8:]) {
		return r, errRing
	}
	if v := le.Uint32(b[12:]); v != ringVersion {
		return r, fmt.Errorf("version %d of the list of journal files is newer than this program", v)
	}
	r = ring{files: map[int]int64{}, checkpointed: le.Uint32(b[16:])&1 != 0}
	n := int(le.Uint32(b[20:]))
	b = b[ringFixed:]
	if len(b) != n*12 {
		return r, errRing
	}
	for ; len(b) > 0; b = b[12:] {
		r.files[int(le.Uint32(b))] = int64(le.Uint64(b[4:]))
	}
	return r, nil
}

func (j *journal) ringFile() string { return filepath.Join(filepath.Dir(j.dir), ringName) }

// readRing returns no files if there is no list: none was made yet, or an older program made them.
func (j *journal) readRing() (r ring, err error) {
	f, err := j.fs.Open(j.ringFile())
	if errors.Is(err, errNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return r, err
	}
	b := make([]byte, min(size, 1<<20))
	if _, err := f.ReadAt(b, 0); err != nil && !isEOF(err) {
		return r, err
	}
	return decodeRing(b)
}

// list changes the list of files, durably: size 0 takes one out. After an error
// it is not known whether it did.
func (j *journal) list(num int, size int64) error {
	j.ringMu.Lock()
	defer j.ringMu.Unlock()
	if size > 0 {
		j.ring.files[num] = size
		return j.writeRing()
	}
	was := j.ring.files[num]
	delete(j.ring.files, num)
	err := j.writeRing()
	if err != nil {
		j.ring.files[num] = was
	}
	return err
}

// checkpointed notes that there is a checkpoint, before a recovery depends on it.
func (j *journal) checkpointed() error {
	j.ringMu.Lock()
	defer j.ringMu.Unlock()
	if j.ring.checkpointed {
		return nil
	}
	j.ring.checkpointed = true
	err := j.writeRing()
	if err != nil {
		j.ring.checkpointed = false
	}
	return err
}

// writeRing is called with ringMu held, or by a recovery.
func (j *journal) writeRing() error { return writeFile(j.fs, j.ringFile(), j.ring.encode()) }

// writeFile replaces a file's content atomically and durably.
func writeFile(fs vfs.FS, name string, b []byte) error {
	temp := name + ".tmp"
	if err := fs.Remove(temp); err != nil && !errors.Is(err, errNotExist) {
		return err
	}
	f, err := fs.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temp, name); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(name))
}
