package agent

import (
	"bytes"
	"regexp"
)

// growth is what may still come behind the data that a splitter sees.
type growth int

const (
	growing growth = iota // more, at any time
	resting               // more, but it did not come for a while
	ended                 // nothing
)

// A splitter finds records. next is how many bytes the first record of data has;
// 0 if its end cannot be seen yet. A record has its line feeds, the last one too.
type splitter interface {
	next(data []byte, g growth) int
}

// lines are records of one line each.
type lines struct{}

func (lines) next(data []byte, g growth) int {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1
	}
	if g == ended {
		return len(data)
	}
	return 0
}

// blocks are records that begin with a line that start matches. Where a record
// ends shows in the next one's start; the last one is whole when nothing came for
// a while. (The Kinesis Agent takes it as soon as it sees it, and cuts stack traces
// that are written in pieces.)
type blocks struct{ start *regexp.Regexp }

func (b blocks) next(data []byte, g growth) int {
	end := bytes.IndexByte(data, '\n') + 1 // the first line is the record's in any case
	if end == 0 {
		if g == ended {
			return len(data)
		}
		return 0
	}
	for end < len(data) {
		n := bytes.IndexByte(data[end:], '\n') + 1
		if n == 0 {
			break // half a line
		}
		if b.start.Match(data[end : end+n]) {
			return end
		}
		end += n
	}
	switch {
	case g == ended && end < len(data) && b.start.Match(data[end:]):
		return end
	case g == ended:
		return len(data)
	case g == resting && end == len(data):
		return end
	}
	return 0
}
