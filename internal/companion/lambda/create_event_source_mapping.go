package lambda

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/lambda"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
	"github.com/rheostream/rheo/internal/companion/lambda/mapping/pattern"
)

// filtersMax is how many filters a mapping has at most.
const filtersMax = 5

// Streams are what mappings read.
type Streams interface {
	// Check answers nil if the stream, or the consumer if consumerARN is not empty,
	// is there for the account in the region. That it is not is a *mapping.Problem
	// of mapping.ErrSourceGone.
	Check(ctx context.Context, account, region, streamARN, consumerARN string) error
	// Source is the stream as a mapping reads it, in the name of the account.
	Source(account, region, streamARN, consumerARN string) mapping.Source
}

// CreateEventSourceMapping makes a mapping of a Kinesis stream, or of a fan-out
// consumer of one, to a function. The answer says Creating; the mapping is Enabled
// once the engine runs it.
func (s *Service) CreateEventSourceMapping(ctx context.Context, in *api.CreateEventSourceMappingInput) (*api.CreateEventSourceMappingOutput, error) {
	now := s.nowMillis()
	caller := rheo.CallerFrom(ctx)
	m := &mappingDoc{UUID: newUUID(), Account: caller.Account, Region: caller.Region, Created: now, Modified: now, State: mappingCreating, Reason: "User action",
		Enabled: in.Enabled == nil || *in.Enabled, BatchSize: 100, Factor: 1, AgeMax: -1, Retries: -1, Tags: maps.Clone(in.Tags)}
	if err := refuseSources(in); err != nil {
		return nil, err
	}
	if err := m.setSource(caller, in.EventSourceArn); err != nil {
		return nil, err
	}
	if err := m.setPosition(in); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	given := mappingSettings{in.BatchSize, in.MaximumBatchingWindowInSeconds, in.ParallelizationFactor, in.MaximumRecordAgeInSeconds, in.MaximumRetryAttempts,
		in.BisectBatchOnFunctionError, in.TumblingWindowInSeconds, in.FunctionResponseTypes, in.FilterCriteria, in.DestinationConfig, in.MetricsConfig, in.KMSKeyArn}
	if err := s.applyMapping(ctx, m, given); err != nil {
		return nil, err
	}
	if err := s.setFunction(ctx, m, *in.FunctionName); err != nil {
		return nil, err
	}
	if err := s.checkStream(ctx, m); err != nil {
		return nil, err
	}
	ch := &change{}
	ch.expects(m.id().key(), 0)
	ch.expects(m.pairKey(), 0)
	ch.put(m.id().key(), m)
	ch.put(m.pairKey(), pairDoc{m.UUID})
	err := s.commit(ctx, ch)
	if errors.Is(err, catalog.ErrConflict) {
		return nil, s.duplicate(m)
	}
	if err != nil {
		return nil, err
	}
	return s.describeMapping(m), nil
}

// duplicate names the mapping that has the source and the function already.
func (s *Service) duplicate(m *mappingDoc) error {
	var pair pairDoc
	if ok, err := read(s.docs, m.pairKey(), &pair, nil); err != nil || !ok {
		return orErr(err, conflict("The event source mapping is being deleted. Try again."))
	}
	return conflict(`The event source arn (" %s ") and function (" %s ") provided mapping already exists. Please update or delete the existing mapping with UUID %s`, m.Source, m.Function, pair.UUID)
}

// refuseSources finds members that belong to sources other than Kinesis.
func refuseSources(in *api.CreateEventSourceMappingInput) error {
	for _, g := range []struct {
		given  bool
		member string
	}{
		{in.SelfManagedEventSource != nil, "SelfManagedEventSource"},
		{len(in.Topics) > 0, "Topics"},
		{len(in.Queues) > 0, "Queues"},
		{len(in.SourceAccessConfigurations) > 0, "SourceAccessConfigurations"},
		{in.AmazonManagedKafkaEventSourceConfig != nil, "AmazonManagedKafkaEventSourceConfig"},
		{in.SelfManagedKafkaEventSourceConfig != nil, "SelfManagedKafkaEventSourceConfig"},
		{in.DocumentDBEventSourceConfig != nil, "DocumentDBEventSourceConfig"},
		{in.ScalingConfig != nil && in.ScalingConfig.MaximumConcurrency != nil, "ScalingConfig"},
		{in.ProvisionedPollerConfig != nil, "ProvisionedPollerConfig"},
		{in.LoggingConfig != nil, "LoggingConfig"},
	} {
		if g.given {
			return unsupported(g.member, "event sources are Kinesis streams")
		}
	}
	return nil
}

// setSource reads the ARN of a stream or of a consumer:
// arn:aws:kinesis:R:A:stream/NAME and .../consumer/C:1700000000.
func (m *mappingDoc) setSource(caller *rheo.Caller, arn *string) error {
	if arn == nil {
		return invalid("Unrecognized event source.")
	}
	part := strings.SplitN(*arn, ":", 6) // arn, partition, service, region, account, resource
	if len(part) < 6 {
		return invalid("Unrecognized event source.")
	}
	switch part[2] {
	case "kinesis":
	case "dynamodb", "sqs", "kafka", "mq", "rds":
		return unsupported("EventSourceArn of "+part[2], "event sources are Kinesis streams")
	default:
		return invalid("Unrecognized event source.")
	}
	name, consumer, _ := strings.Cut(strings.TrimPrefix(part[5], "stream/"), "/consumer/")
	switch {
	case !strings.HasPrefix(part[5], "stream/") || name == "":
		return invalid("Unrecognized event source.")
	case part[3] != caller.Region || part[4] != caller.Account:
		return streamNotFound(*arn) // streams of others are read when there are roles
	}
	m.Source, m.Stream = *arn, strings.Join(part[:5], ":")+":stream/"+name
	if consumer != "" {
		m.Consumer = *arn
	}
	return nil
}

func streamNotFound(arn string) error { return invalid("Stream not found: %s", arn) }

func (m *mappingDoc) setPosition(in *api.CreateEventSourceMappingInput) error {
	switch {
	case in.StartingPosition == "":
		return invalid("1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.")
	case in.StartingPosition == api.EventSourcePositionAtTimestamp && in.StartingPositionTimestamp == nil:
		return invalid("1 validation error detected: Value null at 'startingPositionTimestamp' failed to satisfy constraint: Member must not be null.")
	case in.StartingPosition != api.EventSourcePositionAtTimestamp && in.StartingPositionTimestamp != nil:
		return invalid("StartingPositionTimestamp is supported with the StartingPosition AT_TIMESTAMP only.")
	}
	m.Position = string(in.StartingPosition)
	if in.StartingPositionTimestamp != nil {
		m.PositionAt = in.StartingPositionTimestamp.UnixMilli()
	}
	return nil
}

// checkStream: the source is there.
func (s *Service) checkStream(ctx context.Context, m *mappingDoc) error {
	if s.cfg.Streams == nil {
		return unsupported("EventSourceArn", "there are no streams here")
	}
	err := s.cfg.Streams.Check(ctx, m.Account, m.Region, m.Stream, m.Consumer)
	if errors.Is(err, mapping.ErrSourceGone) {
		return streamNotFound(m.Source)
	}
	if err != nil {
		return fmt.Errorf("lambda: cannot look for the stream of a mapping: %w", err)
	}
	return nil
}

// setFunction reads the name of a function that is there, with its version or alias.
func (s *Service) setFunction(ctx context.Context, m *mappingDoc, name string) error {
	ref, err := resolve(ctx, name, nil)
	if err != nil {
		return err
	}
	if _, _, err := s.get(ref); rheo.IsCode(err, "ResourceNotFoundException") {
		return invalid("Function does not exist")
	} else if err != nil {
		return err
	}
	m.Function, m.Qualifier = ref.name, ref.qualifier
	return nil
}

// mappingSettings are the members that Create and Update share.
type mappingSettings struct {
	batchSize, window, factor, ageMax, retries *int32
	bisect                                     *bool
	tumbling                                   *int32
	responses                                  []api.FunctionResponseType
	filter                                     *api.FilterCriteria
	destination                                *api.DestinationConfig
	metrics                                    *api.EventSourceMappingMetricsConfig
	kmsKey                                     *string
}

// applyMapping puts what was given into m, or says what is wrong with it. The
// ranges are the model's, but for the age: -1, or 60 and more.
func (s *Service) applyMapping(ctx context.Context, m *mappingDoc, g mappingSettings) error {
	if g.kmsKey != nil && *g.kmsKey != "" {
		return unsupported("KMSKeyArn", "filters are encrypted with the server's key")
	}
	if g.ageMax != nil && *g.ageMax >= 0 && *g.ageMax < 60 {
		return validation("Value '%d' at 'maximumRecordAgeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 60", *g.ageMax)
	}
	for _, n := range []struct{ to, given *int32 }{
		{&m.BatchSize, g.batchSize}, {&m.Window, g.window}, {&m.Factor, g.factor}, {&m.AgeMax, g.ageMax}, {&m.Retries, g.retries}, {&m.Tumbling, g.tumbling},
	} {
		if n.given != nil {
			*n.to = *n.given
		}
	}
	if m.Tumbling > 0 && m.Factor > 1 {
		return invalid("ParallelizationFactor must be 1 for event source mappings with tumbling windows.")
	}
	if g.bisect != nil {
		m.Bisect = *g.bisect
	}
	if g.responses != nil {
		m.Partial = len(g.responses) > 0
	}
	if err := m.applyFilter(g.filter); err != nil {
		return err
	}
	if g.metrics != nil {
		m.Metrics = nil
		for _, name := range g.metrics.Metrics {
			if name != api.EventSourceMappingMetricEventCount {
				return unsupported("MetricsConfig.Metrics "+string(name), "of a Kinesis stream only EventCount is measured")
			}
			m.Metrics = append(m.Metrics, string(name))
		}
	}
	return s.applyFailure(ctx, m, g.destination)
}

func (m *mappingDoc) applyFilter(c *api.FilterCriteria) error {
	if c == nil {
		return nil
	}
	var filters []string
	for _, f := range c.Filters {
		if f.Pattern == nil {
			return invalid("Invalid filter pattern definition.")
		}
		filters = append(filters, *f.Pattern)
	}
	if len(filters) > filtersMax {
		return invalid("The number of filters, %d, is greater than %d.", len(filters), filtersMax)
	}
	if _, err := pattern.Compile(filters, filtersMax); err != nil {
		return invalid("Invalid filter pattern definition.")
	}
	m.Filters, m.HasFilter = filters, len(filters) > 0
	return nil
}

// applyFailure checks and sets where records go that are given up.
func (s *Service) applyFailure(ctx context.Context, m *mappingDoc, c *api.DestinationConfig) error {
	if c == nil {
		return nil
	}
	if c.OnSuccess != nil {
		return invalid("Unsupported DestinationConfig parameter for given event source mapping type.")
	}
	if c.OnFailure == nil {
		return nil
	}
	arn := *orEmpty(c.OnFailure.Destination)
	if arn == "" {
		m.OnFailure = ""
		return nil
	}
	part := strings.SplitN(arn, ":", 6)
	if len(part) < 6 {
		return invalid("The destination ARN %s is invalid.", arn)
	}
	switch part[2] {
	case "s3":
		if err := s.checkBucket(ctx, arn, part[5]); err != nil {
			return err
		}
	case "sqs", "sns":
		if err := s.checkQueue("DestinationConfig.OnFailure", arn); err != nil {
			return err
		}
	default:
		return invalid("The destination ARN %s is invalid.", arn)
	}
	m.OnFailure = arn
	return nil
}
