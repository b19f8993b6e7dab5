package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// The bodies of the measured calls, in the order that the SDKs write them.

// appendRecord leaves the object open.
func appendRecord(b, data []byte, key uint64) []byte {
	b = append(b, `{"Data":"`...)
	b = base64.StdEncoding.AppendEncode(b, data)
	return fmt.Appendf(b, `","PartitionKey":"key-%016x"`, key)
}

// keyBytes is the length of every partition key.
const keyBytes = 20

func putRecordsBody(rng *rand.ChaCha8, records, bytes int) []byte {
	data := make([]byte, bytes)
	b := []byte(`{"Records":[`)
	for i := range records {
		if i > 0 {
			b = append(b, ',')
		}
		rng.Read(data)
		b = append(appendRecord(b, data, rng.Uint64()), '}')
	}
	return append(b, `],"StreamName":"`+streamName+`"}`...)
}

func putRecordBody(rng *rand.ChaCha8, bytes int) []byte {
	data := make([]byte, bytes)
	rng.Read(data)
	return append(appendRecord(nil, data, rng.Uint64()), `,"StreamName":"`+streamName+`"}`...)
}

func getRecordsBody(iterator string) []byte {
	return fmt.Appendf(nil, `{"Limit":10000,"ShardIterator":%q}`, iterator)
}

// newRNG gives every process of a run the same bytes.
func newRNG(n uint64) *rand.ChaCha8 {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], n)
	return rand.NewChaCha8(seed)
}

// putRequests signs, for each connection, a few different requests to send in turn.
func putRequests(addr string, conns, each, records, bytes int, single bool) [][][]byte {
	rng := newRNG(1)
	now := time.Now()
	all := make([][][]byte, conns)
	for i := range all {
		for range each {
			var req []byte
			if single {
				req = request(addr, "PutRecord", putRecordBody(rng, bytes), now)
			} else {
				req = request(addr, "PutRecords", putRecordsBody(rng, records, bytes), now)
			}
			all[i] = append(all[i], req)
		}
	}
	return all
}
