package s3

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"strconv"
	"strings"
)

// An algorithm of checksums. The numbers are those of records.
type algorithm uint8

const (
	noAlgorithm algorithm = iota
	crc32IEEE
	crc32C
	crc64NVME
	sha1Sum
	sha256Sum
)

var algorithms = [...]struct {
	name string // as in XML
	new  func() hash.Hash
	full bool // a checksum of the whole may be asked for where parts are put together
}{
	crc32IEEE: {"CRC32", func() hash.Hash { return crc32.NewIEEE() }, true},
	crc32C:    {"CRC32C", func() hash.Hash { return crc32.New(castagnoli) }, true},
	crc64NVME: {"CRC64NVME", func() hash.Hash { return crc64.New(nvme) }, true},
	sha1Sum:   {"SHA1", sha1.New, false},
	sha256Sum: {"SHA256", sha256.New, false},
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5)
)

const checksumPrefix = "x-amz-checksum-"

func (a algorithm) String() string { return algorithms[a].name }

// header is the name of the header with a checksum, in lower case.
func (a algorithm) header() string { return checksumPrefix + strings.ToLower(algorithms[a].name) }

// parseAlgorithm finds an algorithm by its name in any case, or by its header's.
func parseAlgorithm(name string) (algorithm, bool) {
	name = strings.TrimPrefix(strings.ToUpper(name), strings.ToUpper(checksumPrefix))
	for a := crc32IEEE; int(a) < len(algorithms); a++ {
		if algorithms[a].name == name {
			return a, true
		}
	}
	return noAlgorithm, false
}

// A checksum of an object or a part. A composite one is that of the parts' checksums.
type checksum struct {
	algorithm algorithm // none: there is no checksum
	composite bool
	value     []byte
}

// text is the checksum as it stands in headers and XML; parts is how many parts the
// object has.
func (c *checksum) text(parts int) string {
	s := base64.StdEncoding.EncodeToString(c.value)
	if c.composite {
		s += "-" + strconv.Itoa(parts)
	}
	return s
}

func (c *checksum) kind() string {
	if c.composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// A Check is what the sender of a body says of it. The zero value says nothing.
type Check struct {
	md5       []byte // Content-MD5
	algorithm algorithm
	value     []byte        // of the algorithm; nil if it comes behind the body,
	trailer   func() string // where this finds it
}

func (c *Check) matchesMD5(sum []byte) error {
	if c.md5 != nil && !bytes.Equal(c.md5, sum) {
		return errBadDigest
	}
	return nil
}

// matches compares the sum of the body, once it was read, with what was said.
func (c *Check) matches(sum []byte) error {
	want := c.value
	if want == nil && c.trailer != nil {
		var err error
		if want, err = decodeChecksum(c.algorithm, c.trailer()); err != nil {
			return err
		}
	}
	if want != nil && !bytes.Equal(want, sum) {
		return invalid("BadDigest", "The %s you specified did not match the calculated checksum.", c.algorithm)
	}
	return nil
}

func decodeChecksum(a algorithm, text string) ([]byte, error) {
	value, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(value) != algorithms[a].new().Size() {
		return nil, invalid("InvalidRequest", "Value for %s header is invalid.", a.header())
	}
	return value, nil
}
