package lambda_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/auth"
	"github.com/rheostream/rheo/internal/companion/lambda"
)

// TestQueues: what becomes of an event is a message of the queue or the topic that
// is its destination, by signed calls in the protocols that these speak.
func TestQueues(t *testing.T) {
	verifier, err := auth.New(auth.Config{Keys: []auth.Key{endpointKey}})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 2)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		service := "sns"
		if r.Header.Get("X-Amz-Target") == "AmazonSQS.SendMessage" {
			service = "sqs"
		}
		claim, err := auth.Parse(r)
		if err == nil {
			err = verifier.Check(&claim, r, service)
		}
		if err == nil {
			_, err = verifier.Verify(&claim, r, sha256.Sum256(body))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			told <- "refused: " + err.Error()
			return
		}
		var to, message string
		if service == "sqs" {
			var in struct{ QueueUrl, MessageBody string }
			if err := json.Unmarshal(body, &in); err != nil {
				t.Error(err)
			}
			to, message = strings.TrimPrefix(in.QueueUrl, "http://"+r.Host), in.MessageBody
		} else {
			form, err := url.ParseQuery(string(body))
			if err != nil || form.Get("Action") != "Publish" || form.Get("Version") != "2010-03-31" {
				t.Errorf("%s, %v", body, err)
			}
			to, message = form.Get("TopicArn"), form.Get("Message")
		}
		var doc struct {
			RequestContext struct{ Condition string } `json:"requestContext"`
		}
		if err := json.Unmarshal([]byte(message), &doc); err != nil {
			t.Error(err)
		}
		told <- fmt.Sprint(service, " ", claim.Region, " ", to, ": ", doc.RequestContext.Condition)
	}))
	defer srv.Close()
	r := &scripted{outcome: fails}
	fs := newFunctions(t, func(c *lambda.Config) {
		c.Runner = r
		c.Queues = &lambda.RemoteQueues{Endpoint: srv.URL, AccessKey: endpointKey.ID, Secret: endpointKey.Secret, Client: srv.Client()}
	})
	fs.create("f", "")
	for _, tt := range []struct{ arn, want string }{
		{"arn:aws:sqs:eu-west-1:123456789012:q", "sqs eu-west-1 /123456789012/q: RetriesExhausted"},
		{"arn:aws:sns:us-east-1:123456789012:topic", "sns us-east-1 arn:aws:sns:us-east-1:123456789012:topic: RetriesExhausted"},
	} {
		fs.must("PUT", "/2019-09-25/functions/f/event-invoke-config", `{"MaximumRetryAttempts":0,"DestinationConfig":{"OnFailure":{"Destination":"`+tt.arn+`"}}}`)
		fs.event("f", `{}`)
		if got := <-told; got != tt.want {
			t.Errorf("told %s, want %s", got, tt.want)
		}
	}
	for arn, want := range map[string]string{
		"arn:aws:sqs:us-east-1:123456789012:q.fifo": "FIFO",
		"arn:aws:sqs:us-east-1:123456789012:a:b":    "is invalid",
		"arn:aws:events:us-east-1:123456789012:b":   "there are no event buses here",
	} {
		if a := fs.do("PUT", "/2019-09-25/functions/f/event-invoke-config", `{"DestinationConfig":{"OnFailure":{"Destination":"`+arn+`"}}}`); a.status != 400 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", arn, a.status, a.body)
		}
	}
}
