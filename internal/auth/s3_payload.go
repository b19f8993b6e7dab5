package auth

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

type payloadKind uint8

const (
	payloadHashed         payloadKind = iota // its SHA-256 is signed with the request
	payloadUnsigned                          // as it is
	payloadSignedChunks                      // each chunk is signed, after the signature before it
	payloadUnsignedChunks                    // chunks without signatures
)

// A Payload is how the body of a request for S3 is signed and framed.
type Payload struct {
	kind     payloadKind
	signedAs string // what stands in the place of the body's hash in the canonical request
	claim    *Claim
	key      []byte // signing key; nil in open mode, where signatures are not verified

	sum       [sha256.Size]byte // of payloadHashed
	decoded   int64             // announced length of what the chunks hold; -1 if there are none
	trailing  bool              // trailers follow the chunks
	announced string            // names of the trailers, by comma, in lower case
	previous  string            // signature that the next chunk's is made after
}

// Length is how many bytes [Body] will yield, given the Content-Length of the
// request; -1 if that is not known.
func (p *Payload) Length(contentLength int64) int64 {
	if p.decoded >= 0 {
		return p.decoded
	}
	return contentLength
}

// Trailers are the names of the announced trailers, by comma, in lower case.
func (p *Payload) Trailers() string { return p.announced }

// Body takes the frames off body and checks it as it is read: the reader yields
// io.EOF only if all that it yielded before, and the trailers, are what was signed.
func (p *Payload) Body(body io.Reader) *Body {
	b := &Body{Payload: p, r: body}
	switch p.kind {
	case payloadHashed:
		b.hash = sha256.New()
	case payloadSignedChunks, payloadUnsignedChunks:
		b.lines = bufio.NewReaderSize(body, 4<<10)
		if p.kind == payloadSignedChunks {
			b.hash = sha256.New()
		}
	}
	return b
}

// A Body reads the body of a request for S3. Its errors are what S3 answers, or
// those of the connection.
type Body struct {
	*Payload
	r     io.Reader
	hash  hash.Hash     // of the body, or of the chunk
	lines *bufio.Reader // over r, where there are chunks

	left    int64  // of the chunk under way
	read    int64  // bytes yielded
	signed  string // signature that the chunk under way claims
	short   bool   // a chunk was smaller than any but the last may be
	err     error
	trailer map[string]string
}

// Trailer is the value of a trailer, by its name in lower case, once the body was
// read to its end.
func (b *Body) Trailer(name string) string { return b.trailer[name] }

func (b *Body) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.lines != nil {
		n, err = b.readChunks(p)
	} else {
		n, err = b.readWhole(p)
	}
	b.err = err
	return n, err
}

func (b *Body) readWhole(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.hash == nil {
		return n, err
	}
	b.hash.Write(p[:n])
	if err == io.EOF && !hmac.Equal(b.hash.Sum(nil), b.sum[:]) {
		return n, s3Error(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return n, err
}

// Chunks are framed as
//
//	size in hexadecimal [;chunk-signature=...] CRLF | that many bytes | CRLF
//
// and end with one of size 0, whose place of bytes the trailers take:
//
//	name:value CRLF ... [x-amz-trailer-signature:... CRLF] CRLF
const (
	chunkLineMax  = 1 << 10
	trailersMax   = 8
	chunkSizeMin  = 8 << 10 // of signed chunks but the last
	chunkSizeMax  = 1 << 40
	signatureName = "chunk-signature="
	trailerSigned = "x-amz-trailer-signature"
)

var (
	errIncomplete = s3Error(http.StatusBadRequest, "IncompleteBody",
		"You did not provide the number of bytes specified by the Content-Length HTTP header")
	errBadChunk = s3Error(http.StatusBadRequest, "InvalidRequest", "The body is not well-formed aws-chunked content.")
	errTrailer  = s3Error(http.StatusBadRequest, "MalformedTrailerError",
		"The request contained trailing data that was not well-formed or did not conform to our published schema.")
	errSmallChunk = s3Error(http.StatusBadRequest, "InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes")
)

func (b *Body) readChunks(p []byte) (int, error) {
	for b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.lines.Read(p)
	if b.hash != nil {
		b.hash.Write(p[:n])
	}
	b.left -= int64(n)
	b.read += int64(n)
	switch {
	case err != nil:
		return n, cutShort(err)
	case b.left == 0:
		return n, b.endChunk()
	}
	return n, nil
}

// cutShort is the error for a body that ends where it must not.
func cutShort(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return errIncomplete
	}
	return err
}

// nextChunk reads the head of a chunk; io.EOF behind the last one.
func (b *Body) nextChunk() error {
	line, err := b.line()
	if err != nil {
		return cutShort(err)
	}
	size, extension, extended := strings.Cut(line, ";")
	n, err := strconv.ParseUint(size, 16, 63)
	if err != nil || n > chunkSizeMax {
		return errBadChunk
	}
	b.signed = ""
	if extended {
		b.signed, _ = strings.CutPrefix(extension, signatureName)
	}
	if b.kind == payloadSignedChunks && b.signed == "" {
		return errBadChunk
	}
	if b.read+int64(n) > b.decoded {
		return errIncomplete // more than was announced
	}
	if n == 0 {
		return b.end()
	}
	if b.kind == payloadSignedChunks {
		if b.short {
			return errSmallChunk
		}
		b.short = n < chunkSizeMin
	}
	b.left = int64(n)
	return nil
}

// endChunk takes the line's end behind a chunk's bytes, and verifies them.
func (b *Body) endChunk() error {
	if line, err := b.line(); err != nil {
		return cutShort(err)
	} else if line != "" {
		return errBadChunk
	}
	return b.verifyChunk()
}

// verifyChunk verifies the chunk's signature, which is made after the one before.
func (b *Body) verifyChunk() error {
	if b.hash == nil {
		return nil
	}
	sum := b.hash.Sum(nil)
	b.hash.Reset()
	return b.verify("AWS4-HMAC-SHA256-PAYLOAD", b.signed, true, sum)
}

// emptySHA256 stands in a chunk's string to sign where headers might have been.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func (b *Body) verify(algorithm, signature string, chunk bool, sum []byte) error {
	if b.key == nil {
		return nil // open mode
	}
	text := append([]byte(algorithm), '\n')
	text = b.claim.appendDateAndScope(text)
	text = append(append(text, b.previous...), '\n')
	if chunk {
		text = append(text, emptySHA256+"\n"...)
	}
	mac := newMAC(b.key)
	mac.Write(hex.AppendEncode(text, sum))
	want := hex.EncodeToString(mac.Sum(nil))
	if !sameSecret(want, signature) {
		return errS3Mismatch
	}
	b.previous = want
	return nil
}

// end verifies the last chunk and the trailers. It returns io.EOF if all is well.
func (b *Body) end() error {
	if err := b.verifyChunk(); err != nil {
		return err
	}
	if b.read != b.decoded {
		return errIncomplete
	}
	if err := b.readTrailers(); err != nil {
		return err
	}
	if _, err := b.lines.ReadByte(); err != io.EOF {
		if err == nil {
			return errBadChunk
		}
		return err
	}
	return io.EOF
}

// readTrailers reads up to the empty line, or the end of the body in its place.
func (b *Body) readTrailers() error {
	var signed strings.Builder // as the signature has them
	signature := ""
	for {
		line, err := b.line()
		if err != nil && err != io.EOF {
			return cutShort(err)
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || !b.trailing || len(b.trailer) == trailersMax:
			return errTrailer
		case name == trailerSigned:
			signature = value
			continue
		case !b.announces(name) || b.trailer[name] != "":
			return errTrailer
		}
		if b.trailer == nil {
			b.trailer = make(map[string]string)
		}
		b.trailer[name] = value
		signed.WriteString(name + ":" + value + "\n")
	}
	for name := range strings.SplitSeq(b.announced, ",") {
		if name = strings.TrimSpace(name); name != "" && b.trailer[name] == "" {
			return errTrailer
		}
	}
	if b.trailing && b.kind == payloadSignedChunks {
		sum := sha256.Sum256([]byte(signed.String()))
		return b.verify("AWS4-HMAC-SHA256-TRAILER", signature, false, sum[:])
	}
	return nil
}

func (b *Body) announces(name string) bool {
	for announced := range strings.SplitSeq(b.announced, ",") {
		if strings.TrimSpace(announced) == name {
			return true
		}
	}
	return false
}

// line reads a line, without its end. At the end of the body it returns io.EOF with
// what there is.
func (b *Body) line() (string, error) {
	line, err := b.lines.ReadSlice('\n')
	if len(line) > chunkLineMax || err == bufio.ErrBufferFull {
		return "", errBadChunk
	}
	return strings.TrimRight(string(line), "\r\n"), err
}
