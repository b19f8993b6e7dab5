package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/interop/contents"
)

// An event is a line that a worker wrote, words separated by a space:
//
//	microseconds session start shard
//	microseconds session record sequence sub key data
//	microseconds session checkpoint sequence sub
//	microseconds session ended
//	microseconds session lost
//	microseconds session stopping
//
// A session is one lease of a shard by one worker, from its start until it ended
// (the shard has no more records), was lost, or the worker is stopping. Clocks of
// workers are comparable: all run on this machine. The data may contain spaces.
type event struct {
	at      int64 // microseconds since 1970
	worker  string
	session string // unique within a worker
	kind    string
	shard   string            // of start
	pos     contents.Position // of record and checkpoint
	key     string            // of record
	data    string
}

// arguments of each kind of event
var arguments = map[string]int{"start": 1, "record": 4, "checkpoint": 2, "ended": 0, "lost": 0, "stopping": 0}

func parseEvent(worker, line string) (e event, err error) {
	words := strings.SplitN(line, " ", 7)
	if len(words) < 3 {
		return e, fmt.Errorf("event %q is cut", line)
	}
	e = event{worker: worker, session: words[1], kind: words[2]}
	if e.at, err = strconv.ParseInt(words[0], 10, 64); err != nil {
		return e, fmt.Errorf("event %q: %w", line, err)
	}
	want, known := arguments[e.kind]
	if args := words[3:]; !known || len(args) != want {
		return e, fmt.Errorf("event %q: a %s with %d arguments", line, e.kind, len(args))
	}
	switch e.kind {
	case "start":
		e.shard = words[3]
	case "record", "checkpoint":
		e.pos.Sequence = words[3]
		if e.pos.Sub, err = strconv.Atoi(words[4]); err != nil {
			return e, fmt.Errorf("event %q: %w", line, err)
		}
		if e.kind == "record" {
			e.key, e.data = words[5], words[6]
		}
	}
	return e, nil
}
