package s3

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// An object, or a part, is a record of the index:
//
//	record    version u8 = 1 | blob text | size | modified | etag 16 bytes
//	          | parts | that many sizes | frame bytes | sealed bytes
//	          | checksum: algorithm u8, composite u8, value text
//	          | six headers, texts | count x (name text, value text) | upload text
//	numbers   uvarint; times in ms since 1970
//	texts     len uvarint | bytes
//
// An upload is one too:
//
//	upload    version u8 = 1 | initiated | algorithm u8 | composite u8 | headers as above
const recordVersion = 1

type object struct {
	blob     string
	size     int64
	modified int64 // ms
	etag     [16]byte
	parts    []int64 // sizes of the parts that it was put together from; none if it was not
	layout   layout
	checksum checksum
	headers  Headers
	upload   string // that it came of; empty if of none
}

type upload struct {
	initiated int64 // ms
	algorithm algorithm
	composite bool
	headers   Headers
}

// Headers are what an object is served with.
type Headers struct {
	CacheControl       string
	ContentDisposition string
	ContentEncoding    string
	ContentLanguage    string
	ContentType        string
	Expires            string
	Metadata           map[string]string // of the user; names in lower case, without x-amz-meta-
}

// all are the headers but the user's, in the order of records.
func (h *Headers) all() [6]*string {
	return [...]*string{&h.CacheControl, &h.ContentDisposition, &h.ContentEncoding, &h.ContentLanguage, &h.ContentType, &h.Expires}
}

// headerNames are the names of Headers.all.
var headerNames = [6]string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Expires"}

// ETag of the object, in quotes: the MD5 of what it holds or, of a multipart upload,
// that of its parts' and their number.
func (o *object) ETag() string {
	tag := hex.EncodeToString(o.etag[:])
	if len(o.parts) > 0 {
		tag += "-" + strconv.Itoa(len(o.parts))
	}
	return `"` + tag + `"`
}

func (o *object) encode() string {
	b := appendText([]byte{recordVersion}, o.blob)
	b = binary.AppendUvarint(b, uint64(o.size))
	b = binary.AppendUvarint(b, uint64(o.modified))
	b = append(b, o.etag[:]...)
	b = binary.AppendUvarint(b, uint64(len(o.parts)))
	for _, n := range o.parts {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = binary.AppendUvarint(b, uint64(o.layout.frame))
	b = binary.AppendUvarint(b, uint64(o.layout.sealed))
	b = append(b, byte(o.checksum.algorithm), bit(o.checksum.composite))
	b = appendText(b, string(o.checksum.value))
	return string(appendText(o.headers.append(b), o.upload))
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func (h *Headers) append(b []byte) []byte {
	for _, v := range h.all() {
		b = appendText(b, *v)
	}
	b = binary.AppendUvarint(b, uint64(len(h.Metadata)))
	for _, name := range slices.Sorted(maps.Keys(h.Metadata)) {
		b = appendText(appendText(b, name), h.Metadata[name])
	}
	return b
}

func (h *Headers) read(r *textReader) {
	for _, v := range h.all() {
		*v = r.text()
	}
	if n := r.count(); n > 0 {
		h.Metadata = make(map[string]string, n)
		for range n {
			name := r.text()
			h.Metadata[name] = r.text()
		}
	}
}

// parseObject reads a record. Its texts alias stored.
func parseObject(stored string) (*object, error) {
	r := textReader{rest: stored}
	if v := r.byte(); v != recordVersion {
		return nil, fmt.Errorf("a record of version %d: %w", v, errNewer)
	}
	o := &object{blob: r.text(), size: r.int64(), modified: r.int64()}
	copy(o.etag[:], r.take(len(o.etag)))
	for range r.count() {
		o.parts = append(o.parts, r.int64())
	}
	o.layout = layout{frame: r.int64(), sealed: r.int64()}
	o.checksum = checksum{algorithm: algorithm(r.byte()), composite: r.byte() != 0}
	o.checksum.value = []byte(r.text())
	o.headers.read(&r)
	o.upload = r.text()
	if r.failed || r.rest != "" {
		return nil, errDamaged
	}
	return o, nil
}

// blobAndSize are the two facts that the index itself needs of a record.
func blobAndSize(stored string) (blob string, size int64) {
	r := textReader{rest: stored}
	r.byte()
	return r.text(), r.int64()
}

func (u *upload) encode() string {
	b := binary.AppendUvarint([]byte{recordVersion}, uint64(u.initiated))
	b = append(b, byte(u.algorithm), bit(u.composite))
	return string(u.headers.append(b))
}

func parseUpload(stored string) (*upload, error) {
	r := textReader{rest: stored}
	if v := r.byte(); v != recordVersion {
		return nil, fmt.Errorf("an upload of version %d: %w", v, errNewer)
	}
	u := &upload{initiated: r.int64(), algorithm: algorithm(r.byte()), composite: r.byte() != 0}
	u.headers.read(&r)
	if r.failed || r.rest != "" {
		return nil, errDamaged
	}
	return u, nil
}
