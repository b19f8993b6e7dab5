package wire

import "reflect"

// The hot path: PutRecord(s), GetRecords and fan-out have codecs written by hand.
// A decoder says false at anything unusual, and leaves the request to the general
// codec, which also knows what to say about it. Both agree on everything that the
// fast one takes; a fuzz test compares them.
var (
	fastJSONDecode = map[reflect.Type]func(body []byte, in any) bool{}
	fastCBORDecode = map[reflect.Type]func(body []byte, in any) bool{}
	fastJSONEncode = map[reflect.Type]func(dst []byte, out any) []byte{}
	fastCBOREncode = map[reflect.Type]func(dst []byte, out any) []byte{}
)
