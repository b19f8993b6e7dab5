package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"

	"github.com/rheostream/rheo/internal/api"
)

// An event stream is a response's body in messages:
//
//	total length u32 | length of headers u32 | CRC-32 of these 8 bytes
//	headers: length u8, name, 7 (string), length u16, value
//	payload
//	CRC-32 of all before it
//
// The first message is the event initial-response, whose payload is the output
// without the stream; SDKs wait for it. Then come events, whose payload is in the
// protocol's format, and at the end perhaps one exception.

const (
	eventStreamType = "application/vnd.amazon.eventstream"
	eventPrelude    = 12
	eventMin        = eventPrelude + 4
	eventMax        = 24 << 20 // AWS's bound of a message
)

// An EventWriter makes the messages of one operation's stream in one codec. It
// has no state; each method appends one message to dst.
type EventWriter struct {
	Codec Codec
	Op    *api.Op
}

// AppendInitial appends the message that opens the stream. out is the output.
func (w EventWriter) AppendInitial(dst []byte, out any) []byte {
	start, dst := beginMessage(dst, ":message-type", "event", ":event-type", "initial-response", ":content-type", w.Codec.contentType())
	dst = w.Codec.appendValue(dst, w.Op.Output, reflect.ValueOf(out).Elem())
	return endMessage(dst, start)
}

// AppendEvent appends an event, a pointer to the structure of one of the
// stream's members.
func (w EventWriter) AppendEvent(dst []byte, event any) ([]byte, error) {
	v := reflect.ValueOf(event).Elem()
	m := w.member(func(m *api.Member) bool { return m.Shape.Error == nil && m.Shape.Name == v.Type().Name() })
	if m == nil {
		return dst, fmt.Errorf("operation %s has no event %T", w.Op.Name, event)
	}
	contentType, payload := w.Codec.contentType(), -1
	for i := range m.Shape.Members {
		if m.Shape.Members[i].EventPayload {
			payload = i
			switch m.Shape.Members[i].Shape.Kind {
			case api.Blob:
				contentType = "application/octet-stream"
			case api.String:
				contentType = "text/plain"
			}
		}
	}
	start, dst := beginMessage(dst, ":message-type", "event", ":event-type", m.Wire, ":content-type", contentType)
	for i := range m.Shape.Members {
		if h := &m.Shape.Members[i]; h.EventHeader && h.Shape.Kind == api.String && !absent(h, v.Field(i)) {
			dst = appendHeader(dst, h.Wire, indirect(v.Field(i)).String())
			binary.BigEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-eventPrelude))
		}
	}
	switch {
	case payload < 0:
		dst = w.Codec.appendValue(dst, m.Shape, v)
	case m.Shape.Members[payload].Shape.Kind == api.Blob:
		dst = append(dst, v.Field(payload).Bytes()...)
	case m.Shape.Members[payload].Shape.Kind == api.String:
		if f := v.Field(payload); !f.IsZero() {
			dst = append(dst, indirect(f).String()...)
		}
	default:
		dst = w.Codec.appendValue(dst, m.Shape.Members[payload].Shape, indirect(v.Field(payload)))
	}
	return endMessage(dst, start), nil
}

// AppendError appends the message that ends a stream by an error: an exception if
// the stream's model has it, else an error.
func (w EventWriter) AppendError(dst []byte, e *api.Error) []byte {
	m := w.member(func(m *api.Member) bool { return m.Shape.Error != nil && m.Shape.Name == e.Code })
	if m == nil {
		start, dst := beginMessage(dst, ":message-type", "error", ":error-code", e.Code, ":error-message", clip(e.Message))
		return endMessage(dst, start)
	}
	start, dst := beginMessage(dst, ":message-type", "exception", ":exception-type", m.Wire, ":content-type", w.Codec.contentType())
	body := w.Codec.EncodeError(nil, w.Op, e, "").Body
	return endMessage(append(dst, body...), start)
}

// member finds a member of the stream's union.
func (w EventWriter) member(is func(*api.Member) bool) *api.Member {
	for i := range w.Op.Output.Members {
		if union := w.Op.Output.Members[i].Shape; union.Kind == api.EventStream {
			for j := range union.Members {
				if is(&union.Members[j]) {
					return &union.Members[j]
				}
			}
		}
	}
	return nil
}

// beginMessage appends the prelude, to be completed at the end, and headers
// given as names and values.
func beginMessage(dst []byte, headers ...string) (start int, _ []byte) {
	start = len(dst)
	dst = append(dst, make([]byte, eventPrelude)...)
	for i := 0; i < len(headers); i += 2 {
		dst = appendHeader(dst, headers[i], headers[i+1])
	}
	binary.BigEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-eventPrelude))
	return start, dst
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(append(dst, byte(len(name))), name...)
	dst = binary.BigEndian.AppendUint16(append(dst, 7), uint16(len(value)))
	return append(dst, value...)
}

func endMessage(dst []byte, start int) []byte {
	m := dst[start:]
	binary.BigEndian.PutUint32(m, uint32(len(m)+4))
	binary.BigEndian.PutUint32(m[8:], crc32.ChecksumIEEE(m[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(m))
}

// A Message is one message of an event stream as a client sees it.
type Message struct {
	Headers map[string]string // those whose value is a string
	Payload []byte
}

var errEventStream = errors.New("damaged event stream")

// ReadMessage reads the next message. It returns io.EOF between two messages.
func ReadMessage(r io.Reader) (*Message, error) {
	var prelude [eventPrelude]byte
	if _, err := io.ReadFull(r, prelude[:]); err != nil {
		return nil, err
	}
	total := binary.BigEndian.Uint32(prelude[:])
	headers := binary.BigEndian.Uint32(prelude[4:])
	if crc32.ChecksumIEEE(prelude[:8]) != binary.BigEndian.Uint32(prelude[8:]) ||
		total < eventMin || total > eventMax || headers > total-eventMin {
		return nil, errEventStream
	}
	rest := make([]byte, total-eventPrelude)
	if _, err := io.ReadFull(r, rest); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	body, sum := rest[:len(rest)-4], rest[len(rest)-4:]
	if crc32.Update(crc32.ChecksumIEEE(prelude[:]), crc32.IEEETable, body) != binary.BigEndian.Uint32(sum) {
		return nil, errEventStream
	}
	m := &Message{Headers: map[string]string{}, Payload: body[headers:]}
	return m, m.parseHeaders(body[:headers])
}

// headerSizes are the sizes of the values of a header by its type; -1 means that
// a length of two bytes comes first.
var headerSizes = [...]int{0, 0, 1, 2, 4, 8, -1, -1, 8, 16}

func (m *Message) parseHeaders(b []byte) error {
	for len(b) > 0 {
		n := int(b[0])
		if len(b) < 1+n+1 || int(b[1+n]) >= len(headerSizes) {
			return errEventStream
		}
		name, kind := string(b[1:1+n]), b[1+n]
		b = b[n+2:]
		size := headerSizes[kind]
		if size < 0 {
			if len(b) < 2 {
				return errEventStream
			}
			size, b = int(binary.BigEndian.Uint16(b)), b[2:]
		}
		if len(b) < size {
			return errEventStream
		}
		if kind == 7 {
			m.Headers[name] = string(b[:size])
		}
		b = b[size:]
	}
	return nil
}
