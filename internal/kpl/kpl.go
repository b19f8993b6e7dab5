// Package kpl reads aggregated records: many user records that the Kinesis
// Producer Library packed into one record of a stream, to pay for fewer.
//
//	aggregate = magic body md5(body)
//	magic     = F3 89 9A C2                        4 bytes
//	body      = the protocol buffer AggregatedRecord
//	md5       = of the body alone                  16 bytes
//
//	message AggregatedRecord {
//	  repeated string partition_key_table     = 1;   // written once, pointed at by index
//	  repeated string explicit_hash_key_table = 2;
//	  repeated Record records                 = 3;
//	}
//	message Record {
//	  required uint64 partition_key_index     = 1;
//	  optional uint64 explicit_hash_key_index = 2;
//	  required bytes  data                    = 3;
//	  repeated Tag    tags                    = 4;   // required string key = 1; optional string value = 2;
//	}
//
// A stream carries aggregates like any other bytes, so whoever reads must find
// out by looking. What does not have both the magic and the right MD5 is a plain
// record, as it is for every consumer library. What has both and still does not
// parse was made by a faulty writer, which is an error: its records are in there
// and cannot be had.
package kpl

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"iter"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Magic opens every aggregate.
var magic = [...]byte{0xF3, 0x89, 0x9A, 0xC2}

// A Record is one user record of an aggregate.
type Record struct {
	PartitionKey    string
	ExplicitHashKey string // decimal, empty without one
	Data            []byte // aliases the aggregate
	Tags            []Tag  // reserved by the format; writers leave it empty
}

// A Tag is a name and a value beside a user record's data.
type Tag struct{ Key, Value string }

// Aggregated says whether data is an aggregate: it has the magic and the MD5 of
// what stands between them.
func Aggregated(data []byte) bool {
	_, ok := body(data)
	return ok
}

func body(data []byte) ([]byte, bool) {
	if len(data) < len(magic)+md5.Size || !bytes.HasPrefix(data, magic[:]) {
		return nil, false
	}
	body := data[len(magic) : len(data)-md5.Size]
	sum := md5.Sum(body)
	return body, bytes.Equal(sum[:], data[len(data)-md5.Size:])
}

// Records unpacks an aggregate, in order. An error ends the sequence: [ErrPlain]
// if data is no aggregate, anything else if it is a broken one. The index of a
// record in the sequence is the subsequence number that the consumer libraries
// give it.
//
// What it allocates is in proportion to data: tables hold slices of it, and
// records are yielded one at a time.
func Records(data []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		body, ok := body(data)
		if !ok {
			yield(Record{}, ErrPlain)
			return
		}
		// A writer may put the tables after the records, so they are read first.
		var keys, hashes [][]byte
		err := fields(body, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) error {
			switch {
			case num == 1 && typ == protowire.BytesType:
				keys = append(keys, v)
			case num == 2 && typ == protowire.BytesType:
				hashes = append(hashes, v)
			case (num == 1 || num == 2 || num == 3) && typ != protowire.BytesType:
				return fmt.Errorf("field %d has wire type %d", num, typ)
			}
			return nil
		})
		if err != nil {
			yield(Record{}, fmt.Errorf("cannot read aggregated record: %w", err))
			return
		}
		n := 0
		err = fields(body, func(num protowire.Number, _ protowire.Type, v []byte, _ uint64) error {
			if num != 3 {
				return nil
			}
			r, err := record(v, keys, hashes)
			if err != nil {
				return fmt.Errorf("user record %d: %w", n, err)
			}
			n++
			if !yield(r, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(Record{}, fmt.Errorf("cannot read aggregated record: %w", err))
		}
	}
}

// ErrPlain says that data is no aggregate.
var ErrPlain = errors.New("not an aggregated record")

var errStop = errors.New("stopped by the reader")

func record(msg []byte, keys, hashes [][]byte) (Record, error) {
	var r Record
	var hasKey, hasData bool
	err := fields(msg, func(num protowire.Number, typ protowire.Type, v []byte, n uint64) (err error) {
		switch {
		case num == 1 && typ == protowire.VarintType:
			hasKey = true
			r.PartitionKey, err = lookup(keys, n, "partition key")
		case num == 2 && typ == protowire.VarintType:
			r.ExplicitHashKey, err = lookup(hashes, n, "explicit hash key")
		case num == 3 && typ == protowire.BytesType:
			hasData = true
			r.Data = v
		case num == 4 && typ == protowire.BytesType:
			var t Tag
			t, err = tag(v)
			r.Tags = append(r.Tags, t)
		case num >= 1 && num <= 4:
			err = fmt.Errorf("field %d has wire type %d", num, typ)
		}
		return err
	})
	switch {
	case err != nil:
		return Record{}, err
	case !hasKey:
		return Record{}, errors.New("no partition key")
	case !hasData:
		return Record{}, errors.New("no data")
	}
	return r, nil
}

func tag(msg []byte) (Tag, error) {
	var t Tag
	err := fields(msg, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) error {
		switch {
		case num > 2:
		case typ != protowire.BytesType:
			return fmt.Errorf("field %d of a tag has wire type %d", num, typ)
		case num == 1:
			t.Key = string(v)
		case num == 2:
			t.Value = string(v)
		}
		return nil
	})
	return t, err
}

func lookup(table [][]byte, i uint64, what string) (string, error) {
	if i >= uint64(len(table)) {
		return "", fmt.Errorf("%s %d of a table of %d", what, i, len(table))
	}
	if !utf8.Valid(table[i]) {
		return "", fmt.Errorf("%s %d is not UTF-8", what, i)
	}
	return string(table[i]), nil
}

// fields calls f for each field of a message: with the bytes of a
// length-delimited one, the number of a varint.
func fields(msg []byte, f func(num protowire.Number, typ protowire.Type, v []byte, n uint64) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		var v []byte
		var u uint64
		switch typ {
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(msg)
		case protowire.VarintType:
			u, n = protowire.ConsumeVarint(msg)
		default:
			n = protowire.ConsumeFieldValue(num, typ, msg)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		if err := f(num, typ, v, u); err != nil {
			return err
		}
	}
	return nil
}
