// Package rheo is Amazon Kinesis, self-hosted: New starts a server that
// unmodified AWS clients use by changing one URL.
//
//	srv, err := rheo.New(rheo.Config{})   // in memory, on a free port: for tests
//	defer srv.Close()
//	cfg.BaseEndpoint = aws.String(srv.URL())
//
// This file is the only place where parts are chosen and wired: the log, the
// catalog on it, the services, the way of a call, the listeners.
package rheo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/api"
	dynamodbapi "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/auth"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/call"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/companion/dynamodb"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/streams"
	"github.com/rheostream/rheo/internal/vfs"
	"github.com/rheostream/rheo/internal/wire"
)

// Version of the program; the release build sets it.
var Version = "0.1.0-dev"

const defaultAccount = auth.DefaultAccount

// Key is an access key that may call.
type Key = auth.Key

// InitialStream is a stream that New makes if it is not there.
type InitialStream struct {
	Name   string
	Shards int // 0: on-demand
}

// Config of a server. The zero value works: everything in memory, plain HTTP on
// a free loopback port, AWS's limits.
type Config struct {
	Dir       string // directory of everything that is kept; empty: memory, gone at Close
	Host      string // to listen on; empty is 127.0.0.1
	Port      int    // of all services; 0 is any free one
	HTTP1Port int    // HTTP/1.1 only; 0 is any free one, -1 none
	Keys      []Key  // none: open mode, any credentials are taken, loopback only
	Names     []string
	Origins   []string

	Limits        call.Limits // 0 is AWS's
	Transition    time.Duration
	ShardLimit    int // 0 is 20,000
	OnDemandLimit int // 0 is 50
	Streams       []InitialStream
	Region        string // of Streams; empty is us-east-1

	MemoryBytes  int64 // 0 is 1 GiB; at least [MemoryBytesMin]
	JournalFiles int   // 0 is 8
	Repair       bool

	LogLevel  slog.Level
	LogFormat string       // for the command: "text" or "json"
	Logger    *slog.Logger // nil discards
}

// Server is a running rheo.
type Server struct {
	log       *shardlog.Disk
	blobs     blob.Store
	catalog   *catalog.Catalog
	streams   *streams.Service
	dynamodb  *dynamodb.Service
	handler   *wire.Handler
	servers   []*wire.Server
	authority *wire.Authority
	logger    *slog.Logger
	failed    chan error
	open      bool
}

// New starts a server: the log is open and recovered, the ports are taken and
// requests are answered when it returns.
func New(c Config) (*Server, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = memoryDefault
	}
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Limits == 0 {
		c.Limits = call.AWS
	}
	memory, err := shareMemory(c.MemoryBytes)
	if err != nil {
		return nil, err
	}
	if len(c.Keys) == 0 && !isLoopback(c.Host) {
		return nil, fmt.Errorf("without access keys rheo listens on loopback only, not on %s: anyone who reaches it could do anything. Configure keys (--keys ID:SECRET or --keys-file)", c.Host)
	}
	s := &Server{logger: c.Logger, failed: make(chan error, 2), open: len(c.Keys) == 0}
	if err := s.start(c, memory); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start opens and wires all parts; after an error Close closes those that are open.
func (s *Server) start(c Config, memory shares) (err error) {
	if err := s.openStorage(c, memory.log); err != nil {
		return err
	}
	registry := metrics.New()
	s.measure(registry)
	limits := float64(c.Limits)
	if c.Limits == call.Off {
		limits = -1
	}
	requests, answers := wire.NewBudget(memory.requests), wire.NewBudget(memory.answers)
	s.streams, err = streams.New(context.Background(), streams.Config{
		Log: s.log, Catalog: s.catalog, Logger: c.Logger, Metrics: registry, Memory: answers, Transition: c.Transition,
		Limits: limits, Repair: c.Repair, ShardLimit: c.ShardLimit, OnDemandLimit: c.OnDemandLimit,
	})
	if err != nil {
		return err
	}
	s.dynamodb, err = dynamodb.New(context.Background(), dynamodb.Config{
		Log: s.log, Blobs: s.blobs, MemoryBytes: memory.tables, Answers: answers, Transition: c.Transition, Metrics: registry, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	calls := call.New(call.Config{Limits: c.Limits, Log: c.Logger, Metrics: registry})
	calls.Register(kinesis.Service, call.Kinesis, s.streams)
	calls.Register(dynamodbapi.Service, call.DynamoDB, s.dynamodb)
	verifier, err := auth.New(auth.Config{Keys: c.Keys})
	if err != nil {
		return err
	}
	s.handler = wire.NewHandler(wire.HandlerConfig{
		Services: []*api.Service{kinesis.Service, dynamodbapi.Service}, Auth: verifier, Calls: calls, Metrics: registry,
		Memory: requests, Answers: answers,
		Hosts: c.Names, Origins: c.Origins, Version: Version, Log: c.Logger,
	})
	if err := makeStreams(c, calls); err != nil {
		return err
	}
	return s.listen(c)
}

func (s *Server) openStorage(c Config, memoryBytes int64) (err error) {
	fsys, dir := vfs.OS(), c.Dir
	journalBytes := int64(0)
	if dir == "" {
		fsys, dir = vfs.NewCrash(0), "memory"
		journalBytes = 64 << 20
	}
	s.log, err = shardlog.Open(shardlog.Config{
		FS: fsys, Dir: filepath.Join(dir, "log"), MemoryBytes: memoryBytes, JournalFilesMax: c.JournalFiles,
		JournalFileBytes: journalBytes, Repair: c.Repair, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	s.blobs, err = blob.OpenDir(fsys, filepath.Join(dir, "blobs"))
	if err != nil {
		return err
	}
	s.catalog, err = catalog.Open(context.Background(), catalog.Config{Log: s.log, Blobs: s.blobs, Logger: c.Logger})
	if err != nil || c.Dir == "" {
		return err
	}
	s.authority, err = wire.OpenAuthority(filepath.Join(c.Dir, "tls"), c.Names, nil)
	return err
}

func (s *Server) listen(c Config) error {
	sc := wire.ServerConfig{Addr: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), Handler: s.handler, Log: c.Logger}
	if s.authority != nil {
		sc.TLS = s.authority.TLSConfig()
	}
	all := []wire.ServerConfig{sc}
	if c.HTTP1Port >= 0 && !(c.Dir == "" && c.HTTP1Port == 0) {
		sc.Addr, sc.HTTP1Only = net.JoinHostPort(c.Host, strconv.Itoa(c.HTTP1Port)), true
		all = append(all, sc)
	}
	for _, sc := range all {
		srv, err := wire.Listen(sc)
		if err != nil {
			return err
		}
		s.servers = append(s.servers, srv)
	}
	for _, srv := range s.servers {
		go func() {
			if err := srv.Serve(); err != nil {
				s.failed <- err
			}
		}()
	}
	return nil
}

// makeStreams makes the configured streams, by the way that any call takes.
func makeStreams(c Config, calls *call.Calls) error {
	caller := &api.Caller{Account: defaultAccount, Region: c.Region, Principal: "arn:aws:iam::" + defaultAccount + ":root", RequestID: "start"}
	if len(c.Keys) > 0 {
		caller.Account = c.Keys[0].Account
	}
	for _, st := range c.Streams {
		in := &kinesis.CreateStreamInput{StreamName: &st.Name}
		if st.Shards > 0 {
			in.ShardCount = new(int32(st.Shards))
		} else {
			in.StreamModeDetails = &kinesis.StreamModeDetails{StreamMode: kinesis.StreamModeOnDemand}
		}
		op := kinesis.Service.Op("CreateStream")
		if err := wire.Validate(op, in); err != nil {
			return fmt.Errorf("cannot make stream %s: %w", st.Name, err)
		}
		for {
			_, err := calls.Do(context.Background(), caller, op, in)
			if rateExceeded(err) {
				time.Sleep(200 * time.Millisecond) // the account's call rate comes back by the second
				continue
			}
			if err != nil && !api.IsCode(err, "ResourceInUseException") {
				return fmt.Errorf("cannot make stream %s: %w", st.Name, err)
			}
			break
		}
	}
	return nil
}

func rateExceeded(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == "LimitExceededException" && strings.HasPrefix(e.Message, "Rate exceeded")
}

// measure shows the log's figures with the metrics.
func (s *Server) measure(r *metrics.Registry) {
	for _, g := range []struct {
		name, help string
		value      func(shardlog.Stats) float64
	}{
		{"rheo_log_groups_total", "Groups committed to the journal.", func(st shardlog.Stats) float64 { return float64(st.Groups) }},
		{"rheo_log_records_total", "Records committed.", func(st shardlog.Stats) float64 { return float64(st.Records) }},
		{"rheo_log_journal_bytes_total", "Bytes written to the journal.", func(st shardlog.Stats) float64 { return float64(st.JournalBytes) }},
		{"rheo_log_segment_bytes_total", "Bytes written to segments.", func(st shardlog.Stats) float64 { return float64(st.SegmentBytes) }},
		{"rheo_log_failed_syncs_total", "Syncs that failed.", func(st shardlog.Stats) float64 { return float64(st.FailedSyncs) }},
		{"rheo_log_damaged_ranges_total", "Damaged ranges found.", func(st shardlog.Stats) float64 { return float64(st.DamagedRanges) }},
		{"rheo_log_clock_steps_total", "Steps of the wall clock that were slewed.", func(st shardlog.Stats) float64 { return float64(st.ClockSteps) }},
		{"rheo_log_memory_bytes", "Memory of records on their way to segments.", func(st shardlog.Stats) float64 { return float64(st.MemoryBytes) }},
		{"rheo_log_free_bytes", "Free bytes on the log's volume.", func(st shardlog.Stats) float64 { return float64(st.FreeBytes) }},
		{"rheo_log_full", "1 while records are refused for want of space.", func(st shardlog.Stats) float64 {
			if st.Full {
				return 1
			}
			return 0
		}},
		{"rheo_log_shards", "Shards in the log.", func(st shardlog.Stats) float64 { return float64(st.Shards) }},
	} {
		r.Gauge(g.name, g.help, func() float64 { return g.value(s.log.Stats()) })
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Addr is the address of the endpoint.
func (s *Server) Addr() string { return s.servers[0].Addr().String() }

// URL is the endpoint for plain HTTP, "http://127.0.0.1:4566".
func (s *Server) URL() string { return "http://" + s.Addr() }

// HTTP1Addr is the address that speaks HTTP/1.1 only; empty if there is none.
func (s *Server) HTTP1Addr() string {
	if len(s.servers) < 2 {
		return ""
	}
	return s.servers[1].Addr().String()
}

// CAFile holds the certificate that TLS clients must trust; empty when in memory.
func (s *Server) CAFile() string {
	if s.authority == nil {
		return ""
	}
	return s.authority.Path()
}

// Open says that no keys are configured and any credentials are taken.
func (s *Server) Open() bool { return s.open }

// Failed delivers an error if a listener breaks.
func (s *Server) Failed() <-chan error { return s.failed }

// Shutdown stops in reverse: no new connections, event streams end, requests
// under way are answered (until ctx ends), then all state is written and closed.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.handler != nil {
		s.handler.Drain()
	}
	var listeners sync.WaitGroup
	for _, srv := range s.servers {
		listeners.Go(func() {
			if err := srv.Shutdown(ctx); err != nil {
				// Readers that do not take their answer, senders that stopped half
				// way: nothing acknowledged is theirs to lose.
				s.logger.Warn("connections are closed that did not come to their end", "listener", srv.Addr(), "err", err)
				srv.Close()
			}
		})
	}
	listeners.Wait()
	var errs []error
	if s.dynamodb != nil {
		s.dynamodb.Close()
	}
	if s.streams != nil {
		s.streams.Close()
	}
	if s.catalog != nil {
		s.catalog.Close()
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(errs...)
}

// Close is Shutdown that gives requests under way five seconds.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return s.Shutdown(ctx)
}
