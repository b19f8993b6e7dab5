package rheo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda"
	"github.com/rheostream/rheo/internal/outbound"
)

// lambdaLocal is the value of Config.Lambda for processes of this machine.
const lambdaLocal = "local"

// lambdaEndpoint reads Config.Lambda where it is the URL of another endpoint; nil if it is not.
func (c *Config) lambdaEndpoint() (*url.URL, error) {
	if c.Lambda == "" || c.Lambda == lambdaLocal {
		return nil, nil
	}
	u, err := url.Parse(c.Lambda)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is neither local nor the URL of a Lambda endpoint, like https://lambda.eu-west-1.amazonaws.com", c.Lambda)
	}
	return u, nil
}

// checkLambda refuses what no functions could be run by.
func (c *Config) checkLambda() error {
	u, err := c.lambdaEndpoint()
	switch {
	case err != nil:
		return err
	case u != nil && c.LambdaKey == "":
		return errors.New("a Lambda endpoint needs an access key to sign calls with (--lambda-key ID:SECRET)")
	case u == nil && c.LambdaKey != "":
		return errors.New("a key for a Lambda endpoint is configured, and no endpoint (--lambda=URL)")
	}
	if c.LambdaKey != "" {
		if _, _, _, err = parseLambdaKey(c.LambdaKey); err != nil {
			return err
		}
	}
	_, err = c.queuesEndpoint()
	return err
}

// queuesEndpoint reads Config.LambdaQueues, as it is for one service and region; nil
// if there is none.
func (c *Config) queuesEndpoint() (*url.URL, error) {
	if c.LambdaQueues == "" {
		if c.LambdaQueuesKey != "" {
			return nil, errors.New("a key for queues is configured, and no endpoint (--lambda-queues=URL)")
		}
		return nil, nil
	}
	if _, _, _, err := parseLambdaKey(c.LambdaQueuesKey); err != nil {
		return nil, fmt.Errorf("the endpoint of queues needs an access key (--lambda-queues-key ID:SECRET): %w", err)
	}
	u, err := url.Parse(strings.NewReplacer("{service}", "sqs", "{region}", "us-east-1").Replace(c.LambdaQueues))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the URL of an endpoint of queues, like https://{service}.{region}.amazonaws.com", c.LambdaQueues)
	}
	return u, nil
}

// remoteQueues are the queues and topics of another endpoint, which the operator
// named; nil if there is none.
func (s *Server) remoteQueues(c Config) (lambda.Queues, error) {
	u, err := c.queuesEndpoint()
	if u == nil || err != nil {
		return nil, err
	}
	id, secret, token, err := parseLambdaKey(c.LambdaQueuesKey)
	if err != nil {
		return nil, err
	}
	rule, err := ruleOf(u)
	if err != nil {
		return nil, err
	}
	dialer := outbound.New(outbound.Config{Allow: []outbound.Rule{rule}, Own: s.listening})
	return &lambda.RemoteQueues{Endpoint: c.LambdaQueues, AccessKey: id, Secret: secret, Token: token, Client: dialer.Client(outbound.ClientConfig{Timeout: time.Minute})}, nil
}

// ruleOf allows the host of a URL that the operator named, wherever it is.
func ruleOf(u *url.URL) (outbound.Rule, error) {
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	rule, err := outbound.ParseRule(host)
	if err != nil {
		return rule, fmt.Errorf("the endpoint %s: %w", u, err)
	}
	return rule, nil
}

// parseLambdaKey reads ID:SECRET or ID:SECRET:TOKEN. Its error tells no secret.
func parseLambdaKey(v string) (id, secret, token string, err error) {
	p := strings.SplitN(v, ":", 3)
	if len(p) < 2 || p[0] == "" || p[1] == "" {
		return "", "", "", errors.New("the key is not of the form ID:SECRET or ID:SECRET:TOKEN")
	}
	if len(p) == 3 {
		token = p[2]
	}
	return p[0], p[1], token, nil
}

// remoteFunctions is the runner of functions at another endpoint, which the operator
// named: that may be reached wherever it is.
func (s *Server) remoteFunctions(c Config) (lambda.Runner, error) {
	u, err := c.lambdaEndpoint()
	if err != nil || u == nil {
		return nil, err
	}
	id, secret, token, err := parseLambdaKey(c.LambdaKey)
	if err != nil {
		return nil, err
	}
	rule, err := ruleOf(u)
	if err != nil {
		return nil, err
	}
	dialer := outbound.New(outbound.Config{Allow: []outbound.Rule{rule}, Own: s.listening})
	return &lambda.Remote{Endpoint: u, AccessKey: id, Secret: secret, Token: token, Client: dialer.Client(outbound.ClientConfig{})}, nil
}

// functionKeys are the access keys of functions, one for each account that has a
// key: drawn at start, never written anywhere, and gone with the process. In open
// mode there are none: the account is its own key.
func functionKeys(keys []Key) []Key {
	var all []Key
	seen := make(map[string]bool)
	for _, k := range keys {
		if seen[k.Account] {
			continue
		}
		seen[k.Account] = true
		all = append(all, Key{ID: "ASIA" + rand.Text()[:16], Secret: rand.Text() + rand.Text(), Token: rand.Text() + rand.Text(), Account: k.Account})
	}
	return all
}

// functionCredentials is the key that a function of an account has; keys are those of functionKeys.
func functionCredentials(keys []Key, account string) (id, secret, token string) {
	for _, k := range keys {
		if k.Account == account {
			return k.ID, k.Secret, k.Token
		}
	}
	return account, "open", "" // open mode takes any secret
}
