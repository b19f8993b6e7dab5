package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A server is a DynamoDB that is asked.
type server struct {
	name string
	url  string
	// wordy: its errors have AWS's words, and are compared to the letter.
	wordy func(operation string) bool

	cmd    *exec.Cmd
	exited chan struct{}
	log    bytes.Buffer // once exited
}

func startDynalite(ctx context.Context, cli string) (*server, error) {
	s := &server{name: "dynalite", wordy: func(string) bool { return true }}
	return s, s.start(ctx, "node", "--require", "./survive.js", cli, "--port", "{port}", "--createTableMs", "0", "--deleteTableMs", "0", "--updateTableMs", "0")
}

func startLocal(ctx context.Context, classpath, libraries string) (*server, error) {
	s := &server{name: "local", wordy: func(string) bool { return false }}
	return s, s.start(ctx, "java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx384m", "-Djava.library.path="+libraries, "-cp", classpath,
		"com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-disableTelemetry", "-port", "{port}")
}

// start starts the command with a free port in the place of {port}, and waits until it answers.
func (s *server) start(ctx context.Context, argv ...string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "{port}", port)
	}
	s.url = "http://127.0.0.1:" + port
	s.exited = make(chan struct{})
	s.cmd = exec.Command(argv[0], argv[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		s.cmd.Wait()
		close(s.exited)
	}()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if a, err := s.ask(ctx, "ListTables", "{}"); err == nil && a.status == 200 {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("%s ended: %s", s.name, s.log.String())
		case <-ctx.Done():
			s.stop()
			return fmt.Errorf("%s does not answer: %s", s.name, s.log.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *server) stop() {
	s.cmd.Process.Kill()
	<-s.exited
}

// A reply is what a server has answered.
type reply struct {
	status int
	body   []byte
}

var signer = v4.NewSigner()

// answerTime is long for any of the servers: one that has not answered by then does not.
const answerTime = 20 * time.Second

// ask sends a request as an SDK does. What an oracle has not finished yet is asked
// again: DynamoDB Local, on a busy machine, tells an index as ACTIVE that it then says
// is still being created.
func (s *server) ask(ctx context.Context, operation, input string) (reply, error) {
	for deadline := time.Now().Add(answerTime); ; time.Sleep(50 * time.Millisecond) {
		a, err := s.askOnce(ctx, operation, input)
		if err != nil || s.cmd == nil || !bytes.Contains(a.body, []byte("Index is being created")) || time.Now().After(deadline) {
			return a, err
		}
	}
}

func (s *server) askOnce(ctx context.Context, operation, input string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/", strings.NewReader(input))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	sum := sha256.Sum256([]byte(input))
	err = signer.SignHTTP(ctx, aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")},
		req, hex.EncodeToString(sum[:]), "dynamodb", "us-east-1", time.Now())
	if err != nil {
		return reply{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, body}, err
}
