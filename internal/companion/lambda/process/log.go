//go:build linux

package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	logTailBytes  = 4 << 10         // in Result.Log
	logLineBytes  = 256<<10 - 26    // Logs' limit of an event
	logBatchLines = 10_000          // Logs' limit of a call
	logBatchBytes = 1 << 20         // the same
	logDrainBytes = 1 << 20         // read at most at the end of an invocation
	logCloseWait  = 5 * time.Second // for the last lines, when an instance is gone
)

// instanceLog is what an instance writes to its standard output and standard error,
// which are one pipe, so that their lines stay in order, and the platform's own
// lines among it.
type instanceLog struct {
	pipe *os.File // the end that is read
	conn syscall.RawConn
	out  *logQueue     // nil without a sink
	done chan struct{} // closed when the last writer is gone and all is read

	mu      sync.Mutex
	partial []byte // of a line that has no end yet
	tail    []byte // of this invocation's lines; cut to logTailBytes now and then
	buf     []byte // for reads
	eof     bool
}

// newInstanceLog returns a log and the file that the instance writes to. The caller
// closes the file once the instance has it.
func newInstanceLog(out *logQueue) (*instanceLog, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	conn, err := r.SyscallConn()
	if err != nil {
		r.Close()
		w.Close()
		return nil, nil, err
	}
	l := &instanceLog{pipe: r, conn: conn, out: out, done: make(chan struct{}), buf: make([]byte, 32<<10)}
	go l.follow()
	return l, w, nil
}

// follow reads until the end.
func (l *instanceLog) follow() {
	defer close(l.done)
	for {
		end := false
		err := l.conn.Read(func(fd uintptr) bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			again := l.readOnce(fd)
			end = l.eof
			return !again
		})
		if err != nil || end {
			l.pipe.Close()
			l.mu.Lock()
			l.eof = true
			l.endLine()
			l.mu.Unlock()
			return
		}
	}
}

// readOnce reads what there is; again says that there was nothing. The caller holds mu.
func (l *instanceLog) readOnce(fd uintptr) (again bool) {
	for !l.eof {
		n, err := unix.Read(int(fd), l.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return true
		case err != nil || n == 0:
			l.eof = true
		default:
			l.took(l.buf[:n])
		}
		return false
	}
	return false
}

// drain reads all that has been written before the call, so that the log of an
// invocation is whole when its answer has come: the answer was sent after it.
func (l *instanceLog) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn.Control(func(fd uintptr) {
		for read := 0; read < logDrainBytes && !l.eof; read += len(l.buf) {
			if l.readOnce(fd) {
				return
			}
		}
	})
}

// took splits bytes into lines. The caller holds mu.
func (l *instanceLog) took(b []byte) {
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if room := logLineBytes - len(l.partial); len(line) > room {
			line, rest, whole = b[:room], b[room:], true
		}
		b = rest
		if !whole {
			l.partial = append(l.partial, line...)
			return
		}
		if len(l.partial) > 0 {
			line = append(l.partial, line...)
			l.partial = l.partial[:0]
		}
		l.line(string(line))
	}
}

// endLine ends a line that has no end. The caller holds mu.
func (l *instanceLog) endLine() {
	if len(l.partial) > 0 {
		l.line(string(l.partial))
		l.partial = l.partial[:0]
	}
}

// line adds one line. The caller holds mu.
func (l *instanceLog) line(s string) {
	l.tail = append(append(l.tail, s...), '\n')
	if len(l.tail) > 4*logTailBytes {
		l.tail = append(l.tail[:0], l.tail[len(l.tail)-logTailBytes:]...)
	}
	if l.out != nil {
		l.out.add(LogLine{time.Now(), s})
	}
}

// start begins an invocation's log, after all that was written before.
func (l *instanceLog) start(requestID, version string) {
	l.drain()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLine()
	l.tail = l.tail[:0]
	l.line("START RequestId: " + requestID + " Version: " + version)
}

// platform adds lines of our own.
func (l *instanceLog) platform(lines ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLine()
	for _, s := range lines {
		l.line(s)
	}
}

// end ends an invocation's log with its report and returns its last 4 KiB.
func (l *instanceLog) end(requestID, report string) []byte {
	l.platform("END RequestId: "+requestID, report)
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.tail[max(0, len(l.tail)-logTailBytes):])
}

// close says that no lines will come any more.
func (l *instanceLog) close() {
	if l.out != nil {
		l.out.close()
	}
}

// logQueue holds lines that wait for the sink. When it is full, lines are dropped
// and counted: a function does not wait for its log.
type logQueue struct {
	sink     LogSink
	to       LogTarget
	bytesMax int
	failed   func(error)
	wake     chan struct{} // holds one token when there is something to do
	gone     chan struct{} // closed when all has been given to the sink

	mu      sync.Mutex
	lines   []LogLine
	bytes   int
	dropped int
	closed  bool
}

const lineOverhead = 26 // bytes that Logs counts for each event

func newLogQueue(sink LogSink, to LogTarget, bytesMax int, failed func(error)) *logQueue {
	if sink == nil {
		return nil
	}
	q := &logQueue{sink: sink, to: to, bytesMax: bytesMax, failed: failed,
		wake: make(chan struct{}, 1), gone: make(chan struct{})}
	go q.deliver()
	return q
}

func (q *logQueue) add(line LogLine) {
	if line.Message == "" {
		return // Logs takes no empty events
	}
	size := len(line.Message) + lineOverhead
	q.mu.Lock()
	if q.bytes+size > q.bytesMax {
		q.dropped++
	} else {
		q.lines = append(q.lines, line)
		q.bytes += size
	}
	q.mu.Unlock()
	q.poke()
}

func (q *logQueue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close lets deliver end when the queue is empty.
func (q *logQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
}

// deliver gives lines to the sink, one call after the other. When the instance is
// gone, the rest has logCloseWait.
func (q *logQueue) deliver() {
	defer close(q.gone)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var closing *time.Timer
	for range q.wake {
		for {
			lines, closed := q.take()
			if closed && closing == nil {
				closing = time.AfterFunc(logCloseWait, cancel)
				defer closing.Stop()
			}
			if len(lines) == 0 {
				if closed {
					return
				}
				break
			}
			if err := q.sink.PutLogs(ctx, q.to, lines); err != nil {
				q.failed(fmt.Errorf("cannot write %d lines to the log stream %s of %s: %w", len(lines), q.to.Stream, q.to.Group, err))
				q.mu.Lock()
				q.dropped += len(lines)
				q.mu.Unlock()
				if closed {
					return
				}
			}
		}
	}
}

// take removes the next batch, which tells first how many lines are missing before it.
func (q *logQueue) take() (lines []LogLine, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.lines) && n < logBatchLines-1 && size < logBatchBytes/2 {
		size += len(q.lines[n].Message) + lineOverhead
		n++
	}
	if n == 0 {
		return nil, q.closed
	}
	if q.dropped > 0 {
		lines = append(lines, LogLine{q.lines[0].Time, fmt.Sprintf("%d lines of this log are missing here: they came faster than they could be stored.", q.dropped)})
		q.dropped = 0
	}
	lines = append(lines, q.lines[:n]...)
	rest := copy(q.lines, q.lines[n:])
	clear(q.lines[rest:])
	q.lines = q.lines[:rest]
	q.bytes -= size
	return lines, q.closed
}
