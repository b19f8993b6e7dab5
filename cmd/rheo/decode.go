package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"

	"github.com/rheostream/rheo/internal/kpl"
)

// A userRecord is what a producer meant: a record of the stream, or one of
// those aggregated in it, with its encodings undone.
type userRecord struct {
	*record
	key     string
	hashKey string // explicit, inside an aggregate
	sub     int    // index in the aggregate, -1 outside one
	data    []byte
	undone  []string // encodings: "kpl", "base64", "gzip"
}

// inflatedMax bounds what a gzip record may grow to.
const inflatedMax = 64 << 20

// layersMax bounds how often an encoding is undone: base64 of gzip of base64.
const layersMax = 3

// decode takes a record apart. What cannot be decoded is told to warn and comes
// out as it is stored.
//
// A producer that did not know of a split sends an aggregate to the wrong
// shard, finds out, and sends what was misplaced again; consumers drop user
// records that are not in the shard's range, and so does this.
func decode(r *record, all bool, warn func(error)) []userRecord {
	whole := userRecord{record: r, key: r.key, sub: -1, data: r.data}
	if !all {
		return []userRecord{whole}
	}
	if !kpl.Aggregated(r.data) {
		whole.undo(warn)
		return []userRecord{whole}
	}
	var users []userRecord
	i := -1
	for u, err := range kpl.Records(r.data) {
		i++
		if err != nil {
			warn(err)
			return []userRecord{whole}
		}
		if h, ok := hashOfUser(u); ok && !r.hashes.holds(h) {
			continue
		}
		user := userRecord{record: r, key: u.PartitionKey, hashKey: u.ExplicitHashKey, sub: i, data: u.Data, undone: []string{"kpl"}}
		user.undo(warn)
		users = append(users, user)
	}
	return users
}

func hashOfUser(u kpl.Record) (*big.Int, bool) {
	if u.ExplicitHashKey == "" {
		return hashOf(u.PartitionKey), true
	}
	h, err := parseHash(u.ExplicitHashKey)
	return h, err == nil
}

// undo takes encodings off, outermost first.
func (u *userRecord) undo(warn func(error)) {
	for range layersMax {
		if bytes.HasPrefix(u.data, []byte{0x1f, 0x8b, 8}) {
			plain, err := inflate(u.data, inflatedMax)
			if err != nil {
				warn(fmt.Errorf("data looks like gzip and is not: %w", err))
				return
			}
			u.data, u.undone = plain, append(u.undone, "gzip")
			continue
		}
		plain, ok := unbase64(u.data)
		if !ok {
			return
		}
		u.data, u.undone = plain, append(u.undone, "base64")
	}
}

func inflate(data []byte, most int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(z, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(plain)) > most {
		return nil, fmt.Errorf("it grows beyond %d bytes", most)
	}
	return plain, nil
}

// unbase64 decodes what is certainly base64: much text could be, so the result
// has to be gzip, or a JSON object or array.
func unbase64(data []byte) ([]byte, bool) {
	data = bytes.TrimSpace(data)
	if len(data) < 4 || len(data)%4 != 0 {
		return nil, false
	}
	plain := make([]byte, base64.StdEncoding.DecodedLen(len(data)))
	n, err := base64.StdEncoding.Strict().Decode(plain, data)
	if err != nil {
		return nil, false
	}
	plain = plain[:n]
	isDocument := len(plain) > 0 && (plain[0] == '{' || plain[0] == '[') && json.Valid(plain)
	return plain, isDocument || bytes.HasPrefix(plain, []byte{0x1f, 0x8b, 8})
}
