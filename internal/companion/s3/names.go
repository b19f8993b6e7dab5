package s3

import (
	"crypto/rand"
	"encoding/base32"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/rheostream/rheo/internal/api"
)

// Names of buckets are labels of hosts and names of folders, so that they need no
// care further down.

// checkBucketName says whether a bucket may have that name.
func checkBucketName(name string) error {
	if validBucketName(name) {
		return nil
	}
	return &api.Error{Code: "InvalidBucketName", Message: "The specified bucket is not valid.", Fields: map[string]any{"BucketName": clip(name)}}
}

func validBucketName(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Contains(name, "..") {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (c != '-' && c != '.' || i == 0 || i == len(name)-1) {
			return false
		}
	}
	for _, prefix := range [...]string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	for _, suffix := range [...]string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return false
		}
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

const keyBytesMax = 1024

// checkKey says whether an object may have that key: any text of at most 1024
// bytes, slashes and dots wherever they are.
func checkKey(key string) error {
	switch {
	case key == "" || !utf8.ValidString(key):
		return errURI
	case len(key) > keyBytesMax:
		return errKeyTooLong
	}
	return nil
}

// clip shortens what is echoed.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 256)], "\uFFFD") }

const (
	objectPrefix   = "s3/"
	partPrefix     = "s3-parts/"
	snapshotPrefix = "s3-index/snapshot-"

	levelsMax = 8  // of folders below the bucket's
	levelMax  = 80 // bytes of a folder's or file's name, beside the id
)

// blobName is a new name for what an object holds: never used before, and
// recognizable.
func blobName(prefix, bucket, key string) string {
	return prefix + bucket + "/" + readable(key) + "." + newID(10)
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID is n random bytes as text.
func newID(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return idEncoding.EncodeToString(b)
}

// readable is a key as a path: what a file's name cannot have everywhere is
// replaced, what is too long is cut. It need not be unique.
func readable(key string) string {
	levels := strings.SplitN(key, "/", levelsMax)
	for i, level := range levels {
		var b strings.Builder
		for _, c := range level {
			if b.Len() == levelMax {
				break
			}
			if c > '~' || c <= ' ' || strings.ContainsRune(`\/:*?"<>|`, c) {
				c = '_'
			}
			b.WriteByte(byte(c))
		}
		text := b.String()
		if strings.Trim(text, ".") == "" || strings.HasSuffix(text, ".") {
			text += "_"
		}
		if i < len(levels)-1 && strings.HasSuffix(text, ".blob") {
			text += "_" // no folder has the name of a file
		}
		levels[i] = text
	}
	return strings.Join(levels, "/")
}
