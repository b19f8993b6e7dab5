package wire

import (
	"net/http"
	"reflect"

	"github.com/rheostream/rheo/internal/api"
)

// RPCv2 is Smithy RPC v2 with CBOR: the operation is in the path
// (/service/{Service}/operation/{Operation}). Times are seconds, as in RFC 8949.
type RPCv2 struct{}

const rpcv2Type = "application/cbor"

// Decode implements [Codec].
func (RPCv2) Decode(op *api.Op, _ *http.Request, body []byte, in any) error {
	return decodeCBOR(op.Input, body, reflect.ValueOf(in).Elem(), false)
}

func (c RPCv2) header() http.Header {
	h := header(rpcv2Type)
	h.Set("Smithy-Protocol", "rpc-v2-cbor")
	return h
}

// Encode implements [Codec].
func (c RPCv2) Encode(dst []byte, op *api.Op, out any) (Answer, error) {
	a := Answer{Status: op.Status, Header: c.header()}
	v := reflect.ValueOf(out).Elem()
	if a.Events = events(op, v); a.Events != nil {
		a.Header.Set("Content-Type", eventStreamType)
		return a, nil
	}
	a.Body = c.appendValue(dst, op.Output, v)
	return a, nil
}

// EncodeError implements [Codec].
func (c RPCv2) EncodeError(dst []byte, op *api.Op, e *api.Error, _ string) Answer {
	shape, status, message := errorFacts(op, e)
	a := Answer{Status: status, Header: c.header()}
	a.Status = queryError(a.Header, op, shape, e, status)
	a.Body = appendCBORError(dst, shape, e, message, false)
	return a
}

func (RPCv2) appendValue(dst []byte, s *api.Shape, v reflect.Value) []byte {
	return appendCBOR(dst, s, v, false)
}

func (RPCv2) contentType() string { return rpcv2Type }
