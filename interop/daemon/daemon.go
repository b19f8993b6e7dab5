// Package daemon runs the real binary as its users do: built once, started in an
// empty or a used directory, awaited, and stopped or killed. It imports nothing
// of the server: what the tests beside it see is what any client sees.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The credentials that every server here is configured with, so that each
// request of each client has its signature verified.
const (
	AccessKey = "AKIAINTEROPEXAMPLE01"
	SecretKey = "interop/secret/key/with+all/kinds=of"
	Account   = "000000000000"
	Region    = "us-east-1"
)

// Build builds the binary from the module at root into root/.cache.
func Build(ctx context.Context, root string) (binary string, err error) {
	binary = filepath.Join(root, ".cache", "bin", "rheo")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/rheo")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build rheo: %w\n%s", err, out)
	}
	return binary, nil
}

// Config says how to start a server.
type Config struct {
	Binary string
	Dir    string // its data
	Port   int    // 0: any free one
	Log    io.Writer
	Open   bool     // no keys: any credentials are taken
	Args   []string // further arguments of serve
}

// A Daemon is a running server.
type Daemon struct {
	Port   int
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // once exited is closed
}

// Start starts a server and returns once it is healthy.
func Start(ctx context.Context, c Config) (*Daemon, error) {
	d, err := Launch(c)
	if err != nil {
		return nil, err
	}
	if err := d.awaitHealth(ctx); err != nil {
		d.Kill()
		return nil, err
	}
	return d, nil
}

// Launch starts a server and does not wait for anything.
func Launch(c Config) (*Daemon, error) {
	d := &Daemon{Port: c.Port, dir: c.Dir, exited: make(chan struct{})}
	if d.Port == 0 {
		var err error
		if d.Port, err = freePort(); err != nil {
			return nil, err
		}
	}
	args := []string{"serve", "--data", c.Dir, "--port", strconv.Itoa(d.Port), "--http1-port", "-1"}
	if !c.Open {
		args = append(args, "--keys", AccessKey+":"+SecretKey)
	}
	d.cmd = exec.Command(c.Binary, append(args, c.Args...)...)
	d.cmd.Env = cleanEnvironment()
	d.cmd.Stdout, d.cmd.Stderr = c.Log, c.Log
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start rheo: %w", err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.exited)
	}()
	return d, nil
}

func (d *Daemon) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for {
		resp, err := client.Get(d.URL() + "/health")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-d.exited:
			return fmt.Errorf("rheo ended before it was healthy: %v", d.err)
		case <-ctx.Done():
			return fmt.Errorf("rheo is not healthy: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// URL is the endpoint in plain HTTP, TLSURL the same port over TLS.
func (d *Daemon) URL() string    { return "http://localhost:" + strconv.Itoa(d.Port) }
func (d *Daemon) TLSURL() string { return "https://localhost:" + strconv.Itoa(d.Port) }

// CA is the file with the certificate authority that the server made.
func (d *Daemon) CA() string { return filepath.Join(d.dir, "tls", "ca.pem") }

// Pid is the process.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Kill is kill -9. It returns once the process is gone.
func (d *Daemon) Kill() {
	d.cmd.Process.Kill()
	<-d.exited
}

// Stop asks the server to end and waits for it; an exit status other than 0 is an error.
func (d *Daemon) Stop() error {
	select {
	case <-d.exited:
		return fmt.Errorf("rheo ended by itself: %v", d.err)
	default:
	}
	d.cmd.Process.Signal(os.Interrupt)
	select {
	case <-d.exited:
		return d.err
	case <-time.After(30 * time.Second):
		d.Kill()
		return errors.New("rheo did not stop within 30 s")
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// cleanEnvironment is ours without what would configure a server or a client.
func cleanEnvironment() (env []string) {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "RHEO_") {
			env = append(env, kv)
		}
	}
	return env
}

// ClientEnvironment is what a user of the server would export, for plain HTTP or for TLS.
func (d *Daemon) ClientEnvironment(overTLS bool) []string {
	url := d.URL()
	if overTLS {
		url = d.TLSURL()
	}
	return append(cleanEnvironment(),
		"AWS_ENDPOINT_URL="+url,
		"AWS_ACCESS_KEY_ID="+AccessKey,
		"AWS_SECRET_ACCESS_KEY="+SecretKey,
		"AWS_REGION="+Region,
		"AWS_DEFAULT_REGION="+Region,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_CA_BUNDLE="+d.CA(),
		"NODE_EXTRA_CA_CERTS="+d.CA(),
		"SSL_CERT_FILE="+d.CA(), // rustls
	)
}
