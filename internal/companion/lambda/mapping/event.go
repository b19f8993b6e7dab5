package mapping

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// payloadMax is Lambda's limit for a synchronous invocation's payload: 6 MB.
const payloadMax = 6 << 20

// eventFormat writes the events of a shard, members in the order of Lambda's own:
//
//	{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1","sequenceNumber":"49590...",
//	"data":"SGVsbG8=","approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis",
//	"eventVersion":"1.0","eventID":"shardId-000000000006:49590...","eventName":"aws:kinesis:record",
//	"invokeIdentityArn":"arn:...","awsRegion":"us-east-2","eventSourceARN":"arn:..."}]}
//
// and with a tumbling window, after Records:
//
//	"window":{"start":"2020-12-09T07:04:00Z","end":"2020-12-09T07:06:00Z"},"state":{},"shardId":"...",
//	"eventSourceARN":"...","isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}
type eventFormat struct {
	eventID string // what stands between a timestamp and an eventID's sequence number
	rest    string // what follows it
	window  string // what follows a window's state
}

const (
	beforeKey      = `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":`
	beforeSequence = `,"sequenceNumber":"`
	beforeData     = `","data":"`
	beforeArrival  = `","approximateArrivalTimestamp":`
	beforeRecords  = `{"Records":[`
	beforeWindow   = `],"window":{"start":"`
	beforeEnd      = `","end":"`
	beforeState    = `"},"state":`
	beforeEarly    = `,"isWindowTerminatedEarly":`
	windowTime     = "2006-01-02T15:04:05Z"
)

func newEventFormat(cfg *Config, shard ShardID) *eventFormat {
	source := string(appendQuoted(nil, cfg.eventSourceARN()))
	id := appendQuoted(nil, string(shard))
	f := &eventFormat{
		eventID: `},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":` + string(id[:len(id)-1]) + `:`,
		rest: `","eventName":"aws:kinesis:record","invokeIdentityArn":` + string(appendQuoted(nil, cfg.InvokeIdentityARN)) +
			`,"awsRegion":` + string(appendQuoted(nil, cfg.Region)) + `,"eventSourceARN":` + source + `}`,
		window: `,"shardId":` + string(id) + `,"eventSourceARN":` + source + `,"isFinalInvokeForWindow":`,
	}
	return f
}

func (cfg *Config) eventSourceARN() string {
	if cfg.ConsumerARN != "" {
		return cfg.ConsumerARN
	}
	return cfg.StreamARN
}

// recordSize is how long a record is in an event, with the comma before the next.
func (f *eventFormat) recordSize(r *Record) int {
	return len(beforeKey) + quotedSize(r.PartitionKey) + len(beforeSequence) + len(r.SequenceNumber) +
		len(beforeData) + base64.StdEncoding.EncodedLen(len(r.Data)) + len(beforeArrival) + secondsSize(r.Arrival) +
		len(f.eventID) + len(r.SequenceNumber) + len(f.rest) + 1
}

// frameSize is how long an event is without its records.
func (f *eventFormat) frameSize(w *Window) int {
	if w == nil {
		return len(beforeRecords) + len("]}")
	}
	return len(beforeRecords) + len(beforeWindow) + len(beforeEnd) + 2*len(windowTime) + len(beforeState) +
		max(len(w.State), len("{}")) + len(f.window) + len(beforeEarly) + len("false")*2 + len("}")
}

// size is how long an event is, at most.
func (f *eventFormat) size(records []pending, inv invocation) int {
	size := f.frameSize(inv.window)
	for i := range records {
		size += records[i].size
	}
	return size
}

// invocation is what an event says beside its records; its window is nil where the mapping has none.
type invocation struct {
	window *Window
	final  bool // isFinalInvokeForWindow
	early  bool // isWindowTerminatedEarly
}

// append appends an event.
func (f *eventFormat) append(dst []byte, records []pending, inv invocation) []byte {
	dst = append(dst, beforeRecords...)
	for i := range records {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = f.appendRecord(dst, &records[i].Record)
	}
	w := inv.window
	if w == nil {
		return append(dst, "]}"...)
	}
	dst = append(dst, beforeWindow...)
	dst = w.Start.UTC().AppendFormat(dst, windowTime)
	dst = append(dst, beforeEnd...)
	dst = w.End.UTC().AppendFormat(dst, windowTime)
	dst = append(dst, beforeState...)
	if len(w.State) == 0 {
		dst = append(dst, "{}"...)
	}
	dst = append(dst, w.State...)
	dst = append(dst, f.window...)
	dst = strconv.AppendBool(dst, inv.final)
	dst = append(dst, beforeEarly...)
	dst = strconv.AppendBool(dst, inv.early)
	return append(dst, '}')
}

func (f *eventFormat) appendRecord(dst []byte, r *Record) []byte {
	dst = append(dst, beforeKey...)
	dst = appendQuoted(dst, r.PartitionKey)
	dst = append(dst, beforeSequence...)
	dst = append(dst, r.SequenceNumber...)
	dst = append(dst, beforeData...)
	dst = base64.StdEncoding.AppendEncode(dst, r.Data)
	dst = append(dst, beforeArrival...)
	dst = appendSeconds(dst, r.Arrival)
	dst = append(dst, f.eventID...)
	dst = append(dst, r.SequenceNumber...)
	return append(dst, f.rest...)
}

// appendSeconds appends a time as seconds with three digits of fraction.
func appendSeconds(dst []byte, t time.Time) []byte {
	ms := max(0, t.UnixMilli())
	dst = strconv.AppendInt(dst, ms/1000, 10)
	ms %= 1000
	return append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

func secondsSize(t time.Time) int {
	size := len("0.000")
	for s := max(0, t.Unix()); s >= 10; s /= 10 {
		size++
	}
	return size
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}

// quotedSize is how much appendQuoted appends.
func quotedSize(s string) int {
	size := 2
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			size += 2
		case c < ' ':
			size += 6
		case c < utf8.RuneSelf:
			size++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			size += utf8.RuneLen(r)
			i += n
			continue
		}
		i++
	}
	return size
}
