package shardlog_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

func openBench(b *testing.B, shards int) (*shardlog.Disk, []shardlog.Shard) {
	b.Helper()
	d, err := shardlog.Open(shardlog.Config{Dir: b.TempDir(), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	})
	list := make([]shardlog.Shard, shards)
	var wg sync.WaitGroup
	for i := range list {
		wg.Go(func() {
			if list[i], err = d.Create(context.Background(), shardlog.ID(fmt.Sprintf("shard-%05d", i)), shardlog.Options{}); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return d, list
}

func kilobyte() []byte {
	b := make([]byte, 1000)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// report adds what was written to the disk per byte of records.
func report(b *testing.B, d *shardlog.Disk, payload int64) {
	b.StopTimer()
	st := d.Stats()
	b.ReportMetric(float64(st.JournalBytes+st.SegmentBytes)/float64(payload), "written/payload")
	b.ReportMetric(float64(st.Records)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(st.Records)/float64(st.Groups), "records/group")
}

// One record at a time, by so many writers, over 64 shards.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			d, shards := openBench(b, 64)
			data, key := kilobyte(), []byte("partition-key-16")
			var left atomic.Int64
			left.Store(int64(b.N))
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					puts := []shardlog.Put{{Shard: shards[w%len(shards)], Records: []shardlog.Record{{PartitionKey: key, Data: data}}}}
					for left.Add(-1) >= 0 {
						if d.Append(context.Background(), puts); puts[0].Err != nil {
							b.Error(puts[0].Err)
							return
						}
					}
				})
			}
			wg.Wait()
			report(b, d, int64(b.N*len(data)))
		})
	}
}

// 500 records at a time, as PutRecords does, by 8 connections.
func BenchmarkPutRecords(b *testing.B) {
	for _, n := range []int{4, 1000} {
		b.Run(fmt.Sprintf("shards=%d", n), func(b *testing.B) {
			d, shards := openBench(b, n)
			data, key := kilobyte(), []byte("partition-key-16")
			var left atomic.Int64
			left.Store(int64(b.N))
			b.SetBytes(int64(500 * len(data)))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					puts := make([]shardlog.Put, min(n, 500))
					for i := range puts {
						puts[i].Shard = shards[(i+w*125)%n]
						for range 500 / len(puts) {
							puts[i].Records = append(puts[i].Records, shardlog.Record{PartitionKey: key, Data: data})
						}
					}
					for left.Add(-1) >= 0 {
						d.Append(context.Background(), puts)
						for i := range puts {
							if puts[i].Err != nil {
								b.Error(puts[i].Err)
								return
							}
						}
					}
				})
			}
			wg.Wait()
			report(b, d, int64(b.N*500*len(data)))
		})
	}
}

func fill(b *testing.B, d *shardlog.Disk, s shardlog.Shard, records int) {
	b.Helper()
	data, key := kilobyte(), []byte("partition-key-16")
	for n := 0; n < records; {
		puts := []shardlog.Put{{Shard: s}}
		for ; len(puts[0].Records) < 500 && n < records; n++ {
			puts[0].Records = append(puts[0].Records, shardlog.Record{PartitionKey: key, Data: data})
		}
		if d.Append(context.Background(), puts); puts[0].Err != nil {
			b.Fatal(puts[0].Err)
		}
	}
}

// 10,000 records a Read: from memory, and from segments that are closed and opened anew.
func BenchmarkRead(b *testing.B) {
	const records = 10_000
	read := func(b *testing.B, s shardlog.Shard, from shardlog.Offset) {
		var batch shardlog.Batch
		b.SetBytes(records * 1000)
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Read(context.Background(), from, records, 16<<20, &batch); err != nil || len(batch.Records) != records {
				b.Fatal(len(batch.Records), err)
			}
		}
	}
	b.Run("tail", func(b *testing.B) {
		d, shards := openBench(b, 1)
		fill(b, d, shards[0], 200)
		read1 := func() {
			var batch shardlog.Batch
			b.SetBytes(200 * 1000)
			b.ReportAllocs()
			for b.Loop() {
				if err := shards[0].Read(context.Background(), 1, 200, 16<<20, &batch); err != nil || len(batch.Records) != 200 {
					b.Fatal(len(batch.Records), err)
				}
			}
		}
		read1()
	})
	b.Run("segment", func(b *testing.B) {
		dir := b.TempDir()
		d, err := shardlog.Open(shardlog.Config{Dir: dir, Logger: quiet})
		if err != nil {
			b.Fatal(err)
		}
		s, err := d.Create(context.Background(), "s", shardlog.Options{})
		if err != nil {
			b.Fatal(err)
		}
		fill(b, d, s, records)
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
		if d, err = shardlog.Open(shardlog.Config{Dir: dir, Logger: quiet}); err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		if s, err = d.Shard("s"); err != nil {
			b.Fatal(err)
		}
		read(b, s, 1)
	})
}

// What the disk itself does now: a write and a sync of one group, in a file
// whose blocks were written before, and in one whose blocks are only reserved.
func BenchmarkRawSync(b *testing.B) {
	for _, size := range []int{4 << 10, 512 << 10, 2 << 20} {
		for _, recycled := range []bool{true, false} {
			b.Run(fmt.Sprintf("%dKiB/recycled=%v", size>>10, recycled), func(b *testing.B) {
				const fileBytes = 256 << 20
				f, err := vfs.OS().Create(b.TempDir() + "/raw")
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				data := make([]byte, size)
				for i := range data {
					data[i] = byte(i * 7)
				}
				if err := f.Reserve(fileBytes); err != nil {
					b.Fatal(err)
				}
				if recycled {
					for at := int64(0); at < fileBytes; at += int64(size) {
						if _, err := f.WriteAt(data, at); err != nil {
							b.Fatal(err)
						}
					}
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(size))
				at := int64(0)
				for b.Loop() {
					if _, err := f.WriteAt(data, at); err != nil {
						b.Fatal(err)
					}
					if err := f.Sync(); err != nil {
						b.Fatal(err)
					}
					at = (at + int64(size)) % fileBytes
				}
			})
		}
	}
}
