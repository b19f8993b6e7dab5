package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/cobra"
)

const defaultEndpoint = "http://localhost:4566"

// connection is where the commands that call an API find it, from flags, the
// environment and the files of the AWS SDKs.
type connection struct {
	endpoint string
	region   string
	profile  string
	aws      bool
}

func (c *connection) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.endpoint, "endpoint", "", "`URL` of the server (default $AWS_ENDPOINT_URL_KINESIS, $AWS_ENDPOINT_URL, then "+defaultEndpoint+")")
	f.StringVar(&c.region, "region", "", "AWS region (default $AWS_REGION, the profile's, then us-east-1 for a local server)")
	f.StringVar(&c.profile, "profile", "", "profile of ~/.aws/config; without an endpoint of its own it means AWS")
	f.BoolVar(&c.aws, "aws", false, "call AWS itself, not a local server")
	cmd.MarkFlagsMutuallyExclusive("endpoint", "aws")
}

// client calls one endpoint in one region as one caller.
type client struct {
	*kinesis.Client
	cfg      aws.Config
	endpoint string // empty: AWS's own for the region
}

// connect makes the client. It sends nothing.
func (c *connection) connect(ctx context.Context) (*client, error) {
	endpoint := c.endpoint
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(newRetryer),
		config.WithLogger(logging.Nop{}), // it speaks of its connections, not of what is asked
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 1024 // a tail reads every shard at once
			t.MaxIdleConns = 0
			if t.TLSClientConfig == nil {
				t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
			}
		})),
	}
	if c.region != "" {
		options = append(options, config.WithRegion(c.region))
	}
	if c.profile != "" {
		options = append(options, config.WithSharedConfigProfile(c.profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	if endpoint == "" && !c.aws {
		endpoint = configuredEndpoint(cfg)
		if endpoint == "" && c.profile == "" && os.Getenv("AWS_PROFILE") == "" {
			endpoint = defaultEndpoint
		}
	}
	if endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, usagef("endpoint %q is not a URL such as %s", endpoint, defaultEndpoint)
		}
		endpoint = strings.TrimSuffix(endpoint, "/")
		if isLocal(u.Hostname()) {
			if err := localDefaults(ctx, &cfg, options); err != nil {
				return nil, err
			}
		}
	}
	if cfg.Region == "" {
		return nil, hintError{errors.New("no region is set"), "Set AWS_REGION, or give --region."}
	}
	cfg.HTTPClient = plainBodies{cfg.HTTPClient}
	k := kinesis.NewFromConfig(cfg, func(o *kinesis.Options) {
		o.BaseEndpoint = nil // --aws overrules the environment
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	return &client{Client: k, cfg: cfg, endpoint: endpoint}, nil
}

// plainBodies hides WriteTo of request bodies. The SDK closes a body when the
// answer begins, and its WriteTo then fails, where net/http, still making sure
// that the body has no more, takes that for a broken request and cuts the
// connection in the middle of the answer. Read of a closed body is just empty.
type plainBodies struct{ aws.HTTPClient }

func (p plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.HTTPClient.Do(r)
}

// configuredEndpoint is what the environment or the chosen profile names.
func configuredEndpoint(cfg aws.Config) string {
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // for the look-up alone
	}
	return aws.ToString(kinesis.NewFromConfig(cfg).Options().BaseEndpoint)
}

// isLocal says whether a host is this machine, where keys and region have defaults.
func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".localstack.cloud")
}

// localDefaults lets a local server be called before anything is set up. The
// machine's own role is not asked for: off EC2 that takes seconds to fail.
func localDefaults(ctx context.Context, cfg *aws.Config, options []func(*config.LoadOptions) error) error {
	again, err := config.LoadDefaultConfig(ctx, append(options, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))...)
	if err != nil {
		return err
	}
	*cfg = again
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		cfg.Credentials = credentials.NewStaticCredentialsProvider("test", "test", "")
	}
	return nil
}

// newRetryer retries as the SDKs do, but for a server that is not there: its
// user should know at once.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 5
		o.MaxBackoff = 5 * time.Second
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if errors.Is(err, syscall.ECONNREFUSED) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})}, o.Retryables...)
	})
}

// where names the endpoint for a person.
func (c *client) where() string {
	if c.endpoint == "" {
		return "AWS " + c.cfg.Region
	}
	return c.endpoint + " " + c.cfg.Region
}

// streamRef takes a stream's name or ARN apart, as the API does.
func streamRef(s string) (name, arn *string) {
	if strings.HasPrefix(s, "arn:") {
		return nil, &s
	}
	return &s, nil
}
