package s3

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// GetObjectInput asks for an object or a part of it.
type GetObjectInput struct {
	Bucket, Key string
	Conditions  Conditions
	Range       string // "bytes=0-99", "bytes=100-", "bytes=-100"; others are passed over, as HTTP has it
	IfRange     string // an ETag: Range counts only if the object has it
	Part        int    // number of a part of the upload that the object came of, from 1 on; 0: none
}

// GetObjectOutput is an object, and what was asked for of it.
type GetObjectOutput struct {
	ETag          string // in quotes
	Size          int64  // of the object
	Modified      int64  // ms since 1970
	Headers       Headers
	NotModified   bool          // a condition says that its reader has it
	Offset, Count int64         // the bytes that Body has, of Size
	Partial       bool          // they are a range, or a part
	Body          io.ReadCloser // to be closed by the caller; nil of HeadObject

	checksum checksum
	parts    int // of the upload that it came of
}

// GetObject reads an object. Whoever replaces or deletes it meanwhile does not
// disturb the reader.
func (s *Service) GetObject(ctx context.Context, in *GetObjectInput) (*GetObjectOutput, error) {
	var out *GetObjectOutput
	_, body, err := s.read(ctx, in.Bucket, in.Key, func(o *object) (off, n int64, err error) {
		if out, err = choose(o, in); err != nil || out.NotModified {
			return 0, -1, err
		}
		return out.Offset, out.Count, nil
	})
	if err != nil {
		return nil, err
	}
	out.Body = body
	return out, nil
}

// choose says what is read of o.
func choose(o *object, in *GetObjectInput) (*GetObjectOutput, error) {
	out := &GetObjectOutput{ETag: o.ETag(), Size: o.size, Modified: o.modified, Headers: o.headers, Count: o.size,
		checksum: o.checksum, parts: len(o.parts)}
	var err error
	if out.NotModified, err = in.Conditions.read(o, ""); err != nil || out.NotModified {
		return out, err
	}
	if in.Part != 0 {
		return out, out.choosePart(o, in)
	}
	if in.Range != "" && (in.IfRange == "" || in.IfRange == out.ETag) {
		off, n, ok, err := parseRange(in.Range, o.size)
		if err != nil {
			return out, err
		}
		if ok {
			out.Offset, out.Count, out.Partial = off, n, true
		}
	}
	return out, nil
}

// choosePart has the bytes of a part be read. An object that was put whole is its
// own and only one.
func (out *GetObjectOutput) choosePart(o *object, in *GetObjectInput) error {
	if in.Range != "" {
		return invalid("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
	}
	if len(o.parts) == 0 && in.Part == 1 {
		out.Partial = o.size > 0
		return nil
	}
	if in.Part > len(o.parts) {
		return &api.Error{Code: "InvalidPartNumber", Status: http.StatusRequestedRangeNotSatisfiable,
			Message: "The requested partnumber is not satisfiable"}
	}
	for _, n := range o.parts[:in.Part-1] {
		out.Offset += n
	}
	out.Count, out.Partial = o.parts[in.Part-1], true
	return nil
}

// parseRange reads a Range header of one range; ok is false if it is none, or more
// than one.
func parseRange(text string, size int64) (off, n int64, ok bool, err error) {
	spec, isBytes := strings.CutPrefix(text, "bytes=")
	first, last, isRange := strings.Cut(spec, "-")
	if !isBytes || !isRange || strings.Contains(spec, ",") {
		return 0, 0, false, nil
	}
	unsatisfiable := &api.Error{Code: "InvalidRange", Status: http.StatusRequestedRangeNotSatisfiable, Message: "The requested range is not satisfiable",
		Fields: map[string]any{"RangeRequested": clip(text), "ActualObjectSize": strconv.FormatInt(size, 10)}}
	end := size - 1
	if last != "" {
		v, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return 0, 0, false, nil
		}
		if first == "" { // the last so many
			if v == 0 || size == 0 {
				return 0, 0, false, unsatisfiable
			}
			n := min(int64(v), size)
			return size - n, n, true, nil
		}
		end = min(int64(v), end)
	}
	start, err := strconv.ParseUint(first, 10, 63)
	if err != nil || last != "" && int64(start) > end && int64(start) < size {
		return 0, 0, false, nil
	}
	if int64(start) >= size {
		return 0, 0, false, unsatisfiable
	}
	return int64(start), end + 1 - int64(start), true, nil
}

var getObjectEndpoint = endpoint{op: operation("GetObject", hasGetObject.GetObject), method: "GET", on: onObject,
	decode: decodeGet,
	encode: func(w *reply, out any) error {
		o := out.(*GetObjectOutput)
		if o.Body != nil {
			defer o.Body.Close()
		}
		return w.object(o)
	}}

type hasGetObject interface {
	GetObject(context.Context, *GetObjectInput) (*GetObjectOutput, error)
}

func decodeGet(r *request) (any, error) {
	in := &GetObjectInput{Bucket: r.bucket, Key: r.key, Range: r.Header.Get("Range"), IfRange: r.Header.Get("If-Range")}
	if text := r.query.Get("partNumber"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > partsMax {
			return nil, errPartNumber
		}
		in.Part = n
	}
	return in, firstError(r.readConditions(&in.Conditions), r.checkOverrides())
}
