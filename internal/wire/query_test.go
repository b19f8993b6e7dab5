package wire

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

func FuzzQuery(f *testing.F) {
	f.Add("StreamName=s&Records.member.1.Data=YQ%3D%3D&Records.member.2.PartitionKey=k&Tags.entry.1.key=a&Tags.entry.1.value=b")
	f.Add("Action=X&Version=1&StartingPosition.Type=LATEST&StartingPosition.Timestamp=2026-01-01T00:00:00Z&TagKeys.1=a")
	f.Add(strings.Repeat("a.", 500) + "=1;x=%zz")
	r := httptest.NewRequest("POST", "/", nil)
	f.Fuzz(func(t *testing.T, body string) {
		for _, name := range []string{"PutRecords", "CreateStream", "SubscribeToShard"} {
			op := kinesis.Service.Op(name)
			in := op.NewInput()
			if err := (Query{}).Decode(op, r, []byte(body), in); err == nil {
				Validate(op, in)
			} else if !api.IsCode(err, "SerializationException") && !api.IsCode(err, "MalformedQueryString") {
				t.Errorf("%s: %q: error is %v", name, body, err)
			}
		}
	})
}

func TestQueryRequestID(t *testing.T) {
	a, err := Query{}.Encode(nil, kinesis.Service.Op("DescribeLimits"), &kinesis.DescribeLimitsOutput{ShardLimit: new(int32(3))})
	want := "<DescribeLimitsResponse><DescribeLimitsResult><ShardLimit>3</ShardLimit></DescribeLimitsResult>" +
		"<ResponseMetadata><RequestId>a&lt;b</RequestId></ResponseMetadata></DescribeLimitsResponse>"
	if have := string(QueryRequestID(a.Body, "a<b")); err != nil || have != want {
		t.Errorf("answer is %s (%v), want %s", have, err, want)
	}
}

// TestMatchURI: paths against the URIs of models.
func TestMatchURI(t *testing.T) {
	for _, c := range []struct{ uri, path, labels string }{
		{"/", "/", "map[]"},
		{"/createStream", "/createStream", "map[]"},
		{"/createStream", "/createStreams", ""},
		{"/createStream", "/createStream/x", ""},
		{"/tags/{ARN}", "/tags/arn%3Aaws%2Fx", "map[ARN:arn:aws/x]"},
		{"/tags/{ARN}", "/tags/", ""},
		{"/tags/{ARN}", "/tags/a/b", ""},
		{"/f/{a}/g?list-type=2", "/f/x/g", "map[a:x]"},
		{"/{key+}", "/a/b%20c", "map[key:a/b c]"},
		{"/{b}/{key+}/tail", "/x/a/b/tail", "map[b:x key:a/b]"},
		{"/{key+}/tail", "/tail", ""},
		{"/a/{b}", "/a/%zz", ""},
	} {
		labels, ok := MatchURI(c.uri, c.path)
		have := ""
		if ok {
			have = fmt.Sprint(labels)
		}
		if have != c.labels {
			t.Errorf("%s against %s: %q, want %q", c.path, c.uri, have, c.labels)
		}
	}
}
