package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A reply is an answer on its way.
type reply struct {
	http.ResponseWriter
	r     *request
	begun bool // the status, 200, and the head of a document are out
}

// set sets a header, whose name is sent as it is written here.
func (w *reply) set(name, value string) {
	if !w.begun && value != "" {
		w.Header()[name] = []string{value}
	}
}

// empty answers without a body.
func (w *reply) empty(status int) error {
	if status != http.StatusNoContent {
		w.set("Content-Length", "0")
	}
	w.WriteHeader(status)
	return nil
}

// document answers with XML.
func (w *reply) document(doc any) error {
	b, err := xml.Marshal(doc)
	if err != nil {
		return err
	}
	if !w.begun {
		b = append([]byte(xml.Header), b...)
		w.set("Content-Type", "application/xml")
		w.set("Content-Length", strconv.Itoa(len(b)))
		w.WriteHeader(http.StatusOK)
	}
	w.Write(b) // who is gone need not hear of it
	return nil
}

// live begins a document, or goes on with a space.
func (w *reply) live() {
	if !w.begun {
		w.set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusOK)
		w.begun = true
		io.WriteString(w, xml.Header)
	} else {
		io.WriteString(w, " ")
	}
	if f, ok := w.ResponseWriter.(interface{ Flush() }); ok {
		f.Flush()
	}
}

// lateError ends a document that was begun with an error.
func (w *reply) lateError(err error) error {
	e := asError(err)
	return w.document(struct {
		XMLName                 xml.Name `xml:"Error"`
		Code, Message, Resource string
		RequestID               string `xml:"RequestId"`
	}{Code: e.Code, Message: e.Message, Resource: w.r.URL.Path, RequestID: w.r.caller.RequestID})
}

// checksum sets the headers of a checksum.
func (w *reply) checksum(c *checksum, parts int) {
	if c.algorithm != noAlgorithm {
		w.set(c.algorithm.header(), c.text(parts))
		w.set("x-amz-checksum-type", c.kind())
	}
}

// copyBytes is how much of an object is in memory on its way out.
const copyBytes = 256 << 10

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, copyBytes); return &b }}

// object answers with an object, or what was asked for of it.
func (w *reply) object(o *GetObjectOutput) error {
	w.set("ETag", o.ETag)
	w.set("Last-Modified", time.UnixMilli(o.Modified).UTC().Format(http.TimeFormat))
	w.set("Accept-Ranges", "bytes")
	for i, value := range o.Headers.all() {
		w.set(headerNames[i], *value)
	}
	for parameter, name := range overrides {
		w.set(name, w.r.query.Get(parameter))
	}
	for name, value := range o.Headers.Metadata {
		w.set("x-amz-meta-"+name, value)
	}
	if o.NotModified {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if w.r.query.Has("partNumber") && o.parts > 0 {
		w.set("x-amz-mp-parts-count", strconv.Itoa(o.parts))
	}
	status := http.StatusOK
	if o.Partial {
		status = http.StatusPartialContent
		w.set("Content-Range", "bytes "+strconv.FormatInt(o.Offset, 10)+"-"+strconv.FormatInt(o.Offset+o.Count-1, 10)+"/"+strconv.FormatInt(o.Size, 10))
	} else if w.r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		w.checksum(&o.checksum, o.parts) // which is that of the whole
	}
	w.set("Content-Length", strconv.FormatInt(o.Count, 10))
	w.WriteHeader(status)
	if o.Body == nil {
		return nil
	}
	return w.copy(o.Body, o.Count)
}

// copy sends n bytes. An error of the reader is one; that the client is gone is none.
func (w *reply) copy(r io.Reader, n int64) error {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for n > 0 {
		got, err := io.ReadFull(r, (*buf)[:min(n, copyBytes)])
		if err != nil {
			return err
		}
		if _, err := w.Write((*buf)[:got]); err != nil {
			return nil
		}
		n -= int64(got)
	}
	return nil
}

// location is the address of the object that was asked for.
func (w *reply) location() string {
	scheme := "http://"
	if w.r.caller.TLS {
		scheme = "https://"
	}
	return scheme + w.r.Host + w.r.URL.EscapedPath()
}

// timestamp is a time as documents have it.
func timestamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

type ownerXML struct{ ID, DisplayName string }

// ownerOf is an account as documents have it: a canonical id, of which S3 says only
// that it is 64 hexadecimal digits, and a name.
func ownerOf(account string) *ownerXML {
	sum := sha256.Sum256([]byte("canonical user of account " + account))
	return &ownerXML{hex.EncodeToString(sum[:]), account}
}
