package s3_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/call"
	"github.com/rheostream/rheo/internal/companion/s3"
)

// A watch is a policy that refuses one key, and a log of calls.
type watch struct {
	calls []string
}

func (w *watch) Authorize(_ context.Context, c *api.Caller, op *api.Op, row *call.Row, in any) error {
	if put, ok := in.(*s3.PutObjectInput); ok && put.Key == "secret" && row.Resource == call.OnObject {
		return &api.Error{Code: "AccessDeniedException", Message: "User: " + c.Principal + " is not authorized to perform: s3:" + op.Name}
	}
	return nil
}

func (w *watch) Audit(_ context.Context, c *call.Call) {
	entry := c.Op.Name + " by " + c.Caller.Account
	if c.Err != nil {
		entry += ": " + c.Err.Code
	}
	w.calls = append(w.calls, entry)
}

// TestOneWay: calls of S3 go the way of all calls, over HTTP and among services: they
// are authorised before anything of the body is read, and all are in the log.
func TestOneWay(t *testing.T) {
	w := new(watch)
	s := newStore(t, func(s *store) { s.calls = call.Config{Policy: w, Audit: w} })
	s.ok("PUT", "/b0b", "")
	body := &counting{r: strings.NewReader("hello")}
	calls := s.http.Calls
	_, err := calls.Do(t.Context(), caller, s3.API.Op("PutObject"), &s3.PutObjectInput{Bucket: "b0b", Key: "secret", Body: body, Length: 5})
	if !api.IsCode(err, "AccessDeniedException") || body.n != 0 {
		t.Errorf("%v, after %d bytes", err, body.n)
	}
	if code := s.code("PUT", "/b0b/secret", "hello"); code != "AccessDenied" {
		t.Error(code)
	}
	if _, err := calls.Do(t.Context(), caller, s3.API.Op("PutObject"), &s3.PutObjectInput{Bucket: "b0b", Key: "k", Body: body, Length: -1}); err != nil {
		t.Error(err)
	}
	out, err := calls.Do(t.Context(), caller, s3.API.Op("GetObject"), &s3.GetObjectInput{Bucket: "b0b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	got := out.(*s3.GetObjectOutput)
	defer got.Body.Close()
	if b, _ := io.ReadAll(got.Body); string(b) != "hello" {
		t.Errorf("%q", b)
	}
	stranger := *caller
	stranger.Account = "210987654321"
	if _, err := calls.Do(t.Context(), &stranger, s3.API.Op("GetObject"), &s3.GetObjectInput{Bucket: "b0b", Key: "k"}); !api.IsCode(err, "AccessDenied") {
		t.Error(err)
	}
	want := `CreateBucket by 123456789012
PutObject by 123456789012: AccessDeniedException
PutObject by 123456789012: AccessDeniedException
PutObject by 123456789012
GetObject by 123456789012
GetObject by 210987654321: AccessDenied`
	if got := strings.Join(w.calls, "\n"); got != want {
		t.Errorf("calls are\n%s\nwant\n%s", got, want)
	}
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// TestStrangers: with every operation, an account has no part in another's bucket.
func TestStrangers(t *testing.T) {
	s := newStore(t, nil)
	s.ok("PUT", "/b0b", "")
	s.ok("PUT", "/b0b/k", "mine")
	id := element(s.ok("POST", "/b0b/k?uploads", ""), "UploadId")
	stranger := *caller
	stranger.Account = "210987654321"
	if _, err := s.CreateBucket(api.WithCaller(t.Context(), &stranger), &s3.CreateBucketInput{Bucket: "theirs"}); err != nil {
		t.Fatal(err)
	}
	source := s3.Source{Bucket: "b0b", Key: "k"}
	inputs := map[string][]any{
		"AbortMultipartUpload":    {&s3.AbortMultipartUploadInput{Bucket: "b0b", Key: "k", UploadID: id}},
		"CompleteMultipartUpload": {&s3.CompleteMultipartUploadInput{Bucket: "b0b", Key: "k", UploadID: id, Parts: []s3.CompletedPart{{Number: 1}}}},
		"CopyObject": {&s3.CopyObjectInput{Bucket: "b0b", Key: "l", CopySource: source},
			&s3.CopyObjectInput{Bucket: "theirs", Key: "l", CopySource: source}},
		"CreateBucket":          {&s3.CreateBucketInput{Bucket: "b0b"}},
		"CreateMultipartUpload": {&s3.CreateMultipartUploadInput{Bucket: "b0b", Key: "k"}},
		"DeleteBucket":          {&s3.DeleteBucketInput{Bucket: "b0b"}},
		"DeleteObject":          {&s3.DeleteObjectInput{Bucket: "b0b", Key: "k"}},
		"DeleteObjects":         {&s3.DeleteObjectsInput{Bucket: "b0b", Keys: []s3.DeleteKey{{Key: "k"}}}},
		"GetBucketLocation":     {&s3.BucketInput{Bucket: "b0b"}},
		"GetBucketVersioning":   {&s3.BucketInput{Bucket: "b0b"}},
		"GetObject":             {&s3.GetObjectInput{Bucket: "b0b", Key: "k"}},
		"HeadBucket":            {&s3.BucketInput{Bucket: "b0b"}},
		"HeadObject":            {&s3.HeadObjectInput{Bucket: "b0b", Key: "k"}},
		"ListMultipartUploads":  {&s3.ListMultipartUploadsInput{Bucket: "b0b", MaxUploads: 1}},
		"ListObjects":           {&s3.ListObjectsInput{Bucket: "b0b", MaxKeys: 1}},
		"ListObjectsV2":         {&s3.ListObjectsV2Input{Bucket: "b0b", MaxKeys: 1}},
		"ListParts":             {&s3.ListPartsInput{Bucket: "b0b", Key: "k", UploadID: id, MaxParts: 1}},
		"PutObject":             {&s3.PutObjectInput{Bucket: "b0b", Key: "k", Body: strings.NewReader("theirs"), Length: 6}},
		"UploadPart":            {&s3.UploadPartInput{Bucket: "b0b", Key: "k", UploadID: id, PartNumber: 1, Body: strings.NewReader("theirs"), Length: 6}},
		"UploadPartCopy":        {&s3.UploadPartCopyInput{Bucket: "b0b", Key: "k", UploadID: id, PartNumber: 1, CopySource: source}},
		"ListBuckets":           nil, // lists one's own
	}
	for _, op := range s3.API.Ops {
		ins, ok := inputs[op.Name]
		if !ok {
			t.Errorf("no input for %s", op.Name)
		}
		for _, in := range ins {
			want := "AccessDenied"
			if op.Name == "CreateBucket" {
				want = "BucketAlreadyExists"
			}
			if _, err := s.http.Calls.Do(t.Context(), &stranger, op, in); !api.IsCode(err, want) {
				t.Errorf("%s: %v", op.Name, err)
			}
		}
	}
	if got := s.ok("GET", "/b0b/k", ""); got != "mine" {
		t.Errorf("%q", got)
	}
}
