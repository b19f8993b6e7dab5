package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What Linux tells about a process.

type ioCounters struct{ readBytes, writeBytes int64 }

func processIO(pid int) (ioCounters, error) {
	fields, err := procFields(pid, "io")
	return ioCounters{fields["read_bytes"], fields["write_bytes"]}, err
}

// processRSS is the resident memory in bytes, now and at its highest.
func processRSS(pid int) (now, peak int64, err error) {
	fields, err := procFields(pid, "status")
	return fields["VmRSS"] << 10, fields["VmHWM"] << 10, err
}

func procFields(pid int, file string) (map[string]int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fields := map[string]int64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if words := strings.Fields(value); len(words) > 0 {
			if n, err := strconv.ParseInt(words[0], 10, 64); err == nil {
				fields[name] = n
			}
		}
	}
	return fields, lines.Err()
}

// deviceWritten is what was written to the device that holds dir, in bytes; 0 if it cannot be told.
func deviceWritten(dir string) int64 {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 7 {
		return 0
	}
	sectors, _ := strconv.ParseInt(fields[6], 10, 64)
	return sectors * 512
}

// cpuMeter tells our own share of all the machine's cores.
type cpuMeter struct {
	began time.Time
	used  time.Duration
}

func startCPUMeter() cpuMeter { return cpuMeter{time.Now(), ownCPU()} }

func (m cpuMeter) share() float64 {
	return float64(ownCPU()-m.used) / float64(time.Since(m.began)) / float64(runtime.NumCPU())
}

func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// dropCache makes the files below dir leave the page cache; what is dirty is written first.
func dropCache(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Fsync(int(f.Fd())); err != nil {
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// filesSize is the sum of the sizes below dir, of files whose path contains part.
func filesSize(dir, part string) int64 {
	var sum int64
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(path[len(dir):], part) {
			if fi, err := d.Info(); err == nil {
				sum += fi.Size()
			}
		}
		return nil
	})
	return sum
}
