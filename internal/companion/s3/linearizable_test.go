package s3_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/companion/s3"
	"github.com/rheostream/rheo/internal/vfs"
)

// A register is what a client does with one object: contents are numbers, and the
// ETag of a content stands for it.
type register struct {
	kind     string // get, put, create, swap, delete, drop
	key      int
	old, new int
}

const absent = math.MinInt

// outcome is what the client was told; unknown if it was told nothing.
type outcome struct {
	unknown bool
	refused bool // the condition did not hold
	value   int  // read
}

// objects is the model: one object, whose state is its number. A write that was not
// answered may be done at any later moment, or never (at the end of time).
var objects = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[int][]porcupine.Operation{}
		for _, op := range history {
			k := op.Input.(register).key
			byKey[k] = append(byKey[k], op)
		}
		var parts [][]porcupine.Operation
		for _, ops := range byKey {
			parts = append(parts, ops)
		}
		return parts
	},
	Init: func() any { return absent },
	Step: func(state, input, output any) (bool, any) {
		have, in, out := state.(int), input.(register), output.(outcome)
		next, refused := have, false
		switch in.kind {
		case "put":
			next = in.new
		case "create":
			if refused = have != absent; !refused {
				next = in.new
			}
		case "swap":
			if refused = have != in.old; !refused {
				next = in.new
			}
		case "delete":
			next = absent
		case "drop":
			if refused = have != in.old; !refused {
				next = absent
			}
		}
		if out.unknown {
			return true, next
		}
		return out.refused == refused && (in.kind != "get" || out.value == have), next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprint(state) },
}

// etags are those of the contents "0" to "4".
var etags = [...]string{`"cfcd208495d565ef66e7dff9f98764da"`, `"c4ca4238a0b923820dcc509a6f75849b"`, `"c81e728d9d4c2f636f067f89cc14862c"`,
	`"eccbc87e4b5ce2fe28308fd9f2a7baf3"`, `"a87ff679a2f3e71d9181a67b7542122c"`}

func (r register) do(ctx context.Context, s *s3.Service) (outcome, error) {
	key := fmt.Sprint("k", r.key)
	put := func(c s3.Conditions) error {
		return do(s.PutObject(ctx, &s3.PutObjectInput{Bucket: "b0b", Key: key, Body: strings.NewReader(fmt.Sprint(r.new)), Length: 1, Conditions: c}))
	}
	out, err := outcome{value: absent}, error(nil)
	switch r.kind {
	case "get":
		var got *s3.GetObjectOutput
		if got, err = s.GetObject(ctx, &s3.GetObjectInput{Bucket: "b0b", Key: key}); err == nil {
			defer got.Body.Close()
			var b []byte
			if b, err = io.ReadAll(got.Body); err == nil {
				fmt.Sscan(string(b), &out.value)
			}
		} else if api.IsCode(err, "NoSuchKey") {
			err = nil
		}
		return out, err
	case "put":
		err = put(s3.Conditions{})
	case "create":
		err = put(s3.Conditions{IfNoneMatch: "*"})
	case "swap":
		err = put(s3.Conditions{IfMatch: etags[r.old]})
	case "delete":
		err = do(s.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: "b0b", Key: key}))
	case "drop":
		err = do(s.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: "b0b", Key: key, Conditions: s3.Conditions{IfMatch: etags[r.old]}}))
	}
	if api.IsCode(err, "PreconditionFailed") || api.IsCode(err, "NoSuchKey") {
		return outcome{refused: true}, nil
	}
	return out, err
}

// TestLinearizable has clients write and delete a few objects under conditions while
// the power is cut at random moments: what they saw is what one client after another
// could have seen, cuts or not.
func TestLinearizable(t *testing.T) {
	const seed, clients, keys, cuts = 3, 4, 2, 8
	rnd := rand.New(rand.NewPCG(seed, 0))
	d := &disk{t: t, fs: vfs.NewCrash(seed)}
	d.start()
	defer func() { d.stop() }()
	if _, err := d.s.CreateBucket(as(t.Context()), &s3.CreateBucketInput{Bucket: "b0b"}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var clock atomic.Int64 // orders events that have the same time
	now := func() int64 { return time.Since(began).Nanoseconds()<<10 | clock.Add(1)&1023 }
	var mu sync.Mutex
	var history []porcupine.Operation // mu
	for cut := range cuts {
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		for client := range clients {
			r := rand.New(rand.NewPCG(seed, uint64(cut*clients+client)))
			g.Go(func() {
				seen := map[int]int{}
				for ctx.Err() == nil {
					in := register{kind: []string{"get", "get", "put", "create", "swap", "swap", "delete", "drop"}[r.IntN(8)], key: r.IntN(keys), new: r.IntN(5)}
					in.old = max(seen[in.key], 0)
					called := now()
					out, err := in.do(as(ctx), d.s)
					returned := now()
					if err != nil {
						if in.kind == "get" {
							continue
						}
						out, returned = outcome{unknown: true}, math.MaxInt64
					} else if in.kind == "get" {
						seen[in.key] = out.value
					}
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: returned})
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(2000+rnd.IntN(4000)) * time.Microsecond)
		next := d.fs
		if rnd.IntN(4) != 0 {
			next = d.fs.Crash()
		}
		cancel()
		g.Wait()
		d.stop()
		d.fs = next
		d.start()
	}
	if res := porcupine.CheckOperationsTimeout(objects, history, time.Minute); res != porcupine.Ok {
		t.Fatalf("%v, of %d operations", res, len(history))
	}
	t.Logf("%d operations", len(history))
}
