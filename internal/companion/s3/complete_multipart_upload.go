package s3

import (
	"context"
	"crypto/md5"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/blob"
)

// CompleteMultipartUploadInput names the parts that are to be the object, in order.
type CompleteMultipartUploadInput struct {
	Bucket, Key, UploadID string
	Parts                 []CompletedPart
	Size                  int64 // that the object must have; -1: any
	Conditions            Conditions
	Check                 Check // of the checksum that the object will have
	composite             bool  // Check is of the parts' checksums
}

// A CompletedPart is a part as its sender knows it.
type CompletedPart struct {
	Number int
	ETag   string // in quotes or not

	algorithm algorithm
	value     []byte // its checksum; nil: not told
}

// CompleteMultipartUploadOutput is the object.
type CompleteMultipartUploadOutput struct {
	Bucket, Key, ETag string
	checksum          checksum
	parts             int
}

// CompleteMultipartUpload puts parts together into one object, a plain file as any.
// That takes the time of copying them. The object is durable when this returns; until
// then, and after an error, nothing has changed, and it may be tried again. What was
// done already is answered again, for as long as the object is there.
func (s *Service) CompleteMultipartUpload(ctx context.Context, in *CompleteMultipartUploadInput) (*CompleteMultipartUploadOutput, error) {
	b, p, u, err := s.findUpload(ctx, in.Bucket, in.Key, in.UploadID)
	if b != nil && api.IsCode(err, "NoSuchUpload") {
		return completedBefore(b, in, err)
	}
	if err != nil {
		return nil, err
	}
	if _, _, err := in.Conditions.write(b, in.Key); err != nil {
		return nil, err
	}
	parts, err := in.choose(p)
	if err != nil {
		return nil, err
	}
	want, err := in.object(u, parts)
	if err != nil {
		return nil, err
	}
	o, settle, err := s.join(ctx, in, u, parts, want)
	if err != nil {
		if errors.Is(err, blob.ErrNotFound) { // somebody else was faster, or replaced a part
			return nil, errPart
		}
		return nil, err
	}
	err = s.decide(context.WithoutCancel(ctx), func(st *state) (txn, error) { return in.commit(st, b, o) })
	settle(err)
	if api.IsCode(err, "NoSuchUpload") {
		if b, ok := s.machine.view().buckets.Get(in.Bucket); ok {
			return completedBefore(b, in, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return completed(in, o), nil
}

func completed(in *CompleteMultipartUploadInput, o *object) *CompleteMultipartUploadOutput {
	return &CompleteMultipartUploadOutput{in.Bucket, in.Key, o.ETag(), o.checksum, len(o.parts)}
}

// completedBefore answers who asks again, not having heard the first answer.
func completedBefore(b *bucket, in *CompleteMultipartUploadInput, err error) (*CompleteMultipartUploadOutput, error) {
	r, ok := b.objects.Get(in.Key)
	if !ok {
		return nil, err
	}
	o, parseErr := parseObject(r.stored)
	if parseErr != nil {
		return nil, parseErr
	}
	if o.upload != in.UploadID {
		return nil, err
	}
	return completed(in, o), nil
}

// choose finds the parts that the input names.
func (in *CompleteMultipartUploadInput) choose(p *parted) ([]*object, error) {
	if len(in.Parts) == 0 {
		return nil, errXML
	}
	for i := range in.Parts[1:] {
		if in.Parts[i+1].Number <= in.Parts[i].Number {
			return nil, errPartOrder
		}
	}
	parts := make([]*object, len(in.Parts))
	for i, named := range in.Parts {
		r, ok := p.parts.Get(named.Number)
		if !ok {
			return nil, errPart
		}
		o, err := parseObject(r.stored)
		if err != nil {
			return nil, err
		}
		if strings.Trim(named.ETag, `"`) != strings.Trim(o.ETag(), `"`) {
			return nil, errPart
		}
		if named.value != nil && (named.algorithm != o.checksum.algorithm || !slices.Equal(named.value, o.checksum.value)) {
			return nil, errPart
		}
		parts[i] = o
	}
	for i, o := range parts[:len(parts)-1] {
		if o.size < partBytesMin {
			e := *errTooSmall
			e.Fields = map[string]any{"ProposedSize": strconv.FormatInt(o.size, 10), "MinSizeAllowed": strconv.Itoa(partBytesMin),
				"PartNumber": strconv.Itoa(in.Parts[i].Number), "ETag": strings.Trim(o.ETag(), `"`)}
			return nil, &e
		}
	}
	return parts, nil
}

// object is what is known of the object before its bytes are put together.
func (in *CompleteMultipartUploadInput) object(u *upload, parts []*object) (*object, error) {
	o := &object{headers: u.headers, upload: in.UploadID}
	sum := md5.New()
	var sums []byte
	for _, p := range parts {
		o.size += p.size
		o.parts = append(o.parts, p.size)
		sum.Write(p.etag[:])
		sums = append(sums, p.checksum.value...)
	}
	sum.Sum(o.etag[:0])
	switch {
	case o.size > objectBytesMax:
		return nil, errTooLarge
	case in.Size >= 0 && in.Size != o.size:
		return nil, invalid("InvalidRequest", "The provided 'x-amz-mp-object-size' header value %d does not match what was computed: %d", in.Size, o.size)
	}
	given := in.Check.algorithm
	if given != noAlgorithm && (given != u.algorithm || in.composite != u.composite) {
		return nil, invalid("BadDigest", "The %s you specified did not match the calculated checksum.", given)
	}
	if u.composite {
		h := algorithms[u.algorithm].new()
		h.Write(sums)
		o.checksum = checksum{u.algorithm, true, h.Sum(nil)}
		return o, in.Check.matches(o.checksum.value)
	}
	return o, nil
}

// join puts the bytes of the parts together.
func (s *Service) join(ctx context.Context, in *CompleteMultipartUploadInput, u *upload, parts []*object, want *object) (*object, func(error), error) {
	r := &joined{ctx: ctx, s: s, parts: parts}
	defer r.close()
	body := incoming{prefix: objectPrefix, bucket: in.Bucket, key: in.Key, body: r, length: want.size, max: objectBytesMax, parts: true}
	if u.algorithm != noAlgorithm && !u.composite {
		body.algorithm, body.check = u.algorithm, in.Check
	}
	o, settle, err := s.store(ctx, body)
	if err != nil {
		return nil, nil, err
	}
	want.blob, want.layout, want.modified = o.blob, o.layout, o.modified
	if body.algorithm != noAlgorithm {
		want.checksum = o.checksum
	}
	return want, settle, nil
}

// commit has the index refer to the object, if its parts are still those that were
// put together, or equal ones.
func (in *CompleteMultipartUploadInput) commit(st *state, found *bucket, o *object) (txn, error) {
	b, ok := st.buckets.Get(in.Bucket)
	if !ok || b.id != found.id {
		return nil, noSuchBucket(in.Bucket)
	}
	p, ok := b.uploads.Get(uploadKey(in.Key, in.UploadID))
	if !ok {
		return nil, noSuchUpload(in.UploadID)
	}
	if _, err := in.choose(p); err != nil {
		return nil, err
	}
	check, version, err := in.Conditions.write(b, in.Key)
	if err != nil {
		return nil, err
	}
	return txn{{kind: putObject, bucket: in.Bucket, id: b.id, key: in.Key, check: check, version: version,
		stored: o.encode(), upload: in.UploadID, uploadV: p.version}}, nil
}

// A joined reads parts one after the other.
type joined struct {
	ctx   context.Context
	s     *Service
	parts []*object
	r     io.ReadCloser // of the part under way
}

func (j *joined) Read(p []byte) (int, error) {
	for {
		if j.r == nil {
			if len(j.parts) == 0 {
				return 0, io.EOF
			}
			r, err := j.s.open(j.ctx, j.parts[0], 0, j.parts[0].size)
			if err != nil {
				return 0, fmt.Errorf("s3: cannot read a part: %w", err)
			}
			j.r, j.parts = r, j.parts[1:]
		}
		n, err := j.r.Read(p)
		if err == io.EOF {
			err = nil
			j.close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (j *joined) close() {
	if j.r != nil {
		j.r.Close()
		j.r = nil
	}
}

const completeDocumentMax = 4 << 20 // 10,000 parts with a checksum each

var completeMultipartUploadEndpoint = endpoint{op: operation("CompleteMultipartUpload", hasCompleteMultipartUpload.CompleteMultipartUpload),
	method: "POST", on: onObject, query: "uploadId", slow: true,
	decode: func(r *request) (any, error) {
		var doc struct {
			XMLName xml.Name `xml:"CompleteMultipartUpload"`
			Parts   []struct {
				PartNumber int
				ETag       string
				checksumXML
			} `xml:"Part"`
		}
		in := &CompleteMultipartUploadInput{Bucket: r.bucket, Key: r.key, UploadID: r.query.Get("uploadId"), Size: -1}
		if err := firstError(r.readConditions(&in.Conditions), in.readCheck(r)); err != nil {
			return nil, err
		}
		if text := r.Header.Get("X-Amz-Mp-Object-Size"); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 {
				return nil, wrongArgument("x-amz-mp-object-size", clip(text), "Value for x-amz-mp-object-size header is invalid.")
			}
			in.Size = n
		}
		// The checksum in the headers is the object's, not that of the document.
		if err := r.decodeDocument(&doc, completeDocumentMax, &Check{}); err != nil {
			return nil, err
		}
		if len(doc.Parts) == 0 || len(doc.Parts) > partsMax {
			return nil, errXML
		}
		for _, p := range doc.Parts {
			part := CompletedPart{Number: p.PartNumber, ETag: p.ETag}
			var err error
			if part.algorithm, part.value, err = p.read(); err != nil {
				return nil, err
			}
			in.Parts = append(in.Parts, part)
		}
		return in, nil
	},
	encode: func(w *reply, out any) error {
		o := out.(*CompleteMultipartUploadOutput)
		return w.document(struct {
			XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
			Location string
			Bucket   string
			Key      string
			ETag     string
			checksumXML
		}{Location: w.location(), Bucket: o.Bucket, Key: o.Key, ETag: o.ETag, checksumXML: xmlOf(&o.checksum, o.parts)})
	}}

type hasCompleteMultipartUpload interface {
	CompleteMultipartUpload(context.Context, *CompleteMultipartUploadInput) (*CompleteMultipartUploadOutput, error)
}

// readCheck reads the checksum that the object is said to have; a composite one may
// have the number of parts behind it.
func (in *CompleteMultipartUploadInput) readCheck(r *request) error {
	for a := crc32IEEE; int(a) < len(algorithms); a++ {
		text := r.Header.Get(a.header())
		if text == "" {
			continue
		}
		value, _, composite := strings.Cut(text, "-")
		in.composite = composite || r.Header.Get("X-Amz-Checksum-Type") == "COMPOSITE"
		sum, err := decodeChecksum(a, value)
		if err != nil {
			return err
		}
		in.Check = Check{algorithm: a, value: sum}
	}
	return nil
}
