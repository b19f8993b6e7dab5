package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// rawRates are what one core and the disk do by themselves, to tell a slow
// server from a slow machine.
type rawRates struct {
	sha256, base64 float64 // MB/s, of input
	fdatasyncs     float64 // 4 KiB overwritten and synced, per second
	syncP99        time.Duration
}

func (r rawRates) String() string {
	return fmt.Sprintf("SHA-256 %.0f MB/s, base64 %.0f MB/s, 4 KiB write + fdatasync %.0f/s (p99 %v)", r.sha256, r.base64, r.fdatasyncs, r.syncP99.Round(time.Microsecond))
}

func measureRaw(dir string) (r rawRates, err error) {
	const each = 500 * time.Millisecond
	block := make([]byte, 512<<10)
	r.sha256 = throughput(each, len(block), func() { sha256.Sum256(block) })
	text := make([]byte, base64.StdEncoding.EncodedLen(1024))
	r.base64 = throughput(each, 1024, func() { base64.StdEncoding.Encode(text, block[:1024]) })

	name := filepath.Join(dir, "fdatasync")
	f, err := os.Create(name)
	if err != nil {
		return r, err
	}
	defer os.Remove(name)
	defer f.Close()
	const size = 16 << 20
	if _, err = f.Write(make([]byte, size)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return r, err
	}
	var took []time.Duration
	began := time.Now()
	for at := int64(0); time.Since(began) < 2*each; at = (at + 4096) % size {
		t := time.Now()
		if _, err := f.WriteAt(block[:4096], at); err != nil {
			return r, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return r, err
		}
		took = append(took, time.Since(t))
	}
	r.fdatasyncs = float64(len(took)) / time.Since(began).Seconds()
	slices.Sort(took)
	r.syncP99 = took[len(took)*99/100]
	return r, nil
}

// throughput returns MB/s.
func throughput(d time.Duration, bytes int, fn func()) float64 {
	began := time.Now()
	n := 0
	for time.Since(began) < d {
		for range 16 {
			fn()
		}
		n += 16
	}
	return float64(n) * float64(bytes) / 1e6 / time.Since(began).Seconds()
}
