package wire

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// A scanner passes once over a JSON text of the form that SDKs send.
type scanner struct {
	b    []byte
	i    int
	data []byte // where base64 is decoded to; one buffer for all records of a request
}

// next skips white space and returns the next byte without taking it; 0 at the end.
func (s *scanner) next() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\n', '\r', '\t':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// take takes the next byte if it is c.
func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.i++
	return true
}

// quoted takes a string and returns what stands between its quotes, unchecked.
func (s *scanner) quoted() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	n := bytes.IndexByte(s.b[s.i:], '"')
	if n < 0 {
		return nil, false
	}
	text := s.b[s.i : s.i+n]
	s.i += n + 1
	return text, true
}

// text takes a string that stands for itself: UTF-8 without escapes.
func (s *scanner) text() ([]byte, bool) {
	text, ok := s.quoted()
	ascii := true
	for _, c := range text {
		if c < 0x20 || c == '\\' {
			return nil, false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return text, ok && (ascii || utf8.Valid(text))
}

// blob takes a string of strict base64. An escape or a line break is no base64.
func (s *scanner) blob() ([]byte, bool) {
	text, ok := s.quoted()
	if !ok || len(text)%4 != 0 {
		return nil, false
	}
	if s.data == nil {
		s.data = make([]byte, 0, base64.StdEncoding.DecodedLen(len(s.b)-s.i+len(text)+4))
	}
	n := len(text) / 4 * 3
	if n > 0 && text[len(text)-1] == '=' {
		n--
		if text[len(text)-2] == '=' {
			n--
		}
	}
	start := len(s.data)
	dst := s.data[start:cap(s.data)]
	got, err := vectorBase64.Decode(dst, text)
	if err != nil || got != n { // fewer bytes: the decoder has passed over a line break
		return nil, false
	}
	s.data = s.data[:start+n]
	return s.data[start : start+n : start+n], true
}

// object takes an object; member takes the value of each of its members.
func (s *scanner) object(member func(name []byte) bool) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		name, ok := s.quoted()
		if !ok || !s.take(':') || !member(name) {
			return false
		}
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) end() bool { return s.next() == 0 && s.i == len(s.b) }

func decodePutRecordsJSON(body []byte, in *kinesis.PutRecordsInput) bool {
	s := &scanner{b: body}
	var got kinesis.PutRecordsInput
	var t texts
	ok := s.object(func(name []byte) bool {
		m := putMemberOf(name)
		if m == memberRecords && got.Records == nil {
			return s.entries(&got.Records, &t)
		}
		to := textOfPutRecords(&got, m)
		if to == nil {
			return false
		}
		text, ok := s.text()
		return ok && t.add(to, text)
	})
	if !ok || !s.end() {
		return false
	}
	t.set()
	*in = got
	return true
}

func (s *scanner) entries(to *[]kinesis.PutRecordsRequestEntry, t *texts) bool {
	if !s.take('[') {
		return false
	}
	// The entries must not move once t points into them.
	list := make([]kinesis.PutRecordsRequestEntry, 0, min(putRecordsMax, 1+bytes.Count(s.b[s.i:], []byte{'{'})))
	for first := true; !s.take(']'); first = false {
		if !first && !s.take(',') || len(list) == cap(list) {
			return false
		}
		list = append(list, kinesis.PutRecordsRequestEntry{})
		e := &list[len(list)-1]
		ok := s.object(func(name []byte) bool {
			m := putMemberOf(name)
			if m == memberData && e.Data == nil {
				data, ok := s.blob()
				e.Data = data
				return ok
			}
			to := textOfEntry(e, m)
			if to == nil {
				return false
			}
			text, ok := s.text()
			return ok && t.add(to, text)
		})
		if !ok {
			return false
		}
	}
	*to = list
	return true
}

func decodePutRecordJSON(body []byte, in *kinesis.PutRecordInput) bool {
	s := &scanner{b: body}
	var got kinesis.PutRecordInput
	var t texts
	ok := s.object(func(name []byte) bool {
		m := putMemberOf(name)
		if m == memberData && got.Data == nil {
			data, ok := s.blob()
			got.Data = data
			return ok
		}
		to := textOfPutRecord(&got, m)
		if to == nil {
			return false
		}
		text, ok := s.text()
		return ok && t.add(to, text)
	})
	if !ok || !s.end() {
		return false
	}
	t.set()
	*in = got
	return true
}

// An object in the making: dst ends with its "{" or its last member.
func member(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(append(append(dst, '"'), name...), `":`...)
	return dst
}

func textMember(dst []byte, name string, s *string) []byte {
	if s == nil {
		return dst
	}
	return appendText(member(dst, name), *s)
}

func appendText(dst []byte, s string) []byte {
	if isPlain(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	return appendQuoted(dst, s)
}

func appendRecordsJSON(dst []byte, records []kinesis.Record) []byte {
	dst = append(dst, '[')
	for i := range records {
		r := &records[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = textMember(dst, "SequenceNumber", r.SequenceNumber)
		if r.ApproximateArrivalTimestamp != nil {
			dst = appendSeconds(member(dst, "ApproximateArrivalTimestamp"), *r.ApproximateArrivalTimestamp)
		}
		if r.Data != nil {
			dst = append(member(dst, "Data"), '"')
			dst = append(appendBase64(dst, r.Data), '"')
		}
		dst = textMember(dst, "PartitionKey", r.PartitionKey)
		if r.EncryptionType != "" {
			dst = appendText(member(dst, "EncryptionType"), string(r.EncryptionType))
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendGetRecordsJSON(dst []byte, out *kinesis.GetRecordsOutput) []byte {
	dst = slices.Grow(dst, sizeOf(out.Records))
	dst = append(dst, '{')
	dst = appendRecordsJSON(member(dst, "Records"), out.Records)
	dst = textMember(dst, "NextShardIterator", out.NextShardIterator)
	return append(appendTipJSON(dst, out.MillisBehindLatest, out.ChildShards), '}')
}

func appendEventJSON(dst []byte, e *kinesis.SubscribeToShardEvent) []byte {
	dst = slices.Grow(dst, sizeOf(e.Records))
	dst = append(dst, '{')
	dst = appendRecordsJSON(member(dst, "Records"), e.Records)
	dst = textMember(dst, "ContinuationSequenceNumber", e.ContinuationSequenceNumber)
	return append(appendTipJSON(dst, e.MillisBehindLatest, e.ChildShards), '}')
}

// appendTipJSON writes what both outputs end with.
func appendTipJSON(dst []byte, millisBehind *int64, children []kinesis.ChildShard) []byte {
	if millisBehind != nil {
		dst = strconv.AppendInt(member(dst, "MillisBehindLatest"), *millisBehind, 10)
	}
	if children != nil {
		dst = appendJSON(member(dst, "ChildShards"), nil, childShards, reflect.ValueOf(children))
	}
	return dst
}

func appendPutRecordsJSON(dst []byte, out *kinesis.PutRecordsOutput) []byte {
	dst = slices.Grow(dst, 128+160*len(out.Records))
	dst = append(dst, '{')
	if out.FailedRecordCount != nil {
		dst = strconv.AppendInt(member(dst, "FailedRecordCount"), int64(*out.FailedRecordCount), 10)
	}
	dst = append(member(dst, "Records"), '[')
	for i := range out.Records {
		r := &out.Records[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = textMember(dst, "SequenceNumber", r.SequenceNumber)
		dst = textMember(dst, "ShardId", r.ShardId)
		dst = textMember(dst, "ErrorCode", r.ErrorCode)
		dst = textMember(dst, "ErrorMessage", r.ErrorMessage)
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	if out.EncryptionType != "" {
		dst = appendText(member(dst, "EncryptionType"), string(out.EncryptionType))
	}
	return append(dst, '}')
}
