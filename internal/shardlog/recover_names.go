package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/rheostream/rheo/internal/vfs"
)

// The part of a recovery that deals with shards whose creation or deletion the
// journal has lost.

// dropNamesakes drops shards whose ID a later one has: what is missing is the
// record of their deletion.
func (r *recovery) dropNamesakes() {
	d := r.d
	for ref, s := range d.byRef {
		if d.byID[s.id] != s {
			delete(d.byRef, ref)
			delete(r.shards, ref)
			r.deleted[ref] = true
			s.deleted = true
			d.garbage = append(d.garbage, s)
		}
	}
}

// unnamed are records of a shard whose creation is lost with a hole in the journal.
type unnamed struct {
	from, to uint64
	kept     string // file in quarantine
	size     int64
}

func (u *unnamed) damage(ref uint32) DamagedError {
	where := fmt.Sprintf("records of shard number %d, offsets %d to %d: what says its name is lost", ref, u.from, u.to)
	if u.kept != "" {
		where += ", copied to " + u.kept
	}
	return DamagedError{From: Offset(u.from), To: Offset(u.to), Where: where}
}

// nameless deals with a record whose shard is not known, behind a hole in the
// journal. It may be deleted later on. If not, its directory may say whose it is; else it is put aside.
func (r *recovery) nameless(fr frame, raw []byte) (*recovered, error) {
	if i, err := r.d.readIdentity(fr.ref); err == nil && r.d.byID[i.id] == nil {
		s := r.d.newShard(fr.ref, i.id)
		s.retention = i.retention
		err := r.found(s)
		return r.shards[fr.ref], err
	}
	u := r.unnamed[fr.ref]
	if u == nil {
		u = &unnamed{from: fr.seq}
		r.unnamed[fr.ref] = u
	}
	u.to = fr.seq
	if !r.d.cfg.Repair {
		return nil, nil
	}
	var err error
	u.kept, u.size, err = r.putAside(u, fr.ref, raw)
	return nil, err
}

// putAside appends a frame to what is kept of an unnamed shard.
func (r *recovery) putAside(u *unnamed, ref uint32, raw []byte) (name string, size int64, err error) {
	dir := filepath.Join(r.d.cfg.Dir, "quarantine")
	if err := r.d.fs.MkdirAll(dir); err != nil {
		return "", 0, err
	}
	name = u.kept
	var f vfs.File
	if name == "" {
		name = filepath.Join(dir, fmt.Sprintf("%08x.frames", ref))
		if f, err = r.d.fs.Create(name); errors.Is(err, errExist) {
			f, err = r.d.fs.Open(name) // of an earlier attempt
		}
	} else {
		f, err = r.d.fs.Open(name)
	}
	if err != nil {
		return "", 0, err
	}
	_, err = f.WriteAt(raw, u.size)
	if err == nil {
		err = f.Sync()
	}
	return name, u.size + int64(len(raw)), errors.Join(err, f.Close(), r.d.fs.SyncDir(dir), r.d.fs.SyncDir(r.d.cfg.Dir))
}
