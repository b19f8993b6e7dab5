package s3

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"

	"github.com/tidwall/btree"
)

// A page is what a listing of keys is, up to a number of entries: keys, and common
// prefixes for those that a delimiter rolls up.
type page[V any] struct {
	keys      []string
	values    []V
	prefixes  []string
	truncated bool
	last      string // entry, where the next page goes on
}

// listPage lists the keys of a tree that begin with prefix and sort behind after, with
// the prefix that after may be and all that it rolls up.
func listPage[V any](tree *btree.Map[string, V], prefix, delimiter, after string, most int) (p page[V]) {
	at := max(prefix, after)
	if after != "" && rolledUp(after, prefix, delimiter) == after {
		at = max(at, successor(after))
	}
	for more := most > 0; more; {
		more = false
		tree.Ascend(at, func(key string, v V) bool {
			if key == after {
				return true
			}
			if !strings.HasPrefix(key, prefix) {
				return false
			}
			if len(p.keys)+len(p.prefixes) == most {
				p.truncated = true
				return false
			}
			if common := rolledUp(key, prefix, delimiter); common != "" {
				p.prefixes, p.last = append(p.prefixes, common), common
				at, more = successor(common), true // past all that it rolls up
				return false
			}
			p.keys, p.values, p.last = append(p.keys, key), append(p.values, v), key
			return true
		})
	}
	return p
}

// rolledUp is the common prefix that stands for key; empty if it stands for itself.
func rolledUp(key, prefix, delimiter string) string {
	if delimiter == "" || !strings.HasPrefix(key, prefix) {
		return ""
	}
	i := strings.Index(key[len(prefix):], delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(prefix)+i+len(delimiter)]
}

// successor is the least text behind all those that begin with s.
func successor(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 0xff {
			return s[:i] + string([]byte{s[i] + 1})
		}
	}
	return s + "\xff" // no key: keys are UTF-8
}

// A continuation token is where a listing goes on, bound to what is listed: of
// another bucket, prefix or delimiter it is no good.
//
//	base64url of  version u8 = 1 | 8 bytes of the SHA-256 of all four | last entry
func makeToken(last string, of ...string) string {
	return base64.RawURLEncoding.EncodeToString(append(tokenHead(last, of), last...))
}

func tokenHead(last string, of []string) []byte {
	h := sha256.New()
	for _, s := range append(of, last) {
		h.Write(strconv.AppendInt(nil, int64(len(s)), 10))
		h.Write([]byte{':'})
		h.Write([]byte(s))
	}
	return append([]byte{1}, h.Sum(nil)[:8]...)
}

func readToken(token string, of ...string) (last string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 9 {
		return "", errToken
	}
	last = string(b[9:])
	if string(tokenHead(last, of)) != string(b[:9]) {
		return "", errToken
	}
	return last, nil
}

// urlEncode writes a key as listings with encoding-type=url have it.
func urlEncode(s string) string {
	return strings.NewReplacer("%2F", "/", "+", "%20").Replace(url.QueryEscape(s))
}

const listMax = 1000

// listSize reads how many entries a page may have.
func (r *request) listSize(name string) (int, error) {
	text := r.query.Get(name)
	if text == "" {
		return listMax, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, wrongArgument(name, clip(text), "Provided "+name+" not an integer or within integer range")
	}
	if n < 0 {
		return 0, wrongArgument(name, clip(text), "Argument "+name+" must be an integer between 0 and 2147483647")
	}
	return int(min(n, listMax)), nil
}

// encoding reads encoding-type, and returns how keys are written.
func (r *request) encoding() (func(string) string, error) {
	switch v := r.query.Get("encoding-type"); v {
	case "":
		return func(s string) string { return s }, nil
	case "url":
		return urlEncode, nil
	default:
		return nil, wrongArgument("encoding-type", clip(v), "Invalid Encoding Method specified in Request")
	}
}
