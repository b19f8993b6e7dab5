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
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/api"
	cloudwatchapi "github.com/rheostream/rheo/internal/api/cloudwatch"
	dynamodbapi "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/api/kinesis"
	lambdaapi "github.com/rheostream/rheo/internal/api/lambda"
	logsapi "github.com/rheostream/rheo/internal/api/logs"
	stsapi "github.com/rheostream/rheo/internal/api/sts"
	"github.com/rheostream/rheo/internal/auth"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/call"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/companion/cloudwatch"
	"github.com/rheostream/rheo/internal/companion/dynamodb"
	"github.com/rheostream/rheo/internal/companion/lambda"
	"github.com/rheostream/rheo/internal/companion/logs"
	"github.com/rheostream/rheo/internal/companion/s3"
	"github.com/rheostream/rheo/internal/companion/sts"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/streams"
	"github.com/rheostream/rheo/internal/vfs"
	"github.com/rheostream/rheo/internal/wire"
)

// Version of the program; the release build sets it.
var Version = "0.1.0-dev"

const (
	defaultAccount = auth.DefaultAccount
	defaultHost    = "localhost"
)

// Key is an access key that may call.
type Key = auth.Key

// Limits scales AWS's limits on capacity and call rates: 1 is AWS's own, 2 twice
// as much, and so on up to 1e6.
type Limits = call.Limits

const (
	// LimitsAWS has the limits exactly as AWS has them.
	LimitsAWS = call.AWS
	// LimitsOff has none. Quotas (Config.ShardLimit, Config.OnDemandLimit) remain.
	LimitsOff Limits = -1
)

// InitialStream is a stream that New makes if it is not there.
type InitialStream struct {
	Name   string
	Shards int    // 0: on-demand
	Region string // empty: Config.Region
}

// Config of a server. The zero value works: everything in memory, plain HTTP on
// a free loopback port, AWS's limits.
type Config struct {
	Dir       string // directory of everything that is kept; empty: memory, gone at Close
	Host      string // to listen on; empty is localhost: 127.0.0.1 and, where there is IPv6, ::1
	Port      int    // of all services; 0 is any free one
	HTTP1Port int    // HTTP/1.1 only; 0 is any free one, -1 none
	Keys      []Key  // none: open mode, any credentials are taken, loopback only
	Names     []string
	Origins   []string

	MetricsOpen bool // /metrics is for anyone, not for this machine alone

	Limits        Limits // 0 is LimitsAWS
	Transition    time.Duration
	ShardLimit    int // 0 is 20,000; at most 1,000,000
	OnDemandLimit int // 0 is 50; at most 1,000,000
	Streams       []InitialStream
	Region        string // of Streams; empty is us-east-1

	// Lambda is where functions run: empty, nowhere (they can be made, not invoked); "local", as processes
	// of this machine; or the URL of another Lambda endpoint, whose calls LambdaKey signs (ID:SECRET or
	// ID:SECRET:TOKEN).
	Lambda    string
	LambdaKey string
	// LambdaQueues is the endpoint of the queues and topics that destinations may be; {service} and
	// {region} stand for those of the destination. LambdaQueuesKey signs its calls.
	LambdaQueues    string
	LambdaQueuesKey string
	LambdaDir       string // of unpacked code and running functions; empty: one in the system's directory for temporary files

	MemoryBytes  int64 // 0 is 1 GiB; at least [MemoryBytesMin]
	JournalFiles int   // 0 is 8
	Repair       bool

	// ObjectBytesMax is how many bytes the objects of an account may take, with the
	// parts of its uploads. 0 is no limit or, where everything is in memory, MemoryBytes.
	ObjectBytesMax int64

	LogLevel  slog.Level
	LogFormat string       // for the command: "text" or "json"
	Logger    *slog.Logger // nil discards
}

// Server is a running rheo.
type Server struct {
	log        *shardlog.Disk
	blobs      blob.Store
	catalog    *catalog.Catalog
	streams    *streams.Service
	dynamodb   *dynamodb.Service
	cloudwatch *cloudwatch.Service
	logs       *logs.Service
	s3         *s3.Service
	volume     func() (free, total int64, err error)
	lambda     *lambda.Service
	local      *localFunctions // nil: functions do not run here
	handler    *wire.Handler
	servers    []*wire.Server
	authority  *wire.Authority
	logger     *slog.Logger
	failed     chan error
	open       bool
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
		c.Host = defaultHost
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	switch c.Limits {
	case 0:
		c.Limits = LimitsAWS
	case LimitsOff:
		c.Limits = call.Off
	}
	memory, err := shareMemory(c.MemoryBytes)
	if err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &Server{logger: c.Logger, failed: make(chan error, 2), open: len(c.Keys) == 0}
	if err := s.start(c, memory); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// check refuses what cannot be served, before anything is made on the disk.
func (c *Config) check() error {
	if len(c.Keys) == 0 && c.Host != "" && !isLoopback(c.Host) {
		return fmt.Errorf("without access keys rheo listens on loopback only, not on %s: anyone who reaches it could do anything. Configure keys (--keys ID:SECRET or --keys-file)", c.Host)
	}
	if _, err := auth.New(auth.Config{Keys: c.Keys}); err != nil {
		return err
	}
	if c.Limits != LimitsOff && !(c.Limits >= 0) {
		return fmt.Errorf("limits of %v times AWS's make no sense; LimitsOff has none", float64(c.Limits))
	}
	for name, n := range map[string]int{"shard limit": c.ShardLimit, "on-demand limit": c.OnDemandLimit} {
		if n < 0 || n > quotaMax {
			return fmt.Errorf("the %s %d is not a number from 1 to %d", name, n, quotaMax)
		}
	}
	if c.Region != "" {
		if err := checkRegion(c.Region); err != nil {
			return err
		}
	}
	if err := c.checkLambda(); err != nil {
		return err
	}
	for _, s := range c.Streams {
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
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
	s.cloudwatch, err = cloudwatch.New(context.Background(), cloudwatch.Config{
		Log: s.log, Blobs: s.blobs, MemoryBytes: memory.metrics, Answers: answers, Own: registry, Metrics: registry, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	s.s3, err = s3.New(context.Background(), s3.Config{
		Log: s.log, Blobs: s.blobs, MemoryBytes: memory.objects, QuotaBytes: c.objectBytesMax(), Disk: s.diskForObjects, Metrics: registry, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	calls := call.New(call.Config{Limits: c.Limits, Log: c.Logger, Metrics: registry})
	s.logs, err = logs.New(context.Background(), logs.Config{
		Log: s.log, Blobs: s.blobs, MemoryBytes: memory.logs, Answers: answers, Streams: streamWriter{calls}, Functions: functionCaller{calls}, Metrics: registry, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	session := functionKeys(c.Keys)
	runner, err := s.functions(c)
	if err != nil {
		return err
	}
	queues, err := s.remoteQueues(c)
	if err != nil {
		return err
	}
	s.lambda, err = lambda.New(context.Background(), lambda.Config{
		Log: s.log, Blobs: s.blobs, Runner: runner, Queues: queues, Streams: lambdaStreams{calls}, Objects: lambdaObjects{calls}, StateBytesMax: memory.functions, MappingBytesMax: memory.mappings,
		Answers: answers, Repair: c.Repair, Transition: c.Transition, Metrics: registry, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	calls.Register(kinesis.Service, call.Kinesis, s.streams)
	calls.Register(dynamodbapi.Service, call.DynamoDB, s.dynamodb)
	calls.Register(cloudwatchapi.Service, call.CloudWatch, s.cloudwatch)
	calls.Register(logsapi.Service, call.Logs, s.logs)
	calls.Register(stsapi.Service, call.STS, sts.Service{})
	calls.Register(s3.API, call.S3, s.s3)
	calls.Register(lambdaapi.Service, call.Lambda, s.lambda)
	s.logs.Deliver()
	verifier, err := auth.New(auth.Config{Keys: append(slices.Clone(c.Keys), session...)})
	if err != nil {
		return err
	}
	s.handler = wire.NewHandler(wire.HandlerConfig{
		Services: []*api.Service{kinesis.Service, dynamodbapi.Service, cloudwatchapi.Service, logsapi.Service, stsapi.Service, lambdaapi.Service, s3.API}, Auth: verifier, Calls: calls, Metrics: registry,
		S3:     s3.NewHandler(s3.HandlerConfig{Calls: calls, Memory: requests, Hosts: c.Names}),
		Memory: requests, Answers: answers,
		Hosts: c.Names, Origins: c.Origins, MetricsOpen: c.MetricsOpen, Version: Version, Log: c.Logger,
	})
	if err := makeStreams(c, calls); err != nil {
		return err
	}
	if err := s.listen(c); err != nil {
		return err
	}
	if s.local != nil {
		if err := s.local.open(s, c, session); err != nil {
			return err
		}
	}
	s.serve()
	s.lambda.Start()
	return nil
}

// functions chooses what runs functions; nil if they are not run.
func (s *Server) functions(c Config) (lambda.Runner, error) {
	if c.Lambda == lambdaLocal {
		s.local = &localFunctions{}
		return s.local, nil
	}
	return s.remoteFunctions(c)
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
	s.volume = func() (free, total int64, err error) { return fsys.Usage(filepath.Join(dir, "blobs")) }
	s.catalog, err = catalog.Open(context.Background(), catalog.Config{Log: s.log, Blobs: s.blobs, Logger: c.Logger})
	if err != nil || c.Dir == "" {
		return err
	}
	s.authority, err = wire.OpenAuthority(filepath.Join(c.Dir, "tls"), c.Names, nil)
	return err
}

func (c *Config) objectBytesMax() int64 {
	if c.ObjectBytesMax == 0 && c.Dir == "" {
		return c.MemoryBytes
	}
	return c.ObjectBytesMax
}

// diskForObjects is the space that there is for objects. They leave twice what the
// log keeps free for itself: uploads end before streams do.
func (s *Server) diskForObjects() s3.Disk {
	free, total, err := s.volume()
	if err != nil {
		return s3.Disk{Free: 1 << 62} // not every file system can say; a full one then shows by its errors
	}
	return s3.Disk{Free: free, Reserve: 2 * min(total/20, 1<<30)}
}

// listen takes the ports; nothing is accepted before serve.
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
	return nil
}

func (s *Server) serve() {
	for _, srv := range s.servers {
		go func() {
			if err := srv.Serve(); err != nil {
				s.failed <- err
			}
		}()
	}
}

// makeStreams makes the configured streams, by the way that any call takes.
func makeStreams(c Config, calls *call.Calls) error {
	caller := &api.Caller{Account: defaultAccount, Region: c.Region, Principal: "arn:aws:iam::" + defaultAccount + ":root", RequestID: "start"}
	if len(c.Keys) > 0 {
		caller.Account = c.Keys[0].Account
	}
	for _, st := range c.Streams {
		caller := *caller
		if st.Region != "" {
			caller.Region = st.Region
		}
		for {
			_, err := calls.Do(context.Background(), &caller, createStream, st.input())
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

var createStream = kinesis.Service.Op("CreateStream")

// check says whether CreateStream would refuse s at sight.
func (s *InitialStream) check() error {
	err := wire.Validate(createStream, s.input())
	if err == nil && s.Region != "" {
		err = checkRegion(s.Region)
	}
	if err != nil {
		return fmt.Errorf("cannot make stream %s: %w", s.Name, err)
	}
	return nil
}

func (s *InitialStream) input() *kinesis.CreateStreamInput {
	in := &kinesis.CreateStreamInput{StreamName: &s.Name}
	if s.Shards > 0 {
		in.ShardCount = new(int32(s.Shards))
	} else {
		in.StreamModeDetails = &kinesis.StreamModeDetails{StreamMode: kinesis.StreamModeOnDemand}
	}
	return in
}

func rateExceeded(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == "LimitExceededException" && strings.HasPrefix(e.Message, "Rate exceeded")
}

// measure shows the log's figures with the metrics.
func (s *Server) measure(r *metrics.Registry) {
	type figure struct {
		name, help string
		value      func(shardlog.Stats) float64
	}
	for _, f := range []figure{
		{"rheo_log_groups_total", "Groups committed to the journal.", func(st shardlog.Stats) float64 { return float64(st.Groups) }},
		{"rheo_log_records_total", "Records committed.", func(st shardlog.Stats) float64 { return float64(st.Records) }},
		{"rheo_log_journal_bytes_total", "Bytes written to the journal.", func(st shardlog.Stats) float64 { return float64(st.JournalBytes) }},
		{"rheo_log_segment_bytes_total", "Bytes written to segments.", func(st shardlog.Stats) float64 { return float64(st.SegmentBytes) }},
		{"rheo_log_failed_syncs_total", "Syncs that failed.", func(st shardlog.Stats) float64 { return float64(st.FailedSyncs) }},
		{"rheo_log_damaged_ranges_total", "Damaged ranges found.", func(st shardlog.Stats) float64 { return float64(st.DamagedRanges) }},
		{"rheo_log_clock_steps_total", "Steps of the wall clock that were slewed.", func(st shardlog.Stats) float64 { return float64(st.ClockSteps) }},
	} {
		r.Counter(f.name, f.help, func() float64 { return f.value(s.log.Stats()) })
	}
	for _, f := range []figure{
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
		r.Gauge(f.name, f.help, func() float64 { return f.value(s.log.Stats()) })
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Addr is the address of the endpoint, the first of [Server.Addrs].
func (s *Server) Addr() string { return s.Addrs()[0] }

// Addrs are the addresses that the endpoint listens on: for localhost those of
// IPv4 and of IPv6, with one port.
func (s *Server) Addrs() []string {
	var all []string
	for _, a := range s.servers[0].Addrs() {
		all = append(all, a.String())
	}
	return all
}

// listening are the addresses of all listeners.
func (s *Server) listening() []netip.AddrPort {
	var all []netip.AddrPort
	for _, srv := range s.servers {
		for _, a := range srv.Addrs() {
			all = append(all, a.AddrPort())
		}
	}
	return all
}

// URL is the endpoint for plain HTTP, as it is reached from this machine:
// "http://127.0.0.1:4566".
func (s *Server) URL() string {
	a := *s.servers[0].Addr()
	switch {
	case a.IP.Equal(net.IPv4zero):
		a.IP = net.IPv4(127, 0, 0, 1)
	case a.IP.IsUnspecified():
		a.IP = net.IPv6loopback
	}
	return "http://" + a.String()
}

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
	if s.lambda != nil {
		s.lambda.Close()
	}
	if s.local != nil {
		errs = append(errs, s.local.Close())
	}
	if s.logs != nil {
		s.logs.Close() // before the streams that its filters deliver to
	}
	if s.s3 != nil {
		s.s3.Close()
	}
	if s.cloudwatch != nil {
		s.cloudwatch.Close()
	}
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
