package s3

import (
	"errors"

	"github.com/tidwall/btree"
)

// A state is what a prefix of the log amounts to. The apply loop has one that it
// changes; what readers get is a view that shares all unchanged parts with it
// and is never changed again.
type state struct {
	offset   uint64 // of the last command applied
	bytes    int64  // of memory, about
	buckets  *btree.Map[string, *bucket]
	accounts *btree.Map[string, usage]

	dirty map[string]bool // buckets whose view is not current; the apply loop's
	views *btree.Map[string, *bucket]
	freed []string // blobs that nothing refers to any more; the apply loop's
}

// usage is what an account has, or all have.
type usage struct{ objects, bytes int64 } // bytes are of parts too

// A bucket is its definition and what is in it.
type bucket struct {
	doc     bucketDoc
	id      uint64
	objects *btree.Map[string, row]     // by key
	uploads *btree.Map[string, *parted] // by key and id, see uploadKey
}

type bucketDoc struct {
	Account string
	Region  string
	Created int64 // ms
}

// A row is a record and the offset of the command that wrote it.
type row struct {
	version uint64
	stored  string
}

// A parted is an upload under way. It is never changed, but replaced.
type parted struct {
	id     string
	key    string
	row    // the record, and the version that changes with each part
	parts  *btree.Map[int, row]
	memory int64 // of the parts
}

// uploadKey sorts uploads by key, and those of one by their time, with which ids begin.
func uploadKey(key, id string) string { return key + "\x00" + id }

// What keeping things costs beside their own bytes: nodes of trees, headers.
const (
	rowCost    = 112
	uploadCost = 512
	bucketCost = 8 << 10
)

// errConflict: what a command expects does not hold; decide again.
var errConflict = errors.New("s3: an object, an upload or a bucket changed meanwhile")

func newState() *state {
	return &state{buckets: new(btree.Map[string, *bucket]), accounts: new(btree.Map[string, usage]),
		dirty: make(map[string]bool), views: new(btree.Map[string, *bucket])}
}

// view is the state as it is now, for readers.
func (s *state) view() *state {
	for name := range s.dirty {
		b, ok := s.buckets.Get(name)
		if !ok {
			s.views.Delete(name)
			continue
		}
		v := *b
		v.objects, v.uploads = b.objects.Copy(), b.uploads.Copy()
		s.views.Set(name, &v)
	}
	clear(s.dirty)
	return &state{offset: s.offset, bytes: s.bytes, buckets: s.views.Copy(), accounts: s.accounts.Copy()}
}

// used sums up what all accounts have.
func (s *state) used() (sum usage) {
	s.accounts.Scan(func(_ string, u usage) bool {
		sum.objects, sum.bytes = sum.objects+u.objects, sum.bytes+u.bytes
		return true
	})
	return sum
}

// usedBy is how many bytes an account has.
func (s *state) usedBy(account string) int64 {
	u, _ := s.accounts.Get(account)
	return u.bytes
}

// apply applies the command at an offset. It depends on the state and its arguments
// alone. A command at or below the state's offset is part of it already.
func (s *state) apply(offset uint64, t txn) error {
	if offset <= s.offset {
		return nil
	}
	s.offset = offset
	for i := range t {
		if !s.holds(&t[i]) {
			return errConflict
		}
	}
	for i := range t {
		s.do(offset, &t[i])
	}
	return nil
}

// holds says whether what a step expects is so.
func (s *state) holds(st *step) bool {
	b, ok := s.buckets.Get(st.bucket)
	if st.kind == putBucket {
		return !ok
	}
	if !ok || b.id != st.id {
		return false
	}
	switch st.kind {
	case dropBucket:
		return b.objects.Len() == 0
	case putObject, deleteObject:
		if st.upload != "" {
			u, ok := b.uploads.Get(uploadKey(st.key, st.upload))
			if !ok || u.version != st.uploadV {
				return false
			}
		}
		r, _ := b.objects.Get(st.key)
		return !st.check || r.version == st.version
	case putPart, dropUpload:
		_, ok := b.uploads.Get(uploadKey(st.key, st.upload))
		return ok
	}
	return true
}

func (s *state) do(offset uint64, st *step) {
	s.dirty[st.bucket] = true
	if st.kind == putBucket {
		s.buckets.Set(st.bucket, &bucket{doc: st.doc, id: offset,
			objects: new(btree.Map[string, row]), uploads: new(btree.Map[string, *parted])})
		s.bytes += bucketCost
		return
	}
	b, _ := s.buckets.Get(st.bucket)
	switch st.kind {
	case dropBucket:
		for _, u := range b.uploads.Values() {
			s.dropUpload(b, u)
		}
		s.buckets.Delete(st.bucket)
		s.bytes -= bucketCost
	case putObject:
		s.setObject(b, st.key, row{offset, st.stored})
		if st.upload != "" {
			u, _ := b.uploads.Get(uploadKey(st.key, st.upload))
			s.dropUpload(b, u)
		}
	case deleteObject:
		s.setObject(b, st.key, row{})
	case putUpload:
		s.setUpload(b, &parted{id: st.upload, key: st.key, row: row{offset, st.stored}, parts: new(btree.Map[int, row])})
	case putPart:
		u, _ := b.uploads.Get(uploadKey(st.key, st.upload))
		s.setPart(b, u, st.number, row{offset, st.stored})
	case dropUpload:
		u, _ := b.uploads.Get(uploadKey(st.key, st.upload))
		s.dropUpload(b, u)
	}
}

// setObject puts an object in the place of what there is, or deletes that if r is none.
func (s *state) setObject(b *bucket, key string, r row) {
	var old row
	if r.version == 0 {
		old, _ = b.objects.Delete(key)
	} else {
		old, _ = b.objects.Set(key, r)
	}
	s.bytes += cost(key, r) - cost(key, old)
	s.account(b, r, 1)
	s.account(b, old, -1)
	s.free(old)
}

func cost(key string, r row) int64 {
	if r.version == 0 {
		return 0
	}
	return int64(len(key)+len(r.stored)) + rowCost
}

// account counts an object.
func (s *state) account(b *bucket, r row, sign int64) {
	if r.version == 0 {
		return
	}
	_, size := blobAndSize(r.stored)
	s.count(b, usage{sign, sign * size})
}

func (s *state) count(b *bucket, more usage) {
	u, _ := s.accounts.Get(b.doc.Account)
	u.objects, u.bytes = u.objects+more.objects, u.bytes+more.bytes
	if u == (usage{}) {
		s.accounts.Delete(b.doc.Account)
		return
	}
	s.accounts.Set(b.doc.Account, u)
}

// free notes the blob of a record that is gone.
func (s *state) free(r row) {
	if r.version == 0 {
		return
	}
	if name, _ := blobAndSize(r.stored); name != "" {
		s.freed = append(s.freed, name)
	}
}

func (s *state) setUpload(b *bucket, u *parted) {
	b.uploads.Set(uploadKey(u.key, u.id), u)
	s.bytes += u.cost()
}

func (u *parted) cost() int64 { return uploadCost + int64(len(u.key)+len(u.stored)+len(u.id)) }

// setPart puts a part in the place of one with its number.
func (s *state) setPart(b *bucket, u *parted, number int, r row) {
	next := *u
	next.version, next.parts = r.version, u.parts.Copy()
	old, _ := next.parts.Set(number, r)
	grown := cost("", r) - cost("", old)
	next.memory += grown
	s.bytes += grown
	s.countPart(b, r, 1)
	s.countPart(b, old, -1)
	s.free(old)
	b.uploads.Set(uploadKey(u.key, u.id), &next)
}

func (s *state) countPart(b *bucket, r row, sign int64) {
	if r.version == 0 {
		return
	}
	_, size := blobAndSize(r.stored)
	s.count(b, usage{bytes: sign * size})
}

func (s *state) dropUpload(b *bucket, u *parted) {
	u.parts.Scan(func(_ int, r row) bool {
		s.countPart(b, r, -1)
		s.free(r)
		return true
	})
	b.uploads.Delete(uploadKey(u.key, u.id))
	s.bytes -= u.cost() + u.memory
}

// referred are the blobs that the index refers to.
func (s *state) referred() map[string]bool {
	names := make(map[string]bool)
	add := func(r row) {
		name, _ := blobAndSize(r.stored)
		names[name] = true
	}
	s.buckets.Scan(func(_ string, b *bucket) bool {
		b.objects.Scan(func(_ string, r row) bool {
			add(r)
			return true
		})
		b.uploads.Scan(func(_ string, u *parted) bool {
			u.parts.Scan(func(_ int, r row) bool {
				add(r)
				return true
			})
			return true
		})
		return true
	})
	return names
}
