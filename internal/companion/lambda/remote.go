package lambda

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	rheo "github.com/rheostream/rheo/internal/api"
)

// A Doer sends HTTP requests: a client of package outbound, which decides what may
// be reached, for how long, and how much is read.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Remote is the Runner that invokes functions at another Lambda endpoint, by name
// and qualifier, with signed calls of its Invoke. What is deployed there is that
// endpoint's affair: code and configuration of the function here are not sent.
type Remote struct {
	// Endpoint is where the API is: "https://lambda.eu-west-1.amazonaws.com".
	Endpoint *url.URL
	// AccessKey, Secret and Token sign the calls.
	AccessKey, Secret, Token string
	// Region of the signatures; empty: that of the function.
	Region string
	Client Doer
	Now    func() time.Time // time.Now if nil
}

// Isolation says where functions run: what keeps them apart is that endpoint's affair.
func (r *Remote) Isolation() string {
	return "Functions run at the Lambda endpoint " + r.Endpoint.Host + "."
}

// Retire does nothing: nothing is kept ready here.
func (r *Remote) Retire(arn, version string) {}

// Invoke implements Runner.
func (r *Remote) Invoke(ctx context.Context, f *Function, in *Invocation) (*Result, error) {
	// A function that hangs is its own endpoint's to stop; this is for one that does not.
	ctx, cancel := context.WithTimeout(ctx, f.Timeout+30*time.Second)
	defer cancel()
	req, err := r.request(ctx, f, in)
	if err != nil {
		return nil, err
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return nil, serviceError("The Lambda endpoint %s cannot be reached: %v", r.Endpoint.Host, cause(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, serviceError("The answer of the Lambda endpoint %s broke off: %v", r.Endpoint.Host, cause(err))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, r.refused(resp, body)
	}
	res := &Result{Payload: body, FunctionError: resp.Header.Get("X-Amz-Function-Error"), ExecutedVersion: resp.Header.Get("X-Amz-Executed-Version")}
	if tail := resp.Header.Get("X-Amz-Log-Result"); tail != "" {
		if res.Log, err = base64.StdEncoding.DecodeString(tail); err != nil {
			return nil, serviceError("The Lambda endpoint %s answers a log that is no base64", r.Endpoint.Host)
		}
	}
	return res, nil
}

func (r *Remote) request(ctx context.Context, f *Function, in *Invocation) (*http.Request, error) {
	u := *r.Endpoint
	u.Path = strings.TrimSuffix(u.Path, "/") + "/2015-03-31/functions/" + f.Name + "/invocations"
	if in.Qualifier != "" {
		u.RawQuery = url.Values{"Qualifier": {in.Qualifier}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(in.Payload))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Amz-Invocation-Type", "RequestResponse")
	if in.Tail {
		req.Header.Set("X-Amz-Log-Type", "Tail")
	}
	if in.ClientContext != "" {
		req.Header.Set("X-Amz-Client-Context", in.ClientContext)
	}
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	region := r.Region
	if region == "" {
		region = f.Region
	}
	sum := sha256.Sum256(in.Payload)
	creds := aws.Credentials{AccessKeyID: r.AccessKey, SecretAccessKey: r.Secret, SessionToken: r.Token}
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "lambda", region, now()); err != nil {
		return nil, fmt.Errorf("cannot sign a call of the Lambda endpoint %s: %w", r.Endpoint.Host, err)
	}
	return req, nil
}

// refused is the endpoint's error as the caller may see it. What it says of our
// credentials is not the caller's affair, but names the cause.
func (r *Remote) refused(resp *http.Response, body []byte) error {
	code, _, _ := strings.Cut(resp.Header.Get("X-Amzn-Errortype"), ":")
	var text struct{ Message, Type, Reason string } // encoding/json takes "message" too
	json.Unmarshal(body, &text)                     // what is not JSON has no message
	switch {
	case code == "TooManyRequestsException" || resp.StatusCode == http.StatusTooManyRequests:
		return ErrThrottled
	case resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized:
		return serviceError("The Lambda endpoint %s refuses the credentials of this server: %s: %s", r.Endpoint.Host, code, text.Message)
	case code == "" || resp.StatusCode >= 500 && text.Message == "":
		return serviceError("The Lambda endpoint %s answers %s", r.Endpoint.Host, resp.Status)
	}
	e := &rheo.Error{Code: code, Message: text.Message, Status: resp.StatusCode, Fields: map[string]any{}}
	if text.Type != "" {
		e.Fields["Type"] = text.Type
	}
	return e
}

// cause is an error without the URL that http.Client puts before it.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
