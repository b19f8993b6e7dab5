package main

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/rheostream/rheo/interop/daemon"
)

const (
	writers      = 64
	shardsAtOnce = 4  // of a new stream
	shardsMost   = 10 // open; then shards are merged
)

// A position is where a record is.
type position struct{ shard, sequence string }

// A stream is what is known of the stream under test: by its writers, and by its readers.
type stream struct {
	name     string
	consumer string
	seed     uint64
	client   *kinesis.Client // of the server that runs now
	once     *kinesis.Client // the same without retries: a put without an answer is unknown, and stays so
	calls    [writers]int    // of each writer, so far

	mu              sync.Mutex
	acked           map[position]string // to the record's data
	seen            map[position]string // by readers
	closed          map[string]bool     // parents of acknowledged reshards
	ackedSinceCheck int
	errors          map[string]int // of calls that the kill does not explain
}

func newStream(ctx context.Context, d *daemon.Daemon, name string, seed uint64) (*stream, error) {
	s := &stream{name: name, seed: seed, acked: map[position]string{}, seen: map[position]string{}, closed: map[string]bool{}, errors: map[string]int{}}
	s.connect(d)
	if _, err := s.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(shardsAtOnce)}); err != nil {
		return nil, err
	}
	summary, err := s.awaitActive(ctx)
	if err != nil {
		return nil, err
	}
	out, err := s.client.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: summary.StreamARN, ConsumerName: aws.String("watcher")})
	if err != nil {
		return nil, err
	}
	s.consumer = *out.Consumer.ConsumerARN
	return s, nil
}

func (s *stream) connect(d *daemon.Daemon) {
	options := kinesis.Options{
		BaseEndpoint: aws.String(d.URL()),
		Region:       daemon.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(daemon.AccessKey, daemon.SecretKey, ""),
		HTTPClient:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * writers}},
	}
	s.client = kinesis.New(options)
	options.Retryer = aws.NopRetryer{}
	s.once = kinesis.New(options)
}

func (s *stream) awaitActive(ctx context.Context) (*types.StreamDescriptionSummary, error) {
	for {
		out, err := s.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &s.name})
		if err != nil {
			return nil, err
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return out.StreamDescriptionSummary, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// load has writers, readers and a resharder at work, and the companions, until the server is killed after d.
func (s *stream) load(ctx context.Context, server *daemon.Daemon, beside *companions, until time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dead := make(chan struct{}) // once the kill is on its way
	var all sync.WaitGroup
	shards, err := s.shards(ctx)
	if err != nil {
		s.failed(dead, err)
	}
	for w := range writers {
		random := rand.New(rand.NewPCG(s.seed, uint64(w)<<32|uint64(s.calls[w])))
		all.Go(func() { s.write(ctx, dead, w, random) })
	}
	for _, shard := range shards {
		if shard.SequenceNumberRange.EndingSequenceNumber == nil {
			all.Go(func() { s.poll(ctx, dead, *shard.ShardId) })
			all.Go(func() { s.watch(ctx, dead, *shard.ShardId) })
		}
	}
	all.Go(func() { s.reshard(ctx, dead, shards, rand.New(rand.NewPCG(s.seed, uint64(s.calls[0])))) })
	beside.load(ctx, dead, &all)
	time.Sleep(until)
	close(dead)
	server.Kill()
	cancel()
	all.Wait()
}

func gone(dead chan struct{}) bool {
	select {
	case <-dead:
		return true
	default:
		return false
	}
}

// failed notes an error that the kill does not explain.
func (s *stream) failed(dead chan struct{}, err error) {
	if !gone(dead) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.errors[err.Error()]++
	}
}

// write puts records until the server is gone. The data of each is
// "writer call index padding"; a call that had no answer is not repeated.
func (s *stream) write(ctx context.Context, dead chan struct{}, w int, random *rand.Rand) {
	key := fmt.Sprintf("writer%d", w)
	for !gone(dead) {
		call := s.calls[w]
		s.calls[w]++
		n := 1
		if random.IntN(2) == 0 {
			n += random.IntN(30)
		}
		data := make([]string, n)
		for i := range data {
			data[i] = fmt.Sprintf("%d %d %d %0*d", w, call, i, 1+random.IntN(1500), 0)
		}
		if n == 1 {
			out, err := s.once.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &s.name, PartitionKey: &key, Data: []byte(data[0])})
			if err != nil {
				s.failed(dead, err)
				continue
			}
			s.acknowledged(position{*out.ShardId, *out.SequenceNumber}, data[0])
			continue
		}
		in := &kinesis.PutRecordsInput{StreamName: &s.name}
		for _, d := range data {
			in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte(d)})
		}
		out, err := s.once.PutRecords(ctx, in)
		if err != nil {
			s.failed(dead, err)
			continue
		}
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				s.failed(dead, fmt.Errorf("of a record: %s: %s", *r.ErrorCode, aws.ToString(r.ErrorMessage)))
				continue
			}
			s.acknowledged(position{*r.ShardId, *r.SequenceNumber}, data[i])
		}
	}
}

func (s *stream) acknowledged(at position, data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked[at] = data
	s.ackedSinceCheck++
}

func (s *stream) saw(shard string, records []types.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.seen[position{shard, *r.SequenceNumber}] = string(r.Data)
	}
}

// poll reads a shard from its tip on, as fast as it goes.
func (s *stream) poll(ctx context.Context, dead chan struct{}, shard string) {
	start, err := s.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &s.name, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeLatest})
	if err != nil {
		s.failed(dead, err)
		return
	}
	for iterator := start.ShardIterator; iterator != nil && !gone(dead); {
		out, err := s.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			s.failed(dead, err)
			return
		}
		s.saw(shard, out.Records)
		iterator = out.NextShardIterator
		if len(out.Records) == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// watch reads a shard from its tip on by fan-out.
func (s *stream) watch(ctx context.Context, dead chan struct{}, shard string) {
	out, err := s.client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: &s.consumer, ShardId: &shard,
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeLatest}})
	if err != nil {
		s.failed(dead, err)
		return
	}
	events := out.GetStream()
	defer events.Close()
	for event := range events.Events() {
		if e, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent); ok {
			s.saw(shard, e.Value.Records)
		}
	}
	if err := events.Err(); err != nil {
		s.failed(dead, err)
	}
}

// reshard splits a shard, or merges two where there are many, at some moment of every other cycle.
func (s *stream) reshard(ctx context.Context, dead chan struct{}, shards []types.Shard, random *rand.Rand) {
	if random.IntN(2) == 0 {
		return
	}
	select {
	case <-dead:
		return
	case <-time.After(time.Duration(random.IntN(300)) * time.Millisecond):
	}
	var open []types.Shard
	for _, shard := range shards {
		if shard.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, shard)
		}
	}
	if len(open) == 0 {
		return
	}
	one := open[random.IntN(len(open))]
	start, end := bound(one.HashKeyRange.StartingHashKey), bound(one.HashKeyRange.EndingHashKey)
	if len(open) < shardsMost {
		middle := new(big.Int).Rsh(new(big.Int).Add(start, end), 1)
		_, err := s.once.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &s.name, ShardToSplit: one.ShardId, NewStartingHashKey: aws.String(middle.String())})
		s.resharded(dead, err, *one.ShardId)
		return
	}
	after := new(big.Int).Add(end, big.NewInt(1)).String()
	for _, two := range open {
		if *two.HashKeyRange.StartingHashKey == after {
			_, err := s.once.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &s.name, ShardToMerge: one.ShardId, AdjacentShardToMerge: two.ShardId})
			s.resharded(dead, err, *one.ShardId, *two.ShardId)
			return
		}
	}
}

func bound(s *string) *big.Int {
	n, _ := new(big.Int).SetString(*s, 10)
	return n
}

func (s *stream) resharded(dead chan struct{}, err error, parents ...string) {
	if err != nil {
		s.failed(dead, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parents {
		s.closed[p] = true
	}
}
