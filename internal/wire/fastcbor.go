package wire

import (
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// container takes the head of a list or map; ok is false if the next item is
// another.
func (r *cborReader) container(major byte) (n uint64, ok bool) {
	got, n, err := r.head()
	return n, err == nil && got == major
}

// fields takes a map; member takes the value of each of its members.
func (r *cborReader) fields(member func(name []byte) bool) bool {
	n, ok := r.container(cborMap)
	if !ok {
		return false
	}
	for {
		more, err := r.more(&n)
		if err != nil || !more {
			return err == nil
		}
		name, err := r.name()
		if err != nil || !member(name) {
			return false
		}
	}
}

// plainText takes a text string of valid UTF-8.
func (r *cborReader) plainText() ([]byte, bool) {
	major, n, err := r.head()
	if err != nil || major != cborText {
		return nil, false
	}
	b, err := r.bytes(major, n)
	return b, err == nil && utf8.Valid(b)
}

// blob takes a byte string, which stays where it is.
func (r *cborReader) blob() ([]byte, bool) {
	major, n, err := r.head()
	if err != nil || major != cborBytes {
		return nil, false
	}
	b, err := r.bytes(major, n)
	return b, err == nil
}

func decodePutRecordsCBOR(body []byte, in *kinesis.PutRecordsInput) bool {
	r := &cborReader{b: body, millis: true}
	var got kinesis.PutRecordsInput
	var t texts
	ok := r.fields(func(name []byte) bool {
		m := putMemberOf(name)
		if m == memberRecords && got.Records == nil {
			return r.entries(&got.Records, &t)
		}
		to := textOfPutRecords(&got, m)
		if to == nil {
			return false
		}
		text, ok := r.plainText()
		return ok && t.add(to, text)
	})
	if !ok || len(r.b) > 0 {
		return false
	}
	t.set()
	*in = got
	return true
}

func (r *cborReader) entries(to *[]kinesis.PutRecordsRequestEntry, t *texts) bool {
	n, ok := r.container(cborArray)
	if !ok || n != cborIndefinite && n > putRecordsMax {
		return false
	}
	// The entries must not move once t points into them.
	list := make([]kinesis.PutRecordsRequestEntry, 0, min(n, putRecordsMax, uint64(len(r.b))))
	for {
		more, err := r.more(&n)
		if err != nil {
			return false
		}
		if !more {
			*to = list
			return true
		}
		if len(list) == cap(list) {
			return false
		}
		list = append(list, kinesis.PutRecordsRequestEntry{})
		e := &list[len(list)-1]
		ok := r.fields(func(name []byte) bool {
			m := putMemberOf(name)
			if m == memberData && e.Data == nil {
				data, ok := r.blob()
				e.Data = data
				return ok
			}
			to := textOfEntry(e, m)
			if to == nil {
				return false
			}
			text, ok := r.plainText()
			return ok && t.add(to, text)
		})
		if !ok {
			return false
		}
	}
}

func decodePutRecordCBOR(body []byte, in *kinesis.PutRecordInput) bool {
	r := &cborReader{b: body, millis: true}
	var got kinesis.PutRecordInput
	var t texts
	ok := r.fields(func(name []byte) bool {
		m := putMemberOf(name)
		if m == memberData && got.Data == nil {
			data, ok := r.blob()
			got.Data = data
			return ok
		}
		to := textOfPutRecord(&got, m)
		if to == nil {
			return false
		}
		text, ok := r.plainText()
		return ok && t.add(to, text)
	})
	if !ok || len(r.b) > 0 {
		return false
	}
	t.set()
	*in = got
	return true
}

// A field of a map in the making; present says which there are, in their order.
func textField(dst []byte, name string, s *string) []byte {
	if s == nil {
		return dst
	}
	return appendCBORText(appendCBORText(dst, name), *s)
}

func count(present ...bool) (n uint64) {
	for _, p := range present {
		if p {
			n++
		}
	}
	return n
}

func appendRecordsCBOR(dst []byte, records []kinesis.Record) []byte {
	dst = appendHead(appendCBORText(dst, "Records"), cborArray, uint64(len(records)))
	for i := range records {
		r := &records[i]
		dst = appendHead(dst, cborMap, count(r.SequenceNumber != nil, r.ApproximateArrivalTimestamp != nil,
			r.Data != nil, r.PartitionKey != nil, r.EncryptionType != ""))
		dst = textField(dst, "SequenceNumber", r.SequenceNumber)
		if r.ApproximateArrivalTimestamp != nil {
			dst = appendCBORTime(appendCBORText(dst, "ApproximateArrivalTimestamp"), *r.ApproximateArrivalTimestamp, true)
		}
		if r.Data != nil {
			dst = append(appendHead(appendCBORText(dst, "Data"), cborBytes, uint64(len(r.Data))), r.Data...)
		}
		dst = textField(dst, "PartitionKey", r.PartitionKey)
		if r.EncryptionType != "" {
			dst = appendCBORText(appendCBORText(dst, "EncryptionType"), string(r.EncryptionType))
		}
	}
	return dst
}

func appendGetRecordsCBOR(dst []byte, out *kinesis.GetRecordsOutput) []byte {
	dst = slices.Grow(dst, sizeOf(out.Records))
	dst = appendHead(dst, cborMap, 1+count(out.NextShardIterator != nil, out.MillisBehindLatest != nil, out.ChildShards != nil))
	dst = appendRecordsCBOR(dst, out.Records)
	dst = textField(dst, "NextShardIterator", out.NextShardIterator)
	return appendTipCBOR(dst, out.MillisBehindLatest, out.ChildShards)
}

func appendEventCBOR(dst []byte, e *kinesis.SubscribeToShardEvent) []byte {
	dst = slices.Grow(dst, sizeOf(e.Records))
	dst = appendHead(dst, cborMap, 1+count(e.ContinuationSequenceNumber != nil, e.MillisBehindLatest != nil, e.ChildShards != nil))
	dst = appendRecordsCBOR(dst, e.Records)
	dst = textField(dst, "ContinuationSequenceNumber", e.ContinuationSequenceNumber)
	return appendTipCBOR(dst, e.MillisBehindLatest, e.ChildShards)
}

// appendTipCBOR writes what both outputs end with.
func appendTipCBOR(dst []byte, millisBehind *int64, children []kinesis.ChildShard) []byte {
	if millisBehind != nil {
		dst = appendCBORInt(appendCBORText(dst, "MillisBehindLatest"), *millisBehind)
	}
	if children != nil {
		dst = appendCBOR(appendCBORText(dst, "ChildShards"), childShards, reflect.ValueOf(children), true)
	}
	return dst
}

func appendPutRecordsCBOR(dst []byte, out *kinesis.PutRecordsOutput) []byte {
	dst = slices.Grow(dst, 128+160*len(out.Records))
	dst = appendHead(dst, cborMap, 1+count(out.FailedRecordCount != nil, out.EncryptionType != ""))
	if out.FailedRecordCount != nil {
		dst = appendCBORInt(appendCBORText(dst, "FailedRecordCount"), int64(*out.FailedRecordCount))
	}
	dst = appendHead(appendCBORText(dst, "Records"), cborArray, uint64(len(out.Records)))
	for i := range out.Records {
		r := &out.Records[i]
		dst = appendHead(dst, cborMap, count(r.SequenceNumber != nil, r.ShardId != nil, r.ErrorCode != nil, r.ErrorMessage != nil))
		dst = textField(dst, "SequenceNumber", r.SequenceNumber)
		dst = textField(dst, "ShardId", r.ShardId)
		dst = textField(dst, "ErrorCode", r.ErrorCode)
		dst = textField(dst, "ErrorMessage", r.ErrorMessage)
	}
	if out.EncryptionType != "" {
		dst = appendCBORText(appendCBORText(dst, "EncryptionType"), string(out.EncryptionType))
	}
	return dst
}
