//go:build linux

package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// descendants are the processes below pid, itself not among them.
func descendants(pid int) []int {
	children := childrenOf
	if !kernelListsChildren() {
		children = childrenByParent()
	}
	var found []int
	queue := []int{pid}
	for len(queue) > 0 && len(found) < 100_000 {
		below := children(queue[0])
		queue = append(queue[1:], below...)
		found = append(found, below...)
	}
	return found
}

// kernelListsChildren tells whether /proc has lists of children.
var kernelListsChildren = sync.OnceValue(func() bool {
	_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	return err == nil
})

// childrenOf reads the children of all threads of a process.
func childrenOf(pid int) (children []int) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil // ended meanwhile
	}
	for _, t := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// childrenByParent reads the parents of all processes, and answers by that.
func childrenByParent() func(pid int) []int {
	children := map[int][]int{}
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + p.Name() + "/stat")
		if err != nil {
			continue
		}
		// pid (name, which may hold anything) state parent
		_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
		if fields := strings.Fields(rest); len(fields) > 1 {
			if parent, err := strconv.Atoi(fields[1]); err == nil {
				children[parent] = append(children[parent], pid)
			}
		}
	}
	return func(pid int) []int { return children[pid] }
}
