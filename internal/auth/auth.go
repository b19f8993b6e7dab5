// Package auth says who is calling.
//
// A request names a key and a scope (date, region, service) and proves the key's
// secret with an AWS Signature Version 4, in the Authorization header or, when
// presigned, in the query string. The work is done in three steps, because an
// unauthenticated caller must not make us read or parse a body:
//
//	claim, err := auth.Parse(r)             what the request says about itself
//	err = verifier.Check(&claim, r, "kinesis")   form, date and scope: headers only
//	caller, err := verifier.Verify(&claim, r, sha256 of the body)
//
// No other code sees credentials, and nothing but Verify makes an [api.Caller]
// from a request. The checks, their order and their words are those of AWS's
// JSON services. S3 has rules and words of its own, above all for bodies, which it
// takes too large to be hashed before anything is done: [Verifier.VerifyS3].
//
// A Verifier without keys is open: every key is accepted, a key of 12 digits is
// itself the account and any other stands for [DefaultAccount]. The request must
// still be formed as a signed one. Open mode is for a server that only its own
// machine can reach; package wire adds what keeps web pages out.
package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rheostream/rheo/internal/api"
)

// DefaultAccount is whose everything is in open mode unless the access key says otherwise.
const DefaultAccount = "000000000000"

// skewMax is how far a signature's date may lie from our clock, either way.
const skewMax = 5 * time.Minute

// A Key is one configured access key.
type Key struct {
	ID      string // access key id, what requests carry
	Secret  string
	Account string // 12 digits
	// Principal is the ARN that calls with this key; the account's root if empty.
	Principal string
	// Token is the session token that must come with the key; empty for a long-term key.
	Token string
}

// Config says which keys there are.
type Config struct {
	Keys []Key            // none: open mode
	Now  func() time.Time // time.Now if nil
}

// A Verifier checks requests against its keys. It is safe for concurrent use.
type Verifier struct {
	keys map[string]*Key
	now  func() time.Time
	// known and unknown hold derived signing keys: of configured keys, and of the
	// stand-in secret that keeps a wrong key id as slow as a right one. They are
	// apart so that guesses cannot push out what real callers need.
	known, unknown derivedKeys
	standIn        Key
}

// New makes a Verifier; it refuses keys that cannot work.
func New(c Config) (*Verifier, error) {
	v := &Verifier{keys: make(map[string]*Key, len(c.Keys)), now: c.Now, standIn: Key{Secret: "no such key"}}
	if v.now == nil {
		v.now = time.Now
	}
	for _, k := range c.Keys {
		switch {
		case k.ID == "" || k.Secret == "":
			return nil, errors.New("an access key needs an id and a secret")
		case !isAccount(k.Account):
			return nil, fmt.Errorf("access key %s: account %q is not 12 digits", k.ID, k.Account)
		case v.keys[k.ID] != nil:
			return nil, fmt.Errorf("access key %s is configured twice", k.ID)
		}
		if k.Principal == "" {
			k.Principal = rootOf(k.Account)
		}
		v.keys[k.ID] = &k
	}
	return v, nil
}

// Open says that no keys are configured: signatures are not verified.
func (v *Verifier) Open() bool { return len(v.keys) == 0 }

// Verify proves the claim, already checked, against the request and its body's
// SHA-256, and returns the caller with Account, Region, AccessKey and Principal
// set. In open mode bodySHA256 is not looked at.
func (v *Verifier) Verify(c *Claim, r *http.Request, bodySHA256 [sha256.Size]byte) (*api.Caller, error) {
	if v.Open() {
		return believed(c), nil
	}
	var bodyHex [2 * sha256.Size]byte
	hex.Encode(bodyHex[:], bodySHA256[:])
	key, err := v.prove(c, r, bodyHex[:])
	switch err {
	case nil:
	case errToken:
		return nil, errUnrecognized
	default:
		return nil, err
	}
	return &api.Caller{Account: key.Account, Region: c.Region, AccessKey: key.ID, Principal: key.Principal}, nil
}

// believed is the caller that a claim is taken for in open mode.
func believed(c *Claim) *api.Caller {
	account := DefaultAccount
	if isAccount(c.AccessKey) {
		account = c.AccessKey
	}
	return &api.Caller{Account: account, Region: c.Region, AccessKey: c.AccessKey, Principal: rootOf(account)}
}

// prove returns the key that signed r with a body of that hash. A key that there is
// not costs as much work as one that there is.
func (v *Verifier) prove(c *Claim, r *http.Request, bodyHex []byte) (*Key, error) {
	key, cache := v.keys[c.AccessKey], &v.known
	if key == nil {
		key, cache = &v.standIn, &v.unknown
	}
	proven := c.provenBy(key, cache, r, bodyHex)
	switch {
	case key == &v.standIn:
		return nil, errUnrecognized
	case !proven:
		return nil, errMismatch
	case !sameSecret(c.token, key.Token):
		return nil, errToken
	}
	return key, nil
}

func rootOf(account string) string { return "arn:aws:iam::" + account + ":root" }

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
