package s3

import (
	"context"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/api"
)

// CopyObjectInput names an object, of up to 5 GiB, and the key it is to be copied to.
type CopyObjectInput struct {
	Bucket, Key string
	CopySource  Source
	Replace     bool    // Headers are the copy's; else it has those of the source
	Headers     Headers // only with Replace
	Conditions  Conditions
	algorithm   algorithm // of the copy's checksum; none: that of the source
}

// A Source is what is copied from.
type Source struct {
	Bucket, Key string
	Conditions  Conditions
}

// CopyObjectOutput is what became of it.
type CopyObjectOutput struct {
	ETag     string // in quotes
	Modified int64  // ms since 1970
	checksum checksum
}

// CopyObject reads an object and stores it anew.
func (s *Service) CopyObject(ctx context.Context, in *CopyObjectInput) (*CopyObjectOutput, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	b, err := owned(ctx, s.machine.view(), in.Bucket)
	if err != nil {
		return nil, err
	}
	if in.CopySource.Bucket == in.Bucket && in.CopySource.Key == in.Key && !in.Replace {
		return nil, invalid("InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without changing "+
			"the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	if _, _, err := in.Conditions.write(b, in.Key); err != nil {
		return nil, err
	}
	source, body, err := s.read(ctx, in.CopySource.Bucket, in.CopySource.Key, func(o *object) (int64, int64, error) {
		return 0, o.size, in.CopySource.allows(o, putBytesMax)
	})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	algorithm := in.algorithm
	if algorithm == noAlgorithm {
		algorithm = source.checksum.algorithm
	}
	o, settle, err := s.store(ctx, incoming{prefix: objectPrefix, bucket: in.Bucket, key: in.Key, account: b.doc.Account,
		body: body, length: source.size, max: putBytesMax, algorithm: algorithm})
	if err != nil {
		return nil, err
	}
	if o.headers = source.headers; in.Replace {
		o.headers = in.Headers
	}
	err = s.putRecord(ctx, b, in.Bucket, in.Key, o, &in.Conditions)
	settle(err)
	if err != nil {
		return nil, err
	}
	return &CopyObjectOutput{ETag: o.ETag(), Modified: o.modified, checksum: o.checksum}, nil
}

// allows says whether o may be copied, at most max bytes of it.
func (src *Source) allows(o *object, max int64) error {
	notModified, err := src.Conditions.read(o, "x-amz-copy-source-")
	switch {
	case err != nil:
		return err
	case notModified:
		return preconditionFailed("x-amz-copy-source-If-None-Match")
	case o.size > max:
		return invalid("InvalidRequest", "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")
	}
	return nil
}

var copyObjectEndpoint = endpoint{op: operation("CopyObject", hasCopyObject.CopyObject), method: "PUT", on: onObject, header: copySource, slow: true,
	decode: func(r *request) (any, error) {
		in := &CopyObjectInput{Bucket: r.bucket, Key: r.key}
		switch directive := r.Header.Get("X-Amz-Metadata-Directive"); directive {
		case "", "COPY":
		case "REPLACE":
			in.Replace = true
		default:
			return nil, wrongArgument("x-amz-metadata-directive", clip(directive), "Unknown metadata directive.")
		}
		if name := r.Header.Get("X-Amz-Checksum-Algorithm"); name != "" {
			var ok bool
			if in.algorithm, ok = parseAlgorithm(name); !ok {
				return nil, errAlgorithm
			}
		}
		return in, firstError(r.readSource(&in.CopySource), r.readHeaders(&in.Headers), r.readConditions(&in.Conditions))
	},
	encode: func(w *reply, out any) error {
		o := out.(*CopyObjectOutput)
		doc := struct {
			XMLName      xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CopyObjectResult"`
			LastModified string
			ETag         string
			checksumXML
		}{LastModified: timestamp(o.Modified), ETag: o.ETag, checksumXML: xmlOf(&o.checksum, 0)}
		return w.document(doc)
	}}

type hasCopyObject interface {
	CopyObject(context.Context, *CopyObjectInput) (*CopyObjectOutput, error)
}

const copySource = "X-Amz-Copy-Source"

// readSource reads x-amz-copy-source, "bucket/key" in the encoding of URLs, and its conditions.
func (r *request) readSource(src *Source) error {
	text, query, _ := strings.Cut(r.Header.Get(copySource), "?")
	if version, ok := strings.CutPrefix(query, "versionId="); ok && version != "null" {
		return notImplemented("a version of a copy source")
	}
	text, err := url.PathUnescape(text)
	if err != nil {
		return wrongArgument(strings.ToLower(copySource), clip(r.Header.Get(copySource)), "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	var ok bool
	if src.Bucket, src.Key, ok = strings.Cut(strings.TrimPrefix(text, "/"), "/"); !ok || src.Bucket == "" || src.Key == "" {
		return wrongArgument(strings.ToLower(copySource), clip(text), "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	if owner := r.Header.Get("X-Amz-Source-Expected-Bucket-Owner"); owner != "" && owner != r.caller.Account {
		return errAccessDenied
	}
	src.Conditions = Conditions{IfMatch: r.Header.Get(copySource + "-If-Match"), IfNoneMatch: r.Header.Get(copySource + "-If-None-Match")}
	for name, at := range map[string]*time.Time{"-If-Modified-Since": &src.Conditions.IfModifiedSince, "-If-Unmodified-Since": &src.Conditions.IfUnmodifiedSince} {
		if t, err := http.ParseTime(r.Header.Get(copySource + name)); err == nil {
			*at = t
		}
	}
	return nil
}

var errAlgorithm = &api.Error{Code: "InvalidRequest", Message: "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"}
