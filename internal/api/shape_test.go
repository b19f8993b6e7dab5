package api_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// TestFields: field i of a struct holds member i of its shape, in the type that
// the shape's kind has in Go. The codecs stand on it.
func TestFields(t *testing.T) {
	for _, op := range kinesis.Service.Ops {
		check(t, op.Input, reflect.TypeOf(op.NewInput()).Elem(), map[*api.Shape]bool{})
		check(t, op.Output, reflect.TypeOf(op.NewOutput()).Elem(), map[*api.Shape]bool{})
	}
}

func check(t *testing.T, s *api.Shape, typ reflect.Type, seen map[*api.Shape]bool) {
	if seen[s] {
		return
	}
	seen[s] = true
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	kinds := map[api.Kind]reflect.Kind{api.Structure: reflect.Struct, api.Union: reflect.Struct, api.List: reflect.Slice, api.Map: reflect.Map,
		api.String: reflect.String, api.Integer: reflect.Int32, api.Long: reflect.Int64, api.Boolean: reflect.Bool, api.Blob: reflect.Slice,
		api.Timestamp: reflect.Struct, api.Double: reflect.Float64, api.Float: reflect.Float32, api.EventStream: reflect.Interface}
	if typ.Kind() != kinds[s.Kind] {
		t.Errorf("%s is a %s, want a %s", typ, typ.Kind(), kinds[s.Kind])
		return
	}
	switch s.Kind {
	case api.List, api.Map:
		check(t, s.Elem, typ.Elem(), seen)
	case api.Structure, api.Union:
		if typ.NumField() != len(s.Members) {
			t.Errorf("%s has %d fields for %d members", typ, typ.NumField(), len(s.Members))
			return
		}
		for i := range s.Members {
			if f := typ.Field(i); !strings.EqualFold(f.Name, s.Members[i].Name) {
				t.Errorf("%s: field %d is %s, member %s", typ, i, f.Name, s.Members[i].Name)
			} else {
				check(t, s.Members[i].Shape, f.Type, seen)
			}
		}
	}
}

type deleter struct{ in *kinesis.DeleteStreamInput }

func (d *deleter) DeleteStream(_ context.Context, in *kinesis.DeleteStreamInput) (*kinesis.DeleteStreamOutput, error) {
	d.in = in
	return &kinesis.DeleteStreamOutput{}, nil
}

type mistaken struct{}

func (mistaken) DeleteStream(in *kinesis.DeleteStreamInput) error { return nil }

// TestInvoke: an operation finds its method, says so where there is none, and a
// method that only has the name is a mistake that does not go unseen.
func TestInvoke(t *testing.T) {
	op, d := kinesis.Service.Op("DeleteStream"), &deleter{}
	in := op.NewInput()
	if out, err := op.Invoke(t.Context(), d, in); err != nil || d.in != in || reflect.TypeOf(out) != reflect.TypeOf(op.NewOutput()) {
		t.Errorf("invoked: %v, %v", out, err)
	}
	if _, err := op.Invoke(t.Context(), d, in); err != nil {
		t.Error(err)
	}
	create := kinesis.Service.Op("CreateStream")
	if _, err := create.Invoke(t.Context(), d, create.NewInput()); !errors.Is(err, api.ErrNotImplemented) {
		t.Errorf("an operation without a method: %v", err)
	}
	if ops := kinesis.Service.Implemented(d); !slices.Equal(ops, []*api.Op{op}) {
		t.Errorf("implemented are %v", ops)
	}
	defer func() {
		if recover() == nil {
			t.Error("a method of another signature was passed over")
		}
	}()
	kinesis.Service.Implemented(mistaken{})
}

func TestOp(t *testing.T) {
	for _, op := range kinesis.Service.Ops {
		if kinesis.Service.Op(op.Name) != op || op.Service != kinesis.Service {
			t.Errorf("%s is not found", op.Name)
		}
	}
	for _, name := range []string{"", "A", "PutRecordz", "zzz"} {
		if kinesis.Service.Op(name) != nil {
			t.Errorf("%q is found", name)
		}
	}
}
