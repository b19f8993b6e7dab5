//go:build linux

package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// residentMiB is the memory that the processes below pid have, in MiB; that of pid
// itself, our helper, is not the function's. What they share counts once for each,
// so it is an upper bound; proportionalMiB is the exact figure, and slow.
func residentMiB(pid int) int {
	pages := 0
	for _, child := range descendants(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", child))
		if err != nil {
			continue // ended meanwhile
		}
		fields := strings.Fields(string(b))
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.Atoi(fields[1])
		pages += n
	}
	return pages * os.Getpagesize() >> 20
}

// proportionalMiB counts shared memory once; ok is false where the kernel does not say.
func proportionalMiB(pid int) (mib int, ok bool) {
	kib := 0
	for _, child := range descendants(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", child))
		if err != nil {
			if os.IsPermission(err) {
				return 0, false
			}
			continue
		}
		for line := range bytes.Lines(b) {
			if rest, is := bytes.CutPrefix(line, []byte("Pss:")); is {
				n, _ := strconv.Atoi(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))))
				kib += n
				ok = true
			}
		}
	}
	return kib >> 10, ok
}
