package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/fxamacker/cbor/v2"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// TestEventStream: the SDK's decoder reads a whole stream of ours, in both codecs.
func TestEventStream(t *testing.T) {
	for _, codec := range []Codec{JSON{"1.1"}, CBOR{}} {
		w := EventWriter{codec, kinesis.Service.Op("SubscribeToShard")}
		b := w.AppendInitial(nil, &kinesis.SubscribeToShardOutput{})
		b, err := w.AppendEvent(b, &kinesis.SubscribeToShardEvent{MillisBehindLatest: new(int64(0)), ContinuationSequenceNumber: new("1")})
		if err != nil {
			t.Fatal(err)
		}
		b = w.AppendError(b, api.Errorf("ResourceInUseException", "taken over"))
		b = w.AppendError(b, api.Errorf("ThrottlingException", "not of this stream"))
		if _, err := w.AppendEvent(nil, &kinesis.PutRecordInput{}); err == nil {
			t.Error("an event of another operation was taken")
		}
		var have []string
		r, d := bytes.NewReader(b), eventstream.NewDecoder()
		for r.Len() > 0 {
			m, err := d.Decode(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			line := ""
			for _, h := range m.Headers {
				line += fmt.Sprintf("%s=%s ", h.Name, h.Value)
			}
			var payload map[string]any
			if len(m.Payload) > 0 {
				if codec.contentType() == cborType {
					err = cbor.Unmarshal(m.Payload, &payload)
				} else {
					err = json.Unmarshal(m.Payload, &payload)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			have = append(have, line+fmt.Sprint(payload))
		}
		ct := codec.contentType()
		want := []string{
			":message-type=event :event-type=initial-response :content-type=" + ct + " map[]",
			":message-type=event :event-type=SubscribeToShardEvent :content-type=" + ct + " map[ContinuationSequenceNumber:1 MillisBehindLatest:0 Records:[]]",
			":message-type=exception :exception-type=ResourceInUseException :content-type=" + ct + " map[__type:ResourceInUseException message:taken over]",
			":message-type=error :error-code=ThrottlingException :error-message=not of this stream map[]",
		}
		if !slices.Equal(have, want) {
			t.Errorf("messages are\n %q, want\n %q", have, want)
		}
		// And our own reader, for our own client.
		own := bytes.NewReader(b)
		for i := range want {
			if _, err := ReadMessage(own); err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		if _, err := ReadMessage(own); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
	}
}

// FuzzEventStream compares our reader with the SDK's: both take or both refuse,
// and read the same.
func FuzzEventStream(f *testing.F) {
	w := EventWriter{JSON{"1.1"}, kinesis.Service.Op("SubscribeToShard")}
	f.Add(w.AppendInitial(nil, &kinesis.SubscribeToShardOutput{}))
	f.Add(w.AppendError(nil, api.Errorf("ResourceInUseException", "x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		have, err := ReadMessage(bytes.NewReader(b))
		want, sdkErr := eventstream.NewDecoder().Decode(bytes.NewReader(b), nil)
		if err != nil {
			if errors.Is(err, io.EOF) && len(b) > 0 {
				t.Error("damage was taken for the end")
			}
			return // we also bound what the SDK does not
		}
		if sdkErr != nil {
			t.Fatalf("the SDK refuses what we read: %v", sdkErr)
		}
		headers := map[string]string{}
		for _, h := range want.Headers {
			if v, ok := h.Value.(eventstream.StringValue); ok {
				headers[h.Name] = string(v)
			}
		}
		if !bytes.Equal(have.Payload, want.Payload) || !maps.Equal(have.Headers, headers) {
			t.Errorf("read %v, the SDK %v", have, want)
		}
	})
}
