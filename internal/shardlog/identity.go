package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Beside its segments a shard has a file that says whose they are: all else that
// says so are the two copies of the checkpoint, and before there is one the
// journal. It is made with the shard, durable before a checkpoint lets go of
// the journal's record of the creation, and read only when those are lost. So the
// retention may be an older one.
//
//	magic u64, crc u32, version u32, ref u32, retention i64 (ns), length u8, id
const (
	identityName    = "shard"
	identityMagic   = 0x31444953434f4852 // "RHOCSID1"
	identityVersion = 1
	identityFixed   = 29
)

type identity struct {
	ref       uint32
	retention time.Duration
	id        ID
}

func (i *identity) encode() []byte {
	b := make([]byte, identityFixed, identityFixed+len(i.id))
	le.PutUint64(b, identityMagic)
	le.PutUint32(b[12:], identityVersion)
	le.PutUint32(b[16:], i.ref)
	le.PutUint64(b[20:], uint64(i.retention))
	b[28] = byte(len(i.id))
	b = append(b, i.id...)
	le.PutUint32(b[8:], checksum(b[12:]))
	return b
}

var errIdentity = errors.New("not the identity of a shard")

func decodeIdentity(b []byte) (i identity, err error) {
	if len(b) < identityFixed || le.Uint64(b) != identityMagic || checksum(b[12:]) != le.Uint32(b[8:]) {
		return i, errIdentity
	}
	if v := le.Uint32(b[12:]); v != identityVersion {
		return i, fmt.Errorf("%w: version %d is newer than this program", errIdentity, v)
	}
	i = identity{ref: le.Uint32(b[16:]), retention: time.Duration(le.Uint64(b[20:])), id: ID(b[identityFixed:])}
	if len(i.id) != int(b[28]) || i.id == "" || i.retention < 0 {
		return i, errIdentity
	}
	return i, nil
}

// identify writes the shard's identity, once. Called with flushing held.
func (s *shard) identify() error {
	if s.identified || !s.dirMade {
		return nil
	}
	s.mu.Lock()
	i := identity{ref: s.ref, retention: s.retention, id: s.id}
	s.mu.Unlock()
	if err := s.d.writeFile(filepath.Join(s.d.shardDir(s.ref), identityName), i.encode()); err != nil {
		s.d.space.failed(err)
		return fmt.Errorf("cannot write whose segments those of shard %s are: %w", s.id, err)
	}
	s.identified = true
	return nil
}

// identifySoon writes the identity of a new shard without a sync, for the case that the
// journal loses the shard's creation before there is a checkpoint. Best effort: identify does it well.
func (s *shard) identifySoon() {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	i := identity{ref: s.ref, retention: s.retention, id: s.id}
	gone := s.gone()
	s.mu.Unlock()
	dir := s.d.shardDir(s.ref)
	if gone || s.identified || s.d.fs.MkdirAll(dir) != nil {
		return
	}
	s.dirMade = true
	f, err := s.d.fs.Create(filepath.Join(dir, identityName))
	if err != nil {
		return
	}
	f.WriteAt(i.encode(), 0)
	f.Close()
}

// readIdentity reads what a shard's directory says of it.
func (d *Disk) readIdentity(ref uint32) (i identity, err error) {
	f, err := d.fs.Open(filepath.Join(d.shardDir(ref), identityName))
	if err != nil {
		return i, err
	}
	defer f.Close()
	b := make([]byte, identityFixed+idBytesMax+1)
	n, err := f.ReadAt(b, 0)
	if err != nil && !isEOF(err) {
		return i, err
	}
	if i, err = decodeIdentity(b[:n]); err == nil && i.ref != ref {
		err = errIdentity
	}
	return i, err
}
