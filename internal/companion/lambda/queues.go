package lambda

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Queues are the queues and topics that destinations may be.
type Queues interface {
	// Send is durable at the queue or topic when it returns.
	Send(ctx context.Context, arn string, message []byte) error
}

// RemoteQueues are SQS and SNS at another endpoint, by signed calls of SendMessage
// and Publish.
type RemoteQueues struct {
	// Endpoint is a URL in which {service} stands for sqs or sns and {region} for that of
	// the ARN: "https://{service}.{region}.amazonaws.com", "http://localhost:4566".
	Endpoint string
	// AccessKey, Secret and Token sign the calls.
	AccessKey, Secret, Token string
	Client                   Doer
	Now                      func() time.Time // time.Now if nil
}

// A queueARN is the ARN of a queue or a topic:
// arn:aws:sqs:REGION:ACCOUNT:NAME.
type queueARN struct{ service, region, account, name string }

func parseQueue(arn string) (queueARN, error) {
	part := strings.Split(arn, ":")
	if len(part) != 6 || part[2] != "sqs" && part[2] != "sns" || part[3] == "" || !isVersion(part[4]) || part[5] == "" {
		return queueARN{}, invalid("The destination ARN %s is invalid.", arn)
	}
	if strings.HasSuffix(part[5], ".fifo") {
		return queueARN{}, unsupported("A destination that is FIFO", "messages have no group")
	}
	return queueARN{part[2], part[3], part[4], part[5]}, nil
}

// checkQueue refuses a queue or topic as a destination: by name, if there are none.
func (s *Service) checkQueue(member, arn string) error {
	q, err := parseQueue(arn)
	if err != nil {
		return err
	}
	if s.cfg.Queues == nil {
		return unsupported(member+" to "+q.service, "there are no queues and topics here; --lambda-queues=URL names an endpoint that has some")
	}
	return nil
}

// Send implements Queues.
func (r *RemoteQueues) Send(ctx context.Context, arn string, message []byte) error {
	q, err := parseQueue(arn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	endpoint := strings.TrimSuffix(strings.NewReplacer("{service}", q.service, "{region}", q.region).Replace(r.Endpoint), "/")
	kind, body, target := "application/x-www-form-urlencoded", []byte(nil), ""
	if q.service == "sqs" {
		kind, target = "application/x-amz-json-1.0", "AmazonSQS.SendMessage"
		if body, err = json.Marshal(struct{ QueueUrl, MessageBody string }{endpoint + "/" + q.account + "/" + q.name, string(message)}); err != nil {
			return err
		}
	} else {
		body = []byte(url.Values{"Action": {"Publish"}, "Version": {"2010-03-31"}, "TopicArn": {arn}, "Message": {string(message)}}.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: r.AccessKey, SecretAccessKey: r.Secret, SessionToken: r.Token}
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), q.service, q.region, now()); err != nil {
		return fmt.Errorf("cannot sign a call of %s: %w", endpoint, err)
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", endpoint, cause(err))
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", endpoint, resp.Status, bytes.TrimSpace(text))
	}
	return nil
}
