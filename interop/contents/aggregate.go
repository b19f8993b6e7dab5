package contents

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
)

// A userRecord is one of many in an aggregate of the Kinesis Producer Library.
type userRecord struct {
	key, hashKey string // hashKey is decimal, empty without one
	data         string
}

// hash is where in the hash range of a stream the user record belongs.
func (u userRecord) hash() (*big.Int, error) {
	if u.hashKey == "" {
		sum := md5.Sum([]byte(u.key))
		return new(big.Int).SetBytes(sum[:]), nil
	}
	n, ok := new(big.Int).SetString(u.hashKey, 10)
	if !ok {
		return nil, fmt.Errorf("explicit hash key %q is no number", u.hashKey)
	}
	return n, nil
}

var magic = []byte{0xF3, 0x89, 0x9A, 0xC2}

// unpack gives the user records of an aggregate: magic, a protocol buffer, the
// MD5 of that. ok is false for any other data. It shares nothing with the
// server's own reader, so that the two check each other.
func unpack(data []byte) (records []userRecord, ok bool, err error) {
	if len(data) <= len(magic)+md5.Size || !bytes.HasPrefix(data, magic) {
		return nil, false, nil
	}
	body, sum := data[len(magic):len(data)-md5.Size], data[len(data)-md5.Size:]
	if md5.Sum(body) != [md5.Size]byte(sum) {
		return nil, false, nil
	}
	var keys, hashKeys []string
	var packed [][]byte
	err = fields(body, func(number int, _ uint64, value []byte) error {
		switch number {
		case 1:
			keys = append(keys, string(value))
		case 2:
			hashKeys = append(hashKeys, string(value))
		case 3:
			packed = append(packed, value)
		}
		return nil
	})
	for _, p := range packed {
		if err != nil {
			break
		}
		var u userRecord
		err = fields(p, func(number int, n uint64, value []byte) (err error) {
			switch number {
			case 1:
				u.key, err = at(keys, n)
			case 2:
				u.hashKey, err = at(hashKeys, n)
			case 3:
				u.data = string(value)
			}
			return err
		})
		records = append(records, u)
	}
	if err != nil {
		return nil, true, fmt.Errorf("cannot read an aggregate: %w", err)
	}
	return records, true, nil
}

func at(table []string, i uint64) (string, error) {
	if i >= uint64(len(table)) {
		return "", fmt.Errorf("index %d of a table of %d", i, len(table))
	}
	return table[i], nil
}

var errCut = errors.New("message ends in the middle of a field")

// fields calls f with the varints and the byte strings of a protocol buffer.
func fields(msg []byte, f func(number int, varint uint64, value []byte) error) error {
	for len(msg) > 0 {
		tag, n := binary.Uvarint(msg)
		if n <= 0 {
			return errCut
		}
		msg = msg[n:]
		v, n := binary.Uvarint(msg)
		if n <= 0 {
			return errCut
		}
		msg = msg[n:]
		var value []byte
		switch tag & 7 {
		case 0:
		case 2:
			if v > uint64(len(msg)) {
				return errCut
			}
			value, msg = msg[:v], msg[v:]
		default:
			return fmt.Errorf("field %d has wire type %d", tag>>3, tag&7)
		}
		if err := f(int(tag>>3), v, value); err != nil {
			return err
		}
	}
	return nil
}
