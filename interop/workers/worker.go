package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A worker is a process of the application.
type worker struct {
	name   string
	log    string // file of what it prints
	events []event

	cmd    *exec.Cmd
	exited chan struct{}
	err    error // once exited is closed
	over   bool  // it may have exited

	file *os.File // of its events
	rest []byte   // of it: a line that is not whole yet
}

const stopGrace = 90 * time.Second

// start starts a worker of the application.
func (r *run) start(name string) (*worker, error) {
	path := func(suffix string) string { return filepath.Join(r.dir, name+suffix) }
	file, err := os.Create(path(".events"))
	if err != nil {
		return nil, err
	}
	log, err := os.Create(path(".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	argv := append([]string(nil), r.argv...)
	if r.processor != "" {
		if err := os.WriteFile(path(".properties"), []byte(r.properties(name)), 0o644); err != nil {
			return nil, err
		}
		for i := range argv {
			argv[i] = strings.ReplaceAll(argv[i], "{properties}", path(".properties"))
		}
	}
	w := &worker{name: name, log: path(".log"), file: file, exited: make(chan struct{})}
	w.cmd = exec.Command(argv[0], argv[1:]...)
	w.cmd.Stdout, w.cmd.Stderr = log, log
	w.cmd.Env = append(os.Environ(), "INTEROP_STREAM="+r.stream, "INTEROP_APPLICATION="+r.application,
		"INTEROP_WORKER="+name, "INTEROP_EVENTS="+file.Name(), "INTEROP_SETTINGS="+strings.Join(r.library.given, " "), fmt.Sprint("INTEROP_LIBRARY=", r.library.version))
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() {
		w.err = w.cmd.Wait()
		close(w.exited)
	}()
	r.workers = append(r.workers, w)
	return w, nil
}

// properties configure the multi-language daemon. There is none for the endpoint of
// CloudWatch, which comes by the environment as all endpoints do in newer versions.
func (r *run) properties(worker string) string {
	endpoint := os.Getenv("AWS_ENDPOINT_URL")
	return strings.Join(append([]string{
		"executableName = " + r.processor,
		"streamName = " + r.stream,
		"applicationName = " + r.application,
		"workerId = " + worker,
		"AwsCredentialsProvider = DefaultCredentialsProvider",
		"initialPositionInStream = TRIM_HORIZON",
		"regionName = " + os.Getenv("AWS_REGION"),
		"kinesisEndpoint = " + endpoint,
		"dynamoDBEndpoint = " + endpoint,
		"shutdownGraceMillis = 60000", // by default the daemon does not wait for its processors
	}, r.library.given...), "\n") + "\n"
}

// poll reads what the worker has written since.
func (w *worker) poll() error {
	more, err := io.ReadAll(w.file)
	if err != nil {
		return err
	}
	w.rest = append(w.rest, more...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			break
		}
		w.rest = rest
		e, err := parseEvent(w.name, string(line))
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		w.events = append(w.events, e)
	}
	select {
	case <-w.exited:
		if !w.over {
			return fmt.Errorf("%s ended by itself: %v\n%s", w.name, w.err, w.lastLogged())
		}
	default:
	}
	return nil
}

func (w *worker) lastLogged() []byte {
	b, err := os.ReadFile(w.log)
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-3000):]
}

// kill is kill -9.
func (w *worker) kill() {
	w.over = true
	w.cmd.Process.Kill()
	<-w.exited
}

// stop asks the worker to end, and waits until it has.
func (w *worker) stop(ctx context.Context) error {
	w.over = true
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("cannot stop %s: %w", w.name, err)
	}
	select {
	case <-w.exited:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(stopGrace):
		return fmt.Errorf("%s did not stop within %s\n%s", w.name, stopGrace, w.lastLogged())
	}
	// A Java virtual machine that was asked to end by a signal says so when its hooks are done.
	const terminated = 128 + int(syscall.SIGTERM)
	if exit := (*exec.ExitError)(nil); w.err != nil && !(errors.As(w.err, &exit) && exit.ExitCode() == terminated) {
		return fmt.Errorf("%s stopped with %w\n%s", w.name, w.err, w.lastLogged())
	}
	return w.poll()
}
