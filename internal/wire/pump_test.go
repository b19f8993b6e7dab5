package wire

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
)

const subscribeBody = `{"ConsumerARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1","ShardId":"shardId-000000000000","StartingPosition":{"Type":"LATEST"}}`

func overBoth(t *testing.T, test func(t *testing.T, transport *http.Transport)) {
	prior := new(http.Protocols)
	prior.SetUnencryptedHTTP2(true)
	for name, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2": {Protocols: prior}} {
		t.Run(name, func(t *testing.T) {
			defer transport.CloseIdleConnections()
			test(t, transport)
		})
	}
}

// subscribe calls SubscribeToShard and reads its initial response.
func subscribe(t *testing.T, transport *http.Transport, server *Server) *http.Response {
	t.Helper()
	resp, err := (&http.Client{Transport: transport}).Do(request("http://"+server.Addr().String()+"/", "SubscribeToShard", subscribeBody))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/vnd.amazon.eventstream" || len(resp.Header.Get("X-Amzn-Requestid")) != 36 {
		t.Fatalf("%s %v %s", resp.Status, resp.Header, readAll(t, resp))
	}
	m := message(t, resp.Body)
	if m.Headers[":message-type"] != "event" || m.Headers[":event-type"] != "initial-response" || string(m.Payload) != "{}" {
		t.Fatalf("the first message is %v %s", m.Headers, m.Payload)
	}
	return resp
}

func message(t *testing.T, r io.Reader) *Message {
	t.Helper()
	m, err := ReadMessage(r)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSubscribeToShard is rule T8: events over HTTP/1.1 and HTTP/2, the initial
// response first, each event at once (the next is not there yet).
func TestSubscribeToShard(t *testing.T) {
	overBoth(t, func(t *testing.T, transport *http.Transport) {
		h, s := testHandler(t, nil)
		server, _ := startServer(t, h, nil)
		resp := subscribe(t, transport, server)
		for _, sequence := range []string{"1", "2", "3"} {
			s.events <- event(sequence)
			m := message(t, resp.Body)
			var e struct {
				ContinuationSequenceNumber string
				Records                    []struct{ Data []byte }
			}
			if err := json.Unmarshal(m.Payload, &e); err != nil || m.Headers[":event-type"] != "SubscribeToShardEvent" ||
				m.Headers[":content-type"] != "application/x-amz-json-1.1" || e.ContinuationSequenceNumber != sequence || string(e.Records[0].Data) != "data "+sequence {
				t.Fatalf("%v %s", m.Headers, m.Payload)
			}
		}
		close(s.events)
		if rest := readAll(t, resp); rest != "" {
			t.Fatalf("after the end: %q", rest)
		}
		<-s.ended
		if used := h.Memory.Used(); used != 0 && len(s.ended) == 0 {
			t.Logf("%d bytes are still taken by the request that is just ending", used)
		}
	})
}

// TestSubscriptionErrors: after the status line an error is an exception in the
// stream, and one of ours says nothing of its reason.
func TestSubscriptionErrors(t *testing.T) {
	for _, tt := range []struct {
		err     error
		kind    string
		headers map[string]string
		payload string
	}{
		{api.Errorf("ResourceNotFoundException", "gone"), "exception", map[string]string{":exception-type": "ResourceNotFoundException"}, `{"__type":"ResourceNotFoundException","message":"gone"}`},
		{errors.New("cannot read segment 7"), "error", map[string]string{":error-code": "InternalFailure"}, ""},
	} {
		h, s := testHandler(t, nil)
		server, _ := startServer(t, h, nil)
		resp := subscribe(t, &http.Transport{DisableKeepAlives: true}, server)
		s.events <- tt.err
		m := message(t, resp.Body)
		if m.Headers[":message-type"] != tt.kind || string(m.Payload) != tt.payload || strings.Contains(m.Headers[":error-message"], "segment") {
			t.Errorf("%v: %v %s", tt.err, m.Headers, m.Payload)
		}
		for name, value := range tt.headers {
			if m.Headers[name] != value {
				t.Errorf("%v: %v", tt.err, m.Headers)
			}
		}
		if rest := readAll(t, resp); rest != "" {
			t.Errorf("after the error: %q", rest)
		}
		<-s.ended
	}
}

// TestSubscriberLeaves: the events end when nobody listens any more, though there are none to send.
func TestSubscriberLeaves(t *testing.T) {
	overBoth(t, func(t *testing.T, transport *http.Transport) {
		h, s := testHandler(t, nil)
		server, _ := startServer(t, h, nil)
		resp := subscribe(t, transport, server)
		resp.Body.Close()
		transport.CloseIdleConnections()
		<-s.ended
	})
}

// TestDrain: a stopping server ends its streams in order, and does not wait for them.
func TestDrain(t *testing.T) {
	overBoth(t, func(t *testing.T, transport *http.Transport) {
		h, s := testHandler(t, nil)
		server, _ := startServer(t, h, nil)
		resp := subscribe(t, transport, server)
		h.Drain()
		if rest := readAll(t, resp); rest != "" {
			t.Fatalf("after the end: %q", rest)
		}
		<-s.ended
		if err := server.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
