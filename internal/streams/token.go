package streams

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/rheostream/rheo/internal/catalog"
)

// Iterators and page tokens are sealed: a client can neither read nor make one.
// All they say is a position, so they survive a restart and work on any process.
//
//	token  base64( version u8 = 1 | key id u32 | nonce 24 | XChaCha20-Poly1305(kind u8 | made ms i64 | body) )
//
// The keys are in the catalog, rotated daily; the previous one is kept for as
// long as a token can live and a little more.
const (
	tokenVersion     = 1
	tokenKeyLifetime = 24 * time.Hour
	tokenKeyOverlap  = 10 * time.Minute
	// tokenLifetime is AWS's: iterators and NextTokens expire after 300 s.
	tokenLifetime = 300 * time.Second
)

type tokenKind byte

const (
	iteratorToken tokenKind = iota + 1
	listShardsToken
	listStreamsToken
	listConsumersToken
)

var errToken = errors.New("not a token of ours")

type tokenSealer struct {
	keys atomic.Pointer[tokenKeys]
}

type tokenKeys struct {
	doc   tokenKeysDoc
	aeads map[uint32]cipher.AEAD
}

// init makes the first key.
func (t *tokenSealer) init(ctx context.Context, c *catalog.Catalog, now time.Time) error {
	if _, _, ok := c.Get(tokenKeysKey); ok {
		return nil
	}
	doc := tokenKeysDoc{Current: newTokenKey(1, now)}
	err := c.Commit(ctx, catalog.Txn{Expect: map[string]uint64{tokenKeysKey: 0}, Write: map[string]json.RawMessage{tokenKeysKey: encode(doc)}})
	if err != nil && !errors.Is(err, catalog.ErrConflict) {
		return fmt.Errorf("cannot make the token key: %w", err)
	}
	return nil
}

func newTokenKey(id uint32, now time.Time) tokenKeyDoc {
	k := tokenKeyDoc{ID: id, Key: make([]byte, chacha20poly1305.KeySize), Made: now.UnixMilli()}
	rand.Read(k.Key)
	return k
}

// rotate replaces a key that has served its day and forgets the one before it.
func (t *tokenSealer) rotate(ctx context.Context, c *catalog.Catalog, now time.Time) error {
	raw, version, ok := c.Get(tokenKeysKey)
	if !ok {
		return t.init(ctx, c, now)
	}
	var d tokenKeysDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	age := now.Sub(time.UnixMilli(d.Current.Made))
	switch {
	case age >= tokenKeyLifetime:
		old := d.Current
		d = tokenKeysDoc{Current: newTokenKey(old.ID+1, now), Previous: &old}
	case d.Previous != nil && age >= tokenKeyOverlap:
		d.Previous = nil
	default:
		return nil
	}
	err := c.Commit(ctx, catalog.Txn{Expect: map[string]uint64{tokenKeysKey: version}, Write: map[string]json.RawMessage{tokenKeysKey: encode(d)}})
	if errors.Is(err, catalog.ErrConflict) {
		return nil // another process did it
	}
	return err
}

func (t *tokenSealer) apply(raw []byte) error {
	k := &tokenKeys{aeads: map[uint32]cipher.AEAD{}}
	if err := json.Unmarshal(raw, &k.doc); err != nil {
		return err
	}
	docs := []tokenKeyDoc{k.doc.Current}
	if k.doc.Previous != nil {
		docs = append(docs, *k.doc.Previous)
	}
	for _, d := range docs {
		aead, err := chacha20poly1305.NewX(d.Key)
		if err != nil {
			return err
		}
		k.aeads[d.ID] = aead
	}
	t.keys.Store(k)
	return nil
}

func (t *tokenSealer) seal(kind tokenKind, made time.Time, body []byte) string {
	k := t.keys.Load()
	id := k.doc.Current.ID
	const head = 1 + 4 + chacha20poly1305.NonceSizeX
	b := make([]byte, head, head+9+len(body)+chacha20poly1305.Overhead)
	b[0] = tokenVersion
	binary.LittleEndian.PutUint32(b[1:], id)
	rand.Read(b[5:head])
	plain := make([]byte, 0, 64)
	plain = append(plain, byte(kind))
	plain = binary.LittleEndian.AppendUint64(plain, uint64(made.UnixMilli()))
	plain = append(plain, body...)
	return base64.StdEncoding.EncodeToString(k.aeads[id].Seal(b, b[5:head], plain, b[:5]))
}

// open returns what was sealed. Whether it is too old is for the caller to say.
func (t *tokenSealer) open(kind tokenKind, token string) (body []byte, made time.Time, err error) {
	// Exactly what seal wrote: no second spelling of the same bytes.
	b, err := base64.StdEncoding.Strict().DecodeString(token)
	const head = 1 + 4 + chacha20poly1305.NonceSizeX
	if err != nil || strings.ContainsAny(token, "\r\n") || len(b) < head || b[0] != tokenVersion {
		return nil, made, errToken
	}
	aead := t.keys.Load().aeads[binary.LittleEndian.Uint32(b[1:])]
	if aead == nil {
		return nil, made, errToken
	}
	plain, err := aead.Open(nil, b[5:head], b[head:], b[:5])
	if err != nil || len(plain) < 9 || tokenKind(plain[0]) != kind {
		return nil, made, errToken
	}
	return plain[9:], time.UnixMilli(int64(binary.LittleEndian.Uint64(plain[1:]))), nil
}
