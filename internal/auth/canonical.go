package auth

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// appendCanonical appends the canonical request: what client and server must
// both arrive at, whatever happened to the request's spelling on the way.
func (c *Claim) appendCanonical(b []byte, r *http.Request, bodyHex []byte) []byte {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendCanonicalPath(b, sentPath(r), c.Service == "s3")
	b = append(b, '\n')
	b = appendCanonicalQuery(b, c.query, c.presigned)
	b = append(b, '\n')
	for rest := c.signedHeaders; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ";")
		b = append(b, strings.ToLower(name)...)
		b = append(b, ':')
		b = appendCanonicalValues(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, strings.ToLower(c.signedHeaders)...)
	b = append(b, '\n')
	return append(b, bodyHex...)
}

// sentPath is the path in the spelling of the request line.
func sentPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	return r.URL.EscapedPath() // a request line with a whole URL, or a request that never had one
}

// appendCanonicalPath appends the path, which is already encoded once, encoded
// once more, with dots and doubled slashes resolved. For S3, whose keys may have
// such, it is encoded once, in whatever spelling it came.
func appendCanonicalPath(b []byte, path string, s3 bool) []byte {
	if path == "" || path == "/" {
		return append(b, '/')
	}
	if s3 {
		return appendKeyPath(b, path)
	}
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, segment)
		}
	}
	for _, segment := range kept {
		b = append(b, '/')
		b = appendEncoded(b, segment)
	}
	if len(kept) == 0 || strings.HasSuffix(path, "/") {
		b = append(b, '/')
	}
	return b
}

func appendKeyPath(b []byte, path string) []byte {
	plain, err := url.PathUnescape(path)
	if err != nil {
		plain = path // nobody signs that, and net/http does not take it
	}
	for i, part := range strings.Split(plain, "/") {
		if i > 0 {
			b = append(b, '/')
		}
		b = appendEncoded(b, part)
	}
	return b
}

// appendCanonicalQuery appends the parameters sorted by their encoded bytes,
// without the signature itself.
func appendCanonicalQuery(b []byte, query []param, presigned bool) []byte {
	if len(query) == 0 {
		return b
	}
	encoded := make([]param, 0, len(query))
	for _, p := range query {
		if presigned && p.name == "X-Amz-Signature" {
			continue
		}
		encoded = append(encoded, param{string(appendEncoded(nil, p.name)), string(appendEncoded(nil, p.value))})
	}
	slices.SortStableFunc(encoded, func(p, q param) int {
		if n := strings.Compare(p.name, q.name); n != 0 {
			return n
		}
		return strings.Compare(p.value, q.value)
	})
	for i, p := range encoded {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.name...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b
}

// appendCanonicalValues appends the values of a signed header. net/http takes
// some headers out of the map; HTTP/2 has :authority in the place of Host.
func appendCanonicalValues(b []byte, r *http.Request, name string) []byte {
	key := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case key == "Host" || strings.EqualFold(name, ":authority"):
		return appendTrimmed(b, r.Host)
	case key == "Content-Length" && r.Header[key] == nil && r.ContentLength >= 0:
		return strconv.AppendInt(b, r.ContentLength, 10)
	case key == "Transfer-Encoding" && r.Header[key] == nil:
		return append(b, strings.Join(r.TransferEncoding, ",")...)
	}
	for i, v := range r.Header[key] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, v)
	}
	return b
}

// appendTrimmed appends v without the spaces around it and with one for each run of them inside.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.TrimSpace(v)
	for i := range len(v) {
		if v[i] == ' ' && v[i-1] == ' ' {
			continue
		}
		b = append(b, v[i])
	}
	return b
}

// appendEncoded appends s with every byte but the unreserved ones as %XX.
func appendEncoded(b []byte, s string) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			b = append(b, c)
		} else {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}
