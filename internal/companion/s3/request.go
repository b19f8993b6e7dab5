package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

const (
	metadataBytesMax = 2 << 10 // of the user's headers, names and values
	headersBytesMax  = 8 << 10 // of the others that are kept
	metaPrefix       = "X-Amz-Meta-"
)

// refuseUnserved refuses headers that ask for what is not done: passed over, they
// would have a client believe that it was.
func (r *request) refuseUnserved() error {
	for name, values := range r.Header {
		value := values[0]
		switch {
		case strings.HasPrefix(name, "X-Amz-Server-Side-Encryption"), strings.HasPrefix(name, "X-Amz-Copy-Source-Server-Side-Encryption"),
			strings.HasPrefix(name, "X-Amz-Object-Lock-"), name == "X-Amz-Bypass-Governance-Retention", name == "X-Amz-Mfa",
			name == "X-Amz-Tagging", name == "X-Amz-Website-Redirect-Location", name == "X-Amz-Write-Offset-Bytes",
			name == "X-Amz-If-Match-Last-Modified-Time", name == "X-Amz-If-Match-Size", name == "X-Amz-Rename-Source":
			return notImplemented("header " + strings.ToLower(name))
		case name == "X-Amz-Tagging-Directive" && value != "COPY":
			return notImplemented("header x-amz-tagging-directive")
		case name == "X-Amz-Acl" && value != "private" && value != "bucket-owner-full-control", strings.HasPrefix(name, "X-Amz-Grant-"):
			return invalid("AccessControlListNotSupported", "The bucket does not allow ACLs")
		case name == "X-Amz-Storage-Class" && value != "STANDARD":
			return invalid("InvalidStorageClass", "The storage class you specified is not valid")
		}
	}
	if v := r.query.Get("versionId"); v != "" && v != "null" {
		return notImplemented("versionId")
	}
	return nil
}

// readHeaders reads the headers that an object is to be served with.
func (r *request) readHeaders(h *Headers) error {
	total := 0
	for i, to := range h.all() {
		*to = strings.Join(r.Header[headerNames[i]], ",")
		total += len(*to)
	}
	if total > headersBytesMax {
		return errMetadata
	}
	h.ContentEncoding = withoutChunked(h.ContentEncoding)
	if h.ContentType == "" {
		h.ContentType = "binary/octet-stream"
	}
	total = 0
	for name, values := range r.Header {
		user, ok := strings.CutPrefix(name, metaPrefix)
		if !ok || user == "" {
			continue
		}
		if h.Metadata == nil {
			h.Metadata = make(map[string]string)
		}
		value := strings.Join(values, ",")
		h.Metadata[strings.ToLower(user)] = value
		if total += len(user) + len(value); total > metadataBytesMax {
			return errMetadata
		}
	}
	return nil
}

// withoutChunked takes aws-chunked out of a list of encodings: it is the request's,
// not the object's.
func withoutChunked(list string) string {
	if !strings.Contains(list, "aws-chunked") {
		return list
	}
	var kept []string
	for encoding := range strings.SplitSeq(list, ",") {
		if encoding = strings.TrimSpace(encoding); encoding != "" && encoding != "aws-chunked" {
			kept = append(kept, encoding)
		}
	}
	return strings.Join(kept, ",")
}

// readConditions reads the conditions in the headers. A time that is none counts for
// nothing, as HTTP has it.
func (r *request) readConditions(c *Conditions) error {
	c.IfMatch, c.IfNoneMatch = strings.Join(r.Header["If-Match"], ","), strings.Join(r.Header["If-None-Match"], ",")
	if t, err := http.ParseTime(r.Header.Get("If-Modified-Since")); err == nil {
		c.IfModifiedSince = t
	}
	if t, err := http.ParseTime(r.Header.Get("If-Unmodified-Since")); err == nil {
		c.IfUnmodifiedSince = t
	}
	return nil
}

// readCheck reads what is said of the body: an MD5, and a checksum in a header or
// behind the body.
func (r *request) readCheck(c *Check) error {
	if values, ok := r.Header["Content-Md5"]; ok {
		sum, err := base64.StdEncoding.DecodeString(values[0])
		if err != nil || len(sum) != md5.Size {
			return errDigest
		}
		c.md5 = sum
	}
	for a := crc32IEEE; int(a) < len(algorithms); a++ {
		text := r.Header.Get(a.header())
		if text == "" {
			continue
		}
		if c.algorithm != noAlgorithm {
			return invalid("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		sum, err := decodeChecksum(a, text)
		if err != nil {
			return err
		}
		c.algorithm, c.value = a, sum
	}
	if err := r.readTrailer(c); err != nil {
		return err
	}
	return r.checkAnnounced(c)
}

// readTrailer finds the checksum that is announced behind the body.
func (r *request) readTrailer(c *Check) error {
	for name := range strings.SplitSeq(r.body.Trailers(), ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		a, ok := parseAlgorithm(name)
		if !ok || !strings.HasPrefix(name, checksumPrefix) {
			return invalid("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
		}
		if c.algorithm != noAlgorithm {
			return invalid("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		c.algorithm, c.trailer = a, func() string { return r.body.Trailer(name) }
	}
	return nil
}

// checkAnnounced holds the algorithm that the SDK says it uses against what it sent.
func (r *request) checkAnnounced(c *Check) error {
	name := r.Header.Get("X-Amz-Sdk-Checksum-Algorithm")
	if name == "" {
		return nil
	}
	a, ok := parseAlgorithm(name)
	switch {
	case !ok:
		return errAlgorithm
	case c.algorithm == noAlgorithm && c.md5 == nil:
		return invalid("InvalidRequest", "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case c.algorithm != noAlgorithm && c.algorithm != a:
		return invalid("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return nil
}

// overrides are the parameters by which a reader asks for headers other than those
// that the object has.
var overrides = map[string]string{"response-cache-control": "Cache-Control", "response-content-disposition": "Content-Disposition",
	"response-content-encoding": "Content-Encoding", "response-content-language": "Content-Language",
	"response-content-type": "Content-Type", "response-expires": "Expires"}

func (r *request) checkOverrides() error {
	for name := range overrides {
		if strings.ContainsFunc(r.query.Get(name), func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return wrongArgument(name, "", "The value has characters that a header cannot have.")
		}
	}
	return nil
}

// errNoDocument: the body is empty.
var errNoDocument = invalid("MissingRequestBodyError", "Request body is empty")

// readDocument reads the body, of at most max bytes, as XML.
func (r *request) readDocument(doc any, max int64) error {
	var c Check
	if err := r.readCheck(&c); err != nil {
		return err
	}
	return r.decodeDocument(doc, max, &c)
}

func (r *request) decodeDocument(doc any, max int64, c *Check) error {
	length := r.body.Length(r.ContentLength)
	if length > max {
		return errTooBigDocument
	}
	// The document, and what is made of it.
	need := 4 * length
	if length < 0 {
		need = 4 * max
	}
	if r.h.Memory != nil {
		if !r.h.Memory.Reserve(need) {
			return slowDown("Please reduce your request rate.")
		}
		r.held += need
	}
	b, err := io.ReadAll(io.LimitReader(r.body, max+1))
	switch {
	case err != nil:
		return err
	case int64(len(b)) > max:
		return errTooBigDocument
	case length >= 0 && int64(len(b)) != length:
		return errIncomplete
	case len(b) == 0:
		return errNoDocument
	}
	sum := md5.Sum(b)
	if err := c.matchesMD5(sum[:]); err != nil {
		return err
	}
	if c.algorithm != noAlgorithm {
		h := algorithms[c.algorithm].new()
		h.Write(b)
		if err := c.matches(h.Sum(nil)); err != nil {
			return err
		}
	}
	if err := xml.NewDecoder(bytes.NewReader(b)).Decode(doc); err != nil {
		return errXML
	}
	return nil
}

var errTooBigDocument = &api.Error{Code: "MaxMessageLengthExceeded", Message: "Your request was too big."}

// checksumXML is a checksum as documents have it.
type checksumXML struct {
	ChecksumCRC32     string `xml:",omitempty"`
	ChecksumCRC32C    string `xml:",omitempty"`
	ChecksumCRC64NVME string `xml:",omitempty"`
	ChecksumSHA1      string `xml:",omitempty"`
	ChecksumSHA256    string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
}

func (x *checksumXML) of(a algorithm) *string {
	return [...]*string{noAlgorithm: nil, crc32IEEE: &x.ChecksumCRC32, crc32C: &x.ChecksumCRC32C, crc64NVME: &x.ChecksumCRC64NVME,
		sha1Sum: &x.ChecksumSHA1, sha256Sum: &x.ChecksumSHA256}[a]
}

func xmlOf(c *checksum, parts int) (x checksumXML) {
	if c.algorithm != noAlgorithm {
		*x.of(c.algorithm) = c.text(parts)
		x.ChecksumType = c.kind()
	}
	return x
}

// read finds the one checksum that there may be.
func (x *checksumXML) read() (algorithm, []byte, error) {
	for a := crc32IEEE; int(a) < len(algorithms); a++ {
		if text := *x.of(a); text != "" {
			value, err := decodeChecksum(a, text)
			if err != nil {
				return a, nil, errPart
			}
			return a, value, nil
		}
	}
	return noAlgorithm, nil, nil
}
