package logs

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/shardlog"
)

// fill adds n records of random streams and times to an index, and returns them.
func fillIndex(x *index, r *rand.Rand, n, streams int) (all []record) {
	for i := range n {
		at := int64(i*1000) + r.Int64N(20_000)
		rec := record{stream: 1 + r.Uint64N(uint64(streams)), least: at, most: at + r.Int64N(5000), bytes: 100}
		x.add(shardlog.Offset(10+2*i), int64(i), 150, &rec)
		all = append(all, rec)
	}
	return all
}

// TestIndexFinds: no chunk that has something is passed over, by any question, however
// coarse the index is; and most of those that have nothing are.
func TestIndexFinds(t *testing.T) {
	for _, streams := range []int{3, 40, 3000} {
		r := rand.New(rand.NewPCG(1, uint64(streams)))
		x := newIndex(1500)
		all := fillIndex(x, r, 3000, streams)
		for _, coarse := range []bool{false, true} {
			if coarse {
				n := len(x.chunks)
				if x.coarsen(); len(x.chunks) != (n+1)/2 || x.grain != 3000 {
					t.Fatalf("%d chunks of %d are left, of %d bytes", len(x.chunks), n, x.grain)
				}
			}
			wanted, read := 0, 0
			for range 200 {
				w := &search{some: []uint64{1 + r.Uint64N(uint64(streams))}, from: r.Int64N(3_000_000)}
				w.to = w.from + r.Int64N(200_000)
				c := cursor{lo: 1, hi: x.next, opened: true}
				spans := w.spans(x, &c)
				for _, sp := range spans {
					read += int(sp.bytes / 150)
				}
				for i, rec := range all {
					if rec.stream != w.some[0] || rec.most < w.from || rec.least >= w.to {
						continue
					}
					wanted++
					offset := shardlog.Offset(10 + 2*i)
					found := false
					for _, sp := range spans {
						found = found || sp.from <= offset && offset < sp.to
					}
					if !found {
						t.Fatalf("record %d of stream %d is not found", i, rec.stream)
					}
				}
			}
			t.Logf("%d streams, coarse %v: %d records read for %d", streams, coarse, read, wanted)
			if read > 200*3000/5 {
				t.Errorf("%d streams: %d records are read for %d", streams, read, wanted)
			}
		}
	}
}

func TestIndexBlob(t *testing.T) {
	x := newIndex(1500)
	fillIndex(x, rand.New(rand.NewPCG(1, 2)), 2000, 300)
	var b bytes.Buffer
	if err := writeIndex(&b, x, keys.Identity{}); err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(b.Bytes())
	y, err := readIndex(&b, keys.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	x.unsaved = 0
	x.recount()
	for i := range x.chunks { // of which the capacity says nothing
		x.chunks[i].streams = x.chunks[i].streams.clone()
		y.chunks[i].streams = y.chunks[i].streams.clone()
	}
	x.recount()
	y.recount()
	if !reflect.DeepEqual(x.chunks, y.chunks) || !reflect.DeepEqual(x.streams, y.streams) || x.next != y.next || x.grain != y.grain {
		t.Error("what is read is not what was written")
	}
	for n := range 100 {
		cut := whole[:len(whole)*n/100]
		if _, err := readIndex(bytes.NewReader(cut), keys.Identity{}); err == nil {
			t.Errorf("the first %d bytes of %d were taken for an index", len(cut), len(whole))
		}
		bad := bytes.Clone(whole)
		bad[len(bad)*n/100] ^= 1
		if _, err := readIndex(bytes.NewReader(bad), keys.Identity{}); err == nil {
			t.Errorf("damage at %d was not noticed", len(bad)*n/100)
		}
	}
}

func TestIndexExpires(t *testing.T) {
	x := newIndex(1500)
	fillIndex(x, rand.New(rand.NewPCG(1, 2)), 100, 3)
	n := len(x.chunks)
	third := x.chunks[2].first
	if x.expire(third + 1); len(x.chunks) != n-2 || x.chunks[0].first != third {
		t.Errorf("%d chunks of %d are left from %d on", len(x.chunks), n, x.chunks[0].first)
	}
	x.prune(func(stream uint64) bool { return stream == 2 })
	if len(x.streams) != 1 || x.streams[2] == nil {
		t.Errorf("%d streams are left", len(x.streams))
	}
	if x.expire(x.next); len(x.chunks) != 0 || x.cost != factsCost {
		t.Errorf("%d chunks are left, which cost %d", len(x.chunks), x.cost)
	}
}
