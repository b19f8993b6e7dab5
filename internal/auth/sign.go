package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"net/http"
	"strings"
	"sync"
)

// provenBy says whether key made the claim's signature over r and a body of that
// hash, in hexadecimal, or what S3 has in its place.
func (c *Claim) provenBy(key *Key, cache *derivedKeys, r *http.Request, bodyHex []byte) bool {
	buf := canonicalBuffers.Get().(*[]byte)
	defer canonicalBuffers.Put(buf)
	*buf = c.appendCanonical((*buf)[:0], r, bodyHex)
	canonicalSum := sha256.Sum256(*buf)

	mac := newMAC(cache.get(key, c.scopeDate, c.Region, c.Service))
	mac.Write(c.appendStringToSign((*buf)[:0], canonicalSum))
	var sum [sha256.Size]byte
	var want [2 * sha256.Size]byte
	hex.Encode(want[:], mac.Sum(sum[:0]))

	// Every comparison is made, whatever the one before said.
	same := subtle.ConstantTimeCompare(want[:], []byte(c.signature))
	if c.payload != "" && c.Service != "s3" {
		same &= subtle.ConstantTimeCompare(bodyHex, []byte(strings.ToLower(c.payload)))
	}
	return same == 1
}

var canonicalBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

func (c *Claim) appendStringToSign(b []byte, canonicalSum [sha256.Size]byte) []byte {
	b = append(b, algorithm...)
	b = append(b, '\n')
	b = c.appendDateAndScope(b)
	return hex.AppendEncode(b, canonicalSum[:])
}

// appendDateAndScope appends the two lines that every string to sign has.
func (c *Claim) appendDateAndScope(b []byte) []byte {
	b = append(b, c.date...)
	b = append(b, '\n')
	b = append(b, c.scopeDate...)
	b = append(b, '/')
	b = append(b, c.Region...)
	b = append(b, '/')
	b = append(b, c.Service...)
	return append(b, "/aws4_request\n"...)
}

// A scope is what a signing key is derived for. key is empty for the stand-in.
type scope struct{ key, date, region, service string }

const derivedKeysMax = 1024

// derivedKeys caches signing keys: deriving one costs four HMACs, and a caller
// uses the same one all day.
type derivedKeys struct {
	mu   sync.RWMutex
	keys map[scope]*[sha256.Size]byte // under mu
}

func (d *derivedKeys) get(k *Key, date, region, service string) []byte {
	s := scope{k.ID, date, region, service}
	d.mu.RLock()
	derived := d.keys[s]
	d.mu.RUnlock()
	if derived != nil {
		return derived[:]
	}
	derived = derive(k.Secret, date, region, service)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil {
		d.keys = make(map[scope]*[sha256.Size]byte)
	}
	if len(d.keys) >= derivedKeysMax {
		for old := range d.keys { // any one: the map's order is random
			delete(d.keys, old)
			break
		}
	}
	// The strings are parts of a request's headers; keep none of them alive.
	s.date, s.region, s.service = strings.Clone(date), strings.Clone(region), strings.Clone(service)
	d.keys[s] = derived
	return derived[:]
}

func derive(secret, date, region, service string) *[sha256.Size]byte {
	key := []byte("AWS4" + secret)
	for _, part := range [...]string{date, region, service, "aws4_request"} {
		mac := newMAC(key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return (*[sha256.Size]byte)(key)
}

func newMAC(key []byte) hash.Hash { return hmac.New(sha256.New, key) }

func sameSecret(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
