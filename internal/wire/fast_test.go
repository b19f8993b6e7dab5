package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// compareDecoders checks that a fast decoder, where it takes a body, makes of it
// what the general one does. It returns whether it took it.
func compareDecoders(t *testing.T, name string, body []byte,
	fast func([]byte, any) bool, general func(*api.Op, []byte, any) error) bool {
	op := kinesis.Service.Op(name)
	have, want := op.NewInput(), op.NewInput()
	if !fast(body, have) {
		if !reflect.ValueOf(have).Elem().IsZero() {
			t.Errorf("%s: %q was given up with something done", name, body)
		}
		return false
	}
	if err := general(op, body, want); err != nil {
		t.Errorf("%s: the fast decoder takes %q, for the general one it is: %v", name, body, err)
	} else if !reflect.DeepEqual(have, want) {
		t.Errorf("%s: of %q the fast decoder makes\n %s, the general one\n %s", name, body,
			appendJSON(nil, nil, op.Input, reflect.ValueOf(have).Elem()), appendJSON(nil, nil, op.Input, reflect.ValueOf(want).Elem()))
	}
	return true
}

func generalJSON(op *api.Op, body []byte, in any) error {
	return decodeJSON(op.Input, body, reflect.ValueOf(in).Elem())
}

func generalCBOR(op *api.Op, body []byte, in any) error {
	return decodeCBOR(op.Input, body, reflect.ValueOf(in).Elem(), true)
}

// TestFastJSON: what SDKs send is taken, and what is unusual is left alone.
func TestFastJSON(t *testing.T) {
	for _, c := range []struct {
		op, body string
		taken    bool
	}{
		{"PutRecords", `{"StreamName":"s","Records":[{"Data":"YWJj","PartitionKey":"k"},{"Data":"","PartitionKey":"é","ExplicitHashKey":"1"}]}`, true},
		{"PutRecords", " {\n\"Records\" : [ { \"PartitionKey\" : \"k\" , \"Data\" : \"YQ==\" } ] ,\"StreamARN\":\"arn\",\"StreamId\":\"i\" } \n", true},
		{"PutRecords", `{"Records":[]}`, true},
		{"PutRecords", `{}`, true},
		{"PutRecords", ``, false},
		{"PutRecords", `{"Records":null}`, false},
		{"PutRecords", `{"Records":[null]}`, false},
		{"PutRecords", `{"Records":[{}],"Records":[]}`, false},
		{"PutRecords", `{"Records":[{"Data":"YWJj\n"}]}`, false},
		{"PutRecords", "{\"Records\":[{\"Data\":\"YW\nJjYWJ\r\"}]}", false},
		{"PutRecords", `{"Records":[{"Data":"YWI="},{"Data":"YWI"}]}`, false},
		{"PutRecords", `{"Records":[{"Data":"YWJ="}]}`, false}, // a last character with bits that do not count
		{"PutRecords", `{"Records":[{"Data":"===="}]}`, false},
		{"PutRecords", `{"Records":[{"Data":"YWJj","Other":1}]}`, false},
		{"PutRecords", `{"Records":[{"Data":"YWJj"}],"DryRun":true}`, false},
		{"PutRecords", `{"Records":[{"Data":"YWJj"},]}`, false},
		{"PutRecords", `{"Records":[{"Data":"YWJj"}]} x`, false},
		{"PutRecords", "{\"StreamName\":\"\xff\"}", false},
		{"PutRecords", `{"Records":[` + strings.Repeat(`{},`, 500) + `{}]}`, false},
		{"PutRecord", `{"StreamName":"s","Data":"YWJj","PartitionKey":"k","SequenceNumberForOrdering":"1","ExplicitHashKey":"0"}`, true},
		{"PutRecord", `{"StreamName":"s","Data":"YWJj","Data":"YWJj"}`, false},
		{"PutRecord", `{"StreamName":"s\u0041"}`, false},
	} {
		if taken := compareDecoders(t, c.op, []byte(c.body), fastDecodeJSON, generalJSON); taken != c.taken {
			t.Errorf("%s: taken is %t, want %t: %.200s", c.op, taken, c.taken, c.body)
		}
	}
}

func TestFastCBOR(t *testing.T) {
	records := []any{map[string]any{"Data": []byte("abc"), "PartitionKey": "k"}, map[string]any{"Data": []byte{}, "ExplicitHashKey": "1"}}
	for _, c := range []struct {
		op    string
		body  any
		taken bool
	}{
		{"PutRecords", map[string]any{"StreamName": "s", "Records": records}, true},
		{"PutRecords", map[string]any{"StreamName": "s", "Records": records, "DryRun": true}, false},
		{"PutRecords", map[string]any{"Records": nil}, false},
		{"PutRecords", map[string]any{"Records": []any{}}, true},
		{"PutRecord", map[string]any{"StreamName": "s", "Data": []byte("abc"), "PartitionKey": "k"}, true},
		{"PutRecord", map[string]any{"StreamName": "s", "Data": "abc"}, false},
		{"PutRecord", []any{}, false},
	} {
		if taken := compareDecoders(t, c.op, encode(t, c.body), fastDecodeCBOR, generalCBOR); taken != c.taken {
			t.Errorf("%s: taken is %t, want %t: %v", c.op, taken, c.taken, c.body)
		}
	}
}

func FuzzFastJSON(f *testing.F) {
	f.Add([]byte(`{"StreamName":"s","Records":[{"Data":"YWJj","PartitionKey":"k"},{"Data":"","PartitionKey":"é"}]}`))
	f.Add([]byte(`{"StreamName":"s","Data":"YWJj","PartitionKey":"k","SequenceNumberForOrdering":"1"}`))
	f.Add([]byte("{\"Records\":[{\"Data\":\"YW\nJjYWJ\r\"}],\"StreamId\":\"\\u0000\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		compareDecoders(t, "PutRecords", body, fastDecodeJSON, generalJSON)
		compareDecoders(t, "PutRecord", body, fastDecodeJSON, generalJSON)
	})
}

func FuzzFastCBOR(f *testing.F) {
	f.Add(encode(f, map[string]any{"StreamName": "s", "Records": []any{map[string]any{"Data": []byte("abc"), "PartitionKey": "k"}}}))
	f.Add(encode(f, map[string]any{"StreamName": "s", "Data": []byte("abc"), "PartitionKey": "k"}))
	f.Add([]byte("\xbf\x67Records\x9f\xbf\x64Data\x5f\x41a\x41b\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		compareDecoders(t, "PutRecords", body, fastDecodeCBOR, generalCBOR)
		compareDecoders(t, "PutRecord", body, fastDecodeCBOR, generalCBOR)
	})
}

// FuzzFastEncode compares the outputs of the fast and the general encoders.
func FuzzFastEncode(f *testing.F) {
	f.Add("k", []byte("data"), int64(1700000000123), "49590338271490256608559692538361571095921575989136588898", uint8(0xff))
	f.Add("\xff\u2028\"", []byte{}, int64(-1500), "", uint8(0x55))
	f.Fuzz(func(t *testing.T, key string, data []byte, millis int64, sequence string, has uint8) {
		at := time.UnixMilli(millis % (1 << 50))
		r := kinesis.Record{}
		if has&1 != 0 {
			r.Data, r.PartitionKey = data, &key
		}
		if has&2 != 0 {
			r.ApproximateArrivalTimestamp, r.SequenceNumber = &at, &sequence
		}
		if has&4 != 0 {
			r.EncryptionType = kinesis.EncryptionType(key)
		}
		get := &kinesis.GetRecordsOutput{}
		event := &kinesis.SubscribeToShardEvent{}
		put := &kinesis.PutRecordsOutput{EncryptionType: r.EncryptionType}
		if has&8 != 0 {
			get.Records, event.Records = []kinesis.Record{r, {}, r}, []kinesis.Record{r}
			put.Records = []kinesis.PutRecordsResultEntry{{SequenceNumber: &sequence, ShardId: &key}, {ErrorCode: &key}, {}}
		}
		if has&16 != 0 {
			get.NextShardIterator, event.ContinuationSequenceNumber = &key, &sequence
		}
		if has&32 != 0 {
			failed := int32(millis)
			get.MillisBehindLatest, event.MillisBehindLatest, put.FailedRecordCount = &millis, &millis, &failed
		}
		if has&64 != 0 {
			children := []kinesis.ChildShard{{ShardId: &key, ParentShards: []string{sequence}, HashKeyRange: &kinesis.HashKeyRange{StartingHashKey: &sequence}}}
			get.ChildShards, event.ChildShards = children, children
		}
		union := kinesis.Service.Op("SubscribeToShard").Output.Members[0].Shape
		for _, c := range []struct {
			out   any
			shape *api.Shape
		}{
			{get, kinesis.Service.Op("GetRecords").Output},
			{event, union.Members[0].Shape},
			{put, kinesis.Service.Op("PutRecords").Output},
		} {
			v := reflect.ValueOf(c.out).Elem()
			fast, ok := fastEncodeJSON(nil, c.out)
			if general := appendJSON(nil, nil, c.shape, v); !ok || !bytes.Equal(fast, general) {
				t.Errorf("JSON: fast\n %s, general\n %s", fast, general)
			}
			fast, ok = fastEncodeCBOR(nil, c.out)
			if general := appendCBOR(nil, c.shape, v, true); !ok || !bytes.Equal(fast, general) {
				t.Errorf("CBOR: fast\n %x, general\n %x", fast, general)
			}
		}
	})
}

func putRecordsBodies(b *testing.B, records, size int) (asJSON, asCBOR []byte) {
	data := bytes.Repeat([]byte{0xa5, 0x1f, 0x93}, size/3+1)[:size]
	var list, plain []any
	for i := range records {
		key := fmt.Sprintf("key-%08d", i)
		list = append(list, map[string]any{"Data": base64.StdEncoding.EncodeToString(data), "PartitionKey": key})
		plain = append(plain, map[string]any{"Data": data, "PartitionKey": key})
	}
	asJSON, _ = json.Marshal(map[string]any{"StreamName": "bench", "Records": list})
	return asJSON, encode(b, map[string]any{"StreamName": "bench", "Records": plain})
}

// BenchmarkPutRecords compares decoders with the work that nobody can avoid: the
// SHA-256 of the body that the signature covers, and the decoding of base64.
func BenchmarkPutRecords(b *testing.B) {
	for _, size := range []int{100, 1024} {
		asJSON, asCBOR := putRecordsBodies(b, 500, size)
		run := func(name string, body []byte, f func([]byte, any) bool) {
			b.Run(fmt.Sprintf("%s/500x%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if !f(body, new(kinesis.PutRecordsInput)) {
						b.Fatal("not taken")
					}
				}
			})
		}
		op := kinesis.Service.Op("PutRecords")
		buf := make([]byte, len(asJSON))
		encoded := []byte(base64.StdEncoding.EncodeToString(make([]byte, len(asJSON)*3/4)))
		run("limit-sha256+base64", asJSON, func(body []byte, _ any) bool {
			sha256.Sum256(body)
			_, err := base64.StdEncoding.Decode(buf, encoded)
			return err == nil
		})
		run("json-fast", asJSON, fastDecodeJSON)
		run("json-general", asJSON, func(body []byte, in any) bool { return generalJSON(op, body, in) == nil })
		run("cbor-fast", asCBOR, fastDecodeCBOR)
		run("cbor-general", asCBOR, func(body []byte, in any) bool { return generalCBOR(op, body, in) == nil })
		in := new(kinesis.PutRecordsInput)
		fastDecodeJSON(asJSON, in)
		run("validate", asJSON, func([]byte, any) bool { return Validate(op, in) == nil })
	}
}

func BenchmarkGetRecords(b *testing.B) {
	for _, size := range []int{100, 1024} {
		out := &kinesis.GetRecordsOutput{}
		at, sequence, key := time.Now(), "49590338271490256608559692538361571095921575989136588898", "key-00000001"
		for range 1000 {
			out.Records = append(out.Records, kinesis.Record{ApproximateArrivalTimestamp: &at, Data: make([]byte, size),
				SequenceNumber: &sequence, PartitionKey: &key})
		}
		v := reflect.ValueOf(out).Elem()
		shape := kinesis.Service.Op("GetRecords").Output
		all := make([]byte, 1000*size)
		dst := make([]byte, 0, 4<<20)
		run := func(name string, f func()) {
			b.Run(fmt.Sprintf("%s/1000x%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(len(all)))
				b.ReportAllocs()
				for b.Loop() {
					f()
				}
			})
		}
		run("limit-base64", func() { base64.StdEncoding.AppendEncode(dst, all) })
		run("json-fast", func() { fastEncodeJSON(dst, out) })
		run("json-general", func() { appendJSON(dst, nil, shape, v) })
		run("cbor-fast", func() { fastEncodeCBOR(dst, out) })
		run("cbor-general", func() { appendCBOR(dst, shape, v, true) })
	}
}
