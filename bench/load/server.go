package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// kind is one of the servers that are compared.
type kind string

const (
	limit       kind = "limit"
	rheo        kind = "rheo"
	kinesisMock kind = "kinesis-mock" // keeps data in memory
	kinesalite  kind = "kinesalite"   // keeps data in LevelDB, unsynced

	dynamoDBLocal kind = "dynamodb-local" // keeps tables in SQLite, synced; in the rows of leases alone
)

var peers = []kind{kinesisMock, kinesalite}

// command is how a server is started on a folder and a port, with its own limits lifted.
func (b *bench) command(k kind, dir string, port int, limitArgs []string) *exec.Cmd {
	p := strconv.Itoa(port)
	switch k {
	case limit:
		return exec.Command(b.limitBinary, append([]string{"-listen", "127.0.0.1:" + p, "-dir", dir}, limitArgs...)...)
	case rheo:
		return exec.Command(b.rheoBinary, "serve", "--data", dir, "--port", p, "--http1-port", "-1", "--limits", "off", "--keys-file", b.keysFile)
	case kinesisMock:
		c := exec.Command("node", "--max-old-space-size=8192", "main.js")
		c.Dir = filepath.Join(b.peersDir, "node_modules/kinesis-local") // where it looks for its certificate
		// The second port is for TLS, which is not measured; every duration is a wait that the peer would add.
		c.Env = append(os.Environ(), "KINESIS_MOCK_PLAIN_PORT="+p, "KINESIS_MOCK_TLS_PORT="+strconv.Itoa(freePort()),
			"SHARD_LIMIT=1000000", "CREATE_STREAM_DURATION=10ms", "LOG_LEVEL=ERROR")
		return c
	case kinesalite:
		return exec.Command("node", "--max-old-space-size=8192", filepath.Join(b.peersDir, "node_modules/kinesalite/cli.js"),
			"--port", p, "--path", filepath.Join(dir, "db"), "--shardLimit", "1000000", "--createStreamMs", "10")
	case dynamoDBLocal:
		jars := filepath.Join(b.peersDir, "jars")
		return exec.Command("java", "-Xmx1g", "-Djava.library.path="+jars, "-cp", filepath.Join(jars, "*"),
			"com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-disableTelemetry", "-dbPath", dir, "-port", p)
	}
	panic("unknown server " + k)
}

// server is a running server.
type server struct {
	kind    kind
	dir     string
	addr    string
	cmd     *exec.Cmd
	started time.Duration // from exec to the first good answer
	exited  chan struct{}
	logName string

	mu      sync.Mutex
	exitErr error // guarded by mu
}

func (b *bench) start(k kind, dir string, limitArgs ...string) (*server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	port := freePort()
	return b.launch(k, dir, port, b.command(k, dir, port, limitArgs))
}

// startFunctions starts rheo with functions as local processes.
func (b *bench) startFunctions(dir string) (*server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	port := freePort()
	cmd := b.command(rheo, dir, port, nil)
	cmd.Args = append(cmd.Args, "--lambda", "local")
	return b.launch(rheo, dir, port, cmd)
}

func (b *bench) launch(k kind, dir string, port int, cmd *exec.Cmd) (*server, error) {
	s := &server{kind: k, dir: dir, addr: "127.0.0.1:" + strconv.Itoa(port), cmd: cmd, exited: make(chan struct{}),
		logName: filepath.Join(b.workDir, string(k)+".log")}
	log, err := os.Create(s.logName)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.running.Store(s)
	go func() {
		err := cmd.Wait()
		s.mu.Lock()
		s.exitErr = err
		s.mu.Unlock()
		close(s.exited)
	}()
	for time.Since(began) < 2*time.Minute {
		if s.answers() {
			s.started = time.Since(began)
			return s, nil
		}
		select {
		case <-s.exited:
			return nil, s.failure()
		case <-time.After(time.Millisecond):
		}
	}
	s.kill()
	return nil, fmt.Errorf("%s does not answer", k)
}

func (s *server) answers() bool {
	if s.kind == limit {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if s.kind == dynamoDBLocal {
		return dynamoDB.call(s.addr, "ListTables", map[string]any{}, nil) == nil
	}
	return call(s.addr, "ListStreams", map[string]any{}, nil) == nil
}

// failure says why the server ended, with the end of its log.
func (s *server) failure() error {
	log, _ := os.ReadFile(s.logName)
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("%s ended (%v): %s", s.kind, s.exitErr, log[max(0, len(log)-500):])
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// stop asks the server to end, and insists after a while.
func (s *server) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		return nil
	case <-time.After(30 * time.Second):
		s.kill()
		return errors.New("had to be killed")
	}
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.exited
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
