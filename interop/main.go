// Command interop runs unmodified clients of Kinesis against the real binary.
//
//	go run . [-skip names] [-only pattern] [-v] [client ...]
//
// Without names it runs every client and every way to run it but those marked nightly. Each client is
// installed at the versions of its lock file where it is not yet, and gets a
// server of its own with an empty directory and with keys, so every
// signature is verified. All clients follow one script, see README.md; a client
// that finds a mismatch exits non-zero, and so does this command. A client that
// cannot be installed is a failure, unless it is skipped by name, which is printed.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rheostream/rheo/interop/daemon"
)

const runLimit = 15 * time.Minute // of one client against one server

func main() {
	skip := flag.String("skip", os.Getenv("SKIP"), "clients to leave out, separated by commas")
	only := flag.String("only", "", "of the ways to run a client, those whose name contains this")
	verbose := flag.Bool("v", false, "print all that clients check")
	endpoint := flag.String("endpoint", "", "run against this server instead of one of our own")
	binary := flag.String("binary", "", "use this binary instead of building one")
	parallel := flag.Int("parallel", 2, "clients at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, flag.Args(), strings.Split(*skip, ","), *only, *verbose, *endpoint, *binary, *parallel); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names, skip []string, only string, verbose bool, endpoint, binary string, parallel int) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	h := &house{root: filepath.Dir(wd), binary: binary, endpoint: endpoint, verbose: verbose, skip: skip, only: only, named: len(names) > 0}
	for _, name := range slices.Concat(names, skip) {
		if name != "" && !slices.ContainsFunc(clients, func(c client) bool { return c.name == name }) {
			return fmt.Errorf("no client %q; there are %s", name, clientNames())
		}
	}
	if binary == "" && endpoint == "" {
		if h.binary, err = daemon.Build(ctx, h.root); err != nil {
			return err
		}
	}

	var failed []string
	var mu sync.Mutex // of failed and of the output
	var all sync.WaitGroup
	turn := make(chan struct{}, parallel)
	for _, c := range clients {
		switch {
		case len(names) > 0 && !slices.Contains(names, c.name), len(names) == 0 && c.nightly:
			continue
		case slices.Contains(skip, c.name):
			fmt.Printf("SKIPPED %s (as asked)\n", c.name)
			continue
		}
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			var out bytes.Buffer
			start := time.Now()
			err := h.runClient(ctx, c, &out)
			mu.Lock()
			defer mu.Unlock()
			os.Stdout.Write(out.Bytes())
			if err != nil {
				failed = append(failed, c.name)
				fmt.Printf("FAIL    %s  %.1fs: %v\n", c.name, time.Since(start).Seconds(), err)
				return
			}
			fmt.Printf("ok      %s  %.1fs\n", c.name, time.Since(start).Seconds())
		})
	}
	all.Wait()
	if failed != nil {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// A house is where clients are installed and run.
type house struct {
	root     string // of the repository
	binary   string
	endpoint string // of somebody else's server
	verbose  bool
	skip     []string // clients that are left out by name
	only     string   // part of the name of a mode
	named    bool     // clients were chosen by name: nightly modes too
}

func (h *house) leftOut(name string) bool { return slices.Contains(h.skip, name) }

// interop is a path in the folder of this module.
func (h *house) interop(elem ...string) string {
	return filepath.Join(append([]string{h.root, "interop"}, elem...)...)
}

func (h *house) cache(elem ...string) string {
	return filepath.Join(append([]string{h.root, ".cache"}, elem...)...)
}

func (h *house) runClient(ctx context.Context, c client, out io.Writer) error {
	if err := c.install(ctx, h); err != nil {
		return fmt.Errorf("cannot install it: %w", err)
	}
	ran := false
	for _, r := range c.runs {
		if r.nightly && !h.named || !strings.Contains(r.name, h.only) {
			continue
		}
		ran = true
		var said bytes.Buffer
		err := h.runOnce(ctx, c, r, &said)
		if err != nil || h.verbose {
			fmt.Fprintf(out, "--- %s %s\n%s", c.name, r.name, said.String())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	if !ran {
		return fmt.Errorf("no way to run it is named %q", h.only)
	}
	return nil
}

// runOnce runs the client against a server with an empty directory.
func (h *house) runOnce(ctx context.Context, c client, r mode, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	dir, err := os.MkdirTemp("", "rheo-interop-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var log bytes.Buffer
	var d *daemon.Daemon
	environment := append(os.Environ(), "AWS_ENDPOINT_URL="+h.endpoint, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_REGION="+daemon.Region)
	if h.endpoint == "" {
		if d, err = daemon.Start(ctx, daemon.Config{Binary: h.binary, Dir: filepath.Join(dir, "data"), Log: &log, Open: c.open}); err != nil {
			return fmt.Errorf("%w\n%s", err, log.String())
		}
		environment = d.ClientEnvironment(r.tls)
	}
	argv, err := c.command(h, r, d)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = filepath.Join(h.root, "interop", c.folder())
	cmd.Env = environment
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("did not end within %s: %w", runLimit, err)
	}
	if d != nil {
		if stopErr := d.Stop(); err == nil && stopErr != nil {
			err = fmt.Errorf("the client is content, but %w", stopErr)
		}
		if err != nil {
			fmt.Fprintf(out, "--- the server said\n%s", tail(log.Bytes(), 4000))
		}
	}
	return err
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}
