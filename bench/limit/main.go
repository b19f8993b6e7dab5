// Command limit is the yardstick of the benchmarks: an HTTP server that does what no
// durable Kinesis can leave out, and nothing else.
//
// A put is read, hashed (SHA-256, as a signature needs), scanned, decoded from
// base64, its partition keys hashed (MD5) to shards, framed with a CRC, written
// to a recycled journal together with the other puts that came while the last
// sync ran, synced, and answered with a sequence number per record. With -twice
// every frame is also written to its shard's file, and those files are synced
// once per journal wrap. A get checks the CRC of every record, from memory or
// from a file, and encodes it to base64 and JSON.
//
// It checks no signature, no limit and no name, keeps no index, cannot recover,
// and scans only the JSON that the load generator sends. HTTP is net/http's,
// as in every Go server that also has to speak HTTP/2. It imports nothing of rheo.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

func main() {
	var (
		listen      = flag.String("listen", "127.0.0.1:0", "address")
		dir         = flag.String("dir", "", "folder of the journal and the shard files")
		journalSize = flag.Int64("journal", 2<<30, "bytes of the journal")
		shards      = flag.Int("shards", 4, "shards")
		twice       = flag.Bool("twice", false, "also write every frame to its shard's file")
		records     = flag.Int("records", 0, "serve this many records per shard to GetRecords")
		recordSize  = flag.Int("record-bytes", 1024, "size of each of them")
		fromFile    = flag.Bool("from-file", false, "read them from files instead of memory")
	)
	flag.Parse()
	log.SetFlags(0)
	if err := run(*listen, *dir, *journalSize, *shards, *twice, *records, *recordSize, *fromFile); err != nil {
		log.Fatal("limit: ", err)
	}
}

func run(listen, dir string, journalSize int64, shards int, twice bool, records, recordSize int, fromFile bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s := &server{shards: make([]shard, shards)}
	var err error
	if records > 0 {
		s.gets, err = newGets(dir, shards, records, recordSize, fromFile)
	} else {
		if twice {
			if s.second, err = newSecond(dir, shards); err != nil {
				return err
			}
		}
		s.journal, err = openJournal(dir, journalSize, s.second)
	}
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	log.Print("Ready.")
	return http.Serve(l, s)
}

type server struct {
	journal *journal
	second  *second
	gets    *gets
	shards  []shard
	asked   atomic.Uint64
}

type shard struct {
	next atomic.Uint64
	_    [56]byte // a cache line each
}

// bodies and answers are reused: pooled by what they last held.
var bodies, slabs, answers = bytesPool(), bytesPool(), bytesPool()

func bytesPool() *sync.Pool { return &sync.Pool{New: func() any { return new([]byte) }} }

// sized returns p's slice with length n, its memory kept where it suffices.
func sized(p *[]byte, n int) []byte {
	if cap(*p) < n {
		*p = make([]byte, n)
	}
	return (*p)[:n]
}

const targetPrefix = "Kinesis_20131202."

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	if len(target) < len(targetPrefix) || r.ContentLength < 0 || r.ContentLength > 16<<20 {
		http.Error(w, "not a measured call", http.StatusBadRequest)
		return
	}
	switch op := target[len(targetPrefix):]; {
	case s.journal != nil && op == "PutRecords":
		s.put(w, r, false)
	case s.journal != nil && op == "PutRecord":
		s.put(w, r, true)
	case s.gets != nil && op == "GetRecords":
		s.gets.serve(s, w, r)
	default:
		http.Error(w, "not a measured call", http.StatusBadRequest)
	}
}

func (s *server) answer(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{"application/x-amz-json-1.1"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["X-Amzn-Requestid"] = []string{strconv.FormatUint(s.asked.Add(1), 16)}
	w.Write(body)
}
