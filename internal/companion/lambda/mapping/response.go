package mapping

import (
	"bytes"
	"encoding/json"
)

// stateMax is how large a tumbling window's state may be.
const stateMax = 1 << 20

// A verdict is what an invocation did: the first done of its records are done; all, unless it failed.
type verdict struct {
	done   int
	failed bool
	state  []byte // what the function wants to have next, where there is a window
}

// judge reads what a function answered. Without ReportBatchItemFailures and a window, what it
// answers is of no interest.
//
// With ReportBatchItemFailures these are a success: no answer, null, an empty string, list
// or object, and an object whose batchItemFailures are missing, null or empty. An object
// with failures is done up to the lowest of them; one that has no identifier, or one that
// is not in the batch, fails all. So does any other answer: it is none of the shape
// that was agreed on, and might mean anything.
//
// With a window an object with a state is asked for, but after the final invocation,
// whose state nobody will see.
func judge(cfg *Config, res *Result, records []pending, inv invocation) verdict {
	all := verdict{done: len(records)}
	if res.FunctionError != "" {
		return verdict{failed: true}
	}
	windowed := inv.window != nil && !inv.final
	if !windowed && (!cfg.ReportBatchItemFailures || len(records) == 0) {
		return all
	}
	answer := bytes.TrimSpace(res.Payload)
	var members map[string]json.RawMessage
	switch {
	case isEmptyAnswer(answer):
	case json.Unmarshal(answer, &members) != nil:
		return verdict{failed: true}
	}
	if windowed {
		state, ok := members["state"]
		if !ok {
			return verdict{failed: true}
		}
		all.state = state
	}
	if cfg.ReportBatchItemFailures {
		all.done = firstFailure(members["batchItemFailures"], records)
		all.failed = all.done < len(records)
	}
	return all
}

func isEmptyAnswer(answer []byte) bool {
	switch string(answer) {
	case "", "null", `""`, "[]":
		return true
	}
	return false
}

// firstFailure is how many records stand before the first that failed: none, if the list
// is not one of this batch's sequence numbers.
func firstFailure(list json.RawMessage, records []pending) int {
	if len(list) == 0 {
		return len(records)
	}
	var failures []map[string]json.RawMessage
	if json.Unmarshal(list, &failures) != nil {
		return 0
	}
	first := len(records)
	if len(failures) == 0 {
		return first
	}
	place := make(map[SequenceNumber]int, len(records))
	for i := range records {
		place[records[i].SequenceNumber] = i
	}
	for _, f := range failures {
		i, ok := place[identifier(f["itemIdentifier"])]
		if !ok {
			return 0
		}
		first = min(first, i)
	}
	return first
}

// identifier is an itemIdentifier: a string, or a number that was not put in quotes.
func identifier(raw json.RawMessage) SequenceNumber {
	if len(raw) > 0 && raw[0] >= '0' && raw[0] <= '9' {
		return SequenceNumber(raw)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return SequenceNumber(s)
}
