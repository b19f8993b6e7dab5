package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/rheostream/rheo/internal/api"
	apikinesis "github.com/rheostream/rheo/internal/api/kinesis"
)

// callable are the services that call knows.
var callable = []*api.Service{apikinesis.Service}

// answerBytesMax bounds an answer that is not a stream: GetRecords' 10 MiB in
// base64, and then some.
const answerBytesMax = 64 << 20

func newCall() *cobra.Command {
	c := &cobra.Command{
		Use:   "call SERVICE [OPERATION [JSON]]",
		Short: "Call any operation of the API, JSON in and JSON out",
		Long: "Call any operation of the API. JSON is its input, {} by default, - to read it from standard\n" +
			"input, @FILE from a file; blobs are base64. The answer goes to standard output as it came,\n" +
			"indented on a terminal; of an event stream each event is a line. An error of the API goes to\n" +
			"standard error as CODE: MESSAGE. Without OPERATION, the operations are listed.",
		Example: "  rheo call kinesis ListStreams\n" +
			"  rheo call kinesis put-record '{\"StreamName\":\"orders\",\"PartitionKey\":\"a\",\"Data\":\"aGk=\"}'\n" +
			"  jq ... | rheo call kinesis PutRecords -",
		Args:              cobra.RangeArgs(1, 3),
		ValidArgsFunction: completeCall,
	}
	conn := new(connection)
	conn.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		service, err := findService(args[0])
		if err != nil {
			return err
		}
		if len(args) == 1 {
			for _, op := range service.Ops {
				if _, err := fmt.Fprintln(c.OutOrStdout(), op.Name); err != nil {
					return err
				}
			}
			return nil
		}
		op, err := findOperation(service, args[1])
		if err != nil {
			return err
		}
		input := []byte("{}")
		if len(args) == 3 {
			if input, err = readInput(args[2], c.InOrStdin()); err != nil {
				return err
			}
		}
		k, err := conn.connect(c.Context())
		if err != nil {
			return err
		}
		answer, err := k.post(c.Context(), op, input)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		return printAnswer(c.OutOrStdout(), answer)
	}
	return c
}

func completeCall(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	switch len(args) {
	case 0:
		for _, s := range callable {
			names = append(names, s.Name)
		}
	case 1:
		if s, err := findService(args[0]); err == nil {
			for _, op := range s.Ops {
				names = append(names, op.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func findService(name string) (*api.Service, error) {
	var names []string
	for _, s := range callable {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, usagef("unknown service %q; there is: %s", name, strings.Join(names, ", "))
}

// findOperation takes ListStreams, list-streams and liststreams alike.
func findOperation(s *api.Service, name string) (*api.Op, error) {
	plain := func(n string) string { return strings.ToLower(strings.ReplaceAll(n, "-", "")) }
	var near, far []string
	for _, op := range s.Ops {
		switch p := plain(op.Name); {
		case p == plain(name):
			return op, nil
		case strings.HasPrefix(p, plain(name)) || strings.HasPrefix(plain(name), p):
			near = append(near, op.Name)
		case strings.Contains(p, plain(name)):
			far = append(far, op.Name)
		}
	}
	if len(near) == 0 {
		near = far
	}
	if len(near) > 0 && len(near) <= 8 {
		return nil, usagef("%s has no operation %q; did you mean %s?", s.Name, name, strings.Join(near, ", "))
	}
	return nil, usagef("%s has no operation %q; `rheo call %s` lists them", s.Name, name, s.Name)
}

func readInput(arg string, stdin io.Reader) (input []byte, err error) {
	switch {
	case arg == "-":
		input, err = io.ReadAll(stdin)
	case strings.HasPrefix(arg, "@"):
		input, err = os.ReadFile(arg[1:])
	default:
		input = []byte(arg)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the input: %w", err)
	}
	var syntax *json.SyntaxError
	var object map[string]json.RawMessage
	if err := json.Unmarshal(input, &object); errors.As(err, &syntax) {
		return nil, usagef("the input is not JSON: %v at byte %d", err, syntax.Offset)
	} else if err != nil || object == nil {
		return nil, usagef("the input is not a JSON object")
	}
	return input, nil
}

// post sends one signed request of a JSON service, once: what a script calls
// twice, it should know of. The answer is a success; its body is open.
func (c *client) post(ctx context.Context, op *api.Op, input []byte) (*http.Response, error) {
	s := op.Service
	if !slices.Contains(s.Protocols, api.JSON) {
		return nil, fmt.Errorf("%s does not speak JSON, and call speaks nothing else", s.Name)
	}
	target, err := c.resolve(ctx)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(input))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-"+s.JSONVersion)
	r.Header.Set("X-Amz-Target", s.TargetPrefix+"."+op.Name)
	r.Header.Set("User-Agent", "rheo-cli/"+thisBuild().Version)
	credentials, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot find credentials: %w", err)
	}
	sum := sha256.Sum256(input)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(sum[:]), s.SigningName, c.cfg.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("cannot sign the request: %w", err)
	}
	answer, err := c.cfg.HTTPClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("cannot call %s: %w", op.Name, err)
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer of HTTP status %s: %w", answer.Status, err)
	}
	if e := apiError(body, answer.Header); e != nil {
		return nil, e
	}
	return nil, fmt.Errorf("%s is answered with HTTP status %s: %s", op.Name, answer.Status, visible(string(body[:min(len(body), 500)])))
}

// resolve is the URL to post to.
func (c *client) resolve(ctx context.Context) (string, error) {
	if c.endpoint != "" {
		return c.endpoint + "/", nil
	}
	e, err := kinesis.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, kinesis.EndpointParameters{
		Region: &c.cfg.Region, UseDualStack: aws.Bool(false), UseFIPS: aws.Bool(false)}.WithDefaults())
	if err != nil {
		return "", fmt.Errorf("cannot find AWS's endpoint: %w", err)
	}
	return e.URI.String() + "/", nil
}

// apiError reads an error document; nil if it is none.
func apiError(body []byte, h http.Header) error {
	var doc struct {
		Type         string `json:"__type"`
		Message      string `json:"message"`
		MessageUpper string `json:"Message"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return nil
	}
	code := doc.Type
	if code == "" {
		code = h.Get("X-Amzn-ErrorType")
	}
	code, _, _ = strings.Cut(code, ":")
	code = code[strings.LastIndexByte(code, '#')+1:]
	if code == "" {
		return nil
	}
	if doc.Message == "" {
		doc.Message = doc.MessageUpper
	}
	return &smithy.GenericAPIError{Code: code, Message: doc.Message}
}

func printAnswer(w io.Writer, answer *http.Response) error {
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/vnd.amazon.eventstream") {
		return printEvents(w, answer.Body)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax+1))
	switch {
	case err != nil:
		return fmt.Errorf("cannot read the answer: %w", err)
	case len(body) > answerBytesMax:
		return fmt.Errorf("the answer has more than %d bytes", answerBytesMax)
	case len(body) == 0: // an operation without output
		return nil
	}
	if isTerminal(w) {
		var b bytes.Buffer
		if json.Indent(&b, body, "", "  ") == nil {
			_, err := fmt.Fprintln(w, styleOf(w).json(visible(b.String())))
			return err
		}
	}
	_, err = fmt.Fprintf(w, "%s\n", bytes.TrimRight(body, "\n"))
	return err
}

// printEvents writes each event of a stream as a line {"EventType": payload}
// until the stream ends.
func printEvents(w io.Writer, r io.Reader) error {
	d := eventstream.NewDecoder()
	for {
		m, err := d.Decode(r, nil)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the event stream: %w", err)
		}
		text := func(name string) string {
			if v := m.Headers.Get(name); v != nil {
				return v.String()
			}
			return ""
		}
		switch text(eventstreamapi.MessageTypeHeader) {
		case eventstreamapi.ExceptionMessageType:
			e := &smithy.GenericAPIError{Code: text(eventstreamapi.ExceptionTypeHeader)}
			if inner, ok := apiError(append([]byte(nil), m.Payload...), http.Header{"X-Amzn-Errortype": {e.Code}}).(*smithy.GenericAPIError); ok {
				e.Message = inner.Message
			}
			return e
		case eventstreamapi.ErrorMessageType:
			return &smithy.GenericAPIError{Code: text(eventstreamapi.ErrorCodeHeader), Message: text(eventstreamapi.ErrorMessageHeader)}
		}
		event, payload := text(eventstreamapi.EventTypeHeader), m.Payload
		if len(payload) == 0 {
			payload = []byte("{}")
		}
		if event == "initial-response" && string(payload) == "{}" {
			continue // the output beside the events, and there is none
		}
		if _, err := fmt.Fprintf(w, "{%q:%s}\n", event, payload); err != nil {
			return err
		}
	}
}
