package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// The keys are those of the Kinesis Agent, 2.0. Its ranges hold where it has any;
// the others are what is sensible.

const (
	dayMillis    = 24 * 60 * 60 * 1000
	minuteMillis = 60 * 1000
)

var globalKeys = []key[Settings]{
	{"kinesis.endpoint", text(func(s *Settings) *string { return &s.KinesisEndpoint })},
	{"kinesis.region", text(func(s *Settings) *string { return &s.Region })},
	{"firehose.endpoint", text(func(s *Settings) *string { return &s.FirehoseEndpoint })},
	{"cloudwatch.endpoint", text(func(s *Settings) *string { return &s.CloudWatchEndpoint })},
	{"sts.endpoint", text(func(s *Settings) *string { return &s.STSEndpoint })},
	{"awsAccessKeyId", text(func(s *Settings) *string { return &s.AccessKeyID })},
	{"awsSecretAccessKey", text(func(s *Settings) *string { return &s.SecretAccessKey })},
	{"assumeRoleARN", text(func(s *Settings) *string { return &s.AssumeRoleARN })},
	{"assumeRoleExternalId", text(func(s *Settings) *string { return &s.AssumeRoleExternalID })},
	{"userDefinedCredentialsProvider.classname", javaClass[Settings]("credentials come from awsAccessKeyId, the environment, a profile or the machine's role")},
	{"userDefinedCredentialsProvider.location", javaClass[Settings]("credentials come from awsAccessKeyId, the environment, a profile or the machine's role")},

	{"cloudwatch.emitMetrics", boolean(func(s *Settings) *bool { return &s.EmitMetrics })},
	{"cloudwatch.namespace", text(func(s *Settings) *string { return &s.Namespace })},
	{"cloudwatch.tagInstance", boolean(func(s *Settings) *bool { return &s.TagInstance })},
	{"cloudwatch.metricsBufferTimeMillis", duration(time.Millisecond, 1000, dayMillis, func(s *Settings) *time.Duration { return &s.MetricsEvery })},
	{"cloudwatch.metricsQueueSize", ignoredKey("metrics are added up until they are sent, in a size that does not grow")},
	{"log.emitMetrics", boolean(func(s *Settings) *bool { return &s.LogMetrics })},
	{"log.emitInternalMetrics", ignoredKey("log.emitMetrics writes what there is")},
	{"log.statusReportingPeriodSeconds", duration(time.Second, 1, 24*60*60, func(s *Settings) *time.Duration { return &s.StatusEvery })},

	{"maxSendingThreads", number(1, 10_000, func(s *Settings) *int { return &s.SendersMax })},
	{"maxSendingThreadsPerCore", number(1, 1000, func(s *Settings) *int { return &s.SendersPerCore })},
	{"sendingThreadsKeepAliveMillis", ignoredKey("there are no threads to keep")},
	{"sendingThreadsMaxQueueSize", ignoredKey("publishQueueCapacity of each flow bounds what waits")},
	{"maxConnections", number(1, 100_000, func(s *Settings) *int { return &s.ConnectionsMax })},
	{"connectionTimeoutMillis", duration(time.Millisecond, 1, 10*minuteMillis, func(s *Settings) *time.Duration { return &s.ConnectTimeout })},
	{"socketTimeoutMillis", duration(time.Millisecond, 1, 10*minuteMillis, func(s *Settings) *time.Duration { return &s.AnswerTimeout })},
	{"connectionTTLMillis", ignoredKey("connections live as long as they are used")},
	{"useTcpKeepAlive", ignoredKey("TCP keep-alive is always on")},
	{"useHttpGzip", ignoredKey("answers are too short to be worth it")},
	{"userAgent", ignoredKey("calls name rheo")},
	{"userAgentOverride", ignoredKey("calls name rheo")},
	{"shutdownTimeoutMillis", duration(time.Millisecond, 0, 10*minuteMillis, func(s *Settings) *time.Duration { return &s.ShutdownGrace })},

	{"checkpointFile", text(func(s *Settings) *string { return &s.CheckpointFile })},
	{"checkpointTimeToLiveDays", duration(24*time.Hour, 1, 3650, func(s *Settings) *time.Duration { return &s.CheckpointTTL })},
	{"checkpoints.queryTimeoutSeconds", ignoredKey("checkpoints are no database")},
	{"checkpoints.connectionTimeoutSeconds", ignoredKey("checkpoints are no database")},

	{"flows", setFlows},
}

// flowsOnly is what a file of agent.d may have. Of the other keys the Kinesis Agent takes
// no notice there.
var flowsOnly = append(elsewhere(globalKeys), key[Settings]{"flows", setFlows})

func elsewhere(keys []key[Settings]) (others []key[Settings]) {
	for _, k := range keys {
		if k.name != "flows" {
			others = append(others, key[Settings]{k.name, ignoredKey("agent.d has flows only")})
		}
	}
	return others
}

// setFlows takes the flows that are right.
func setFlows(s *Settings, v value) error {
	items, err := v.list()
	if err != nil {
		return err
	}
	for _, item := range items {
		f := &Flow{BufferAge: time.Minute, PollEvery: 100 * time.Millisecond, ScanEvery: 10 * time.Second, Terminator: []byte("\n"),
			BackoffMin: 100 * time.Millisecond, BackoffMax: 10 * time.Second, QueueBatches: 100}
		if err := errors.Join(fill(f, item.raw, item.at, flowKeys), f.finish(item.at)); err != nil {
			s.Refused = append(s.Refused, err)
			continue
		}
		s.Flows = append(s.Flows, f)
	}
	return nil
}

var flowKeys = []key[Flow]{
	{"filePattern", text(func(f *Flow) *string { return &f.filePattern })},
	{"kinesisStream", text(func(f *Flow) *string { return &f.kinesisStream })},
	{"deliveryStream", text(func(f *Flow) *string { return &f.deliveryStream })},
	{"partitionKeyOption", func(f *Flow, v value) error {
		s, err := v.oneOf("RANDOM", "DETERMINISTIC")
		f.DeterministicKeys, f.keyOptionAt = s == "DETERMINISTIC", v.at
		return err
	}},
	{"initialPosition", func(f *Flow, v value) error {
		s, err := v.oneOf("START_OF_FILE", "END_OF_FILE")
		f.FromStart = s == "START_OF_FILE"
		return err
	}},
	{"maxBufferAgeMillis", duration(time.Millisecond, 1000, 15*minuteMillis, func(f *Flow) *time.Duration { return &f.BufferAge })},
	{"maxBufferSizeRecords", number(1, 500, func(f *Flow) *int { return &f.BufferRecords })},
	{"maxBufferSizeBytes", number(1, 5<<20, func(f *Flow) *int { return &f.BufferBytes })},
	{"minTimeBetweenFilePollsMillis", duration(time.Millisecond, 1, 10*minuteMillis, func(f *Flow) *time.Duration { return &f.PollEvery })},
	{"maxTimeBetweenFileTrackerRefreshMillis", duration(time.Millisecond, 1, 10*minuteMillis, func(f *Flow) *time.Duration { return &f.ScanEvery })},
	{"multiLineStartPattern", text(func(f *Flow) *string { return &f.multiLine })},
	{"skipHeaderLines", number(0, 1000, func(f *Flow) *int { return &f.SkipHeaderLines })},
	{"fileFooterPattern", func(f *Flow, v value) error {
		s, err := v.text()
		if err != nil || s == "" {
			return err
		}
		f.footer, err = compileWhole(v, "(?m)", s)
		return err
	}},
	{"truncatedRecordTerminator", func(f *Flow, v value) error {
		s, err := v.text()
		if err == nil && len(s) > 1000 {
			err = v.errorf("a terminator has at most 1000 bytes")
		}
		f.Terminator = []byte(s)
		return err
	}},
	{"aggregatedRecordSizeBytes", number(0, 1000<<10, func(f *Flow) *int { return &f.AggregateBytes })},
	{"dataProcessingOptions", func(f *Flow, v value) (err error) { f.options, err = v.list(); return err }},
	{"retryInitialBackoffMillis", duration(time.Millisecond, 1, 10*minuteMillis, func(f *Flow) *time.Duration { return &f.BackoffMin })},
	{"retryMaxBackoffMillis", duration(time.Millisecond, 1, 60*minuteMillis, func(f *Flow) *time.Duration { return &f.BackoffMax })},
	{"publishQueueCapacity", number(1, 10_000, func(f *Flow) *int { return &f.QueueBatches })},
	{"waitOnFullPublishQueueMillis", ignoredFlowKey("reading goes on as soon as there is room")},
	{"waitOnFullRetryQueueMillis", ignoredFlowKey("what is refused waits in its own batch")},
	{"waitOnEmptyPublishQueueMillis", ignoredFlowKey("sending goes on as soon as there is something")},
	{"log.emitInternalMetrics", ignoredFlowKey("log.emitMetrics writes what there is")},
}

// finish derives what the keys say together.
func (f *Flow) finish(at string) error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, value{at: at + "." + key}.errorf(format, args...))
	}
	switch {
	case f.kinesisStream != "" && f.deliveryStream != "":
		wrong("deliveryStream", "a flow goes to one stream, and this one has kinesisStream too")
	case f.kinesisStream != "":
		f.Service, f.Stream = Kinesis, f.kinesisStream
	case f.deliveryStream != "":
		f.Service, f.Stream = Firehose, f.deliveryStream
	default:
		wrong("kinesisStream", "it is missing, and so is deliveryStream")
		f.Service = Kinesis
	}
	f.limits = limitsOf[f.Service]
	if f.BufferRecords == 0 {
		f.BufferRecords = f.limits.records
	}
	if f.BufferBytes == 0 {
		f.BufferBytes = f.limits.bytes
	}
	if f.BufferBytes > f.limits.bytes {
		wrong("maxBufferSizeBytes", "%d is not 1 to %d", f.BufferBytes, f.limits.bytes)
	}
	if f.BackoffMax < f.BackoffMin {
		f.BackoffMax = f.BackoffMin
	}
	if f.keyOptionAt != "" && f.Service == Firehose {
		f.notices = append(f.notices, f.keyOptionAt+" has no effect: delivery streams have no partition keys")
	}
	switch dir, name := filepath.Split(f.filePattern); {
	case f.filePattern == "":
		wrong("filePattern", "it is missing")
	case name == "":
		wrong("filePattern", "%q has no name of a file", f.filePattern)
	case dir == "":
		wrong("filePattern", "%q has no directory", f.filePattern)
	case strings.ContainsAny(dir, "*?"):
		wrong("filePattern", "%q has wildcards in its directory; only the file's name may have them", f.filePattern)
	default:
		f.Pattern = name
		var err error
		if f.Dir, err = filepath.Abs(dir); err != nil {
			wrong("filePattern", "%w", err)
		}
		if f.names, err = compileGlob(name); err != nil {
			wrong("filePattern", "%w", err)
		}
	}
	prefix := "kinesis:"
	if f.Service == Firehose {
		prefix = "fh:"
	}
	f.ID = prefix + f.Stream + ":" + f.Dir + "/" + f.Pattern
	f.split = lines{}
	if f.multiLine != "" {
		start, err := compileStart(value{at: at + ".multiLineStartPattern"}, f.multiLine)
		if err != nil {
			errs = append(errs, err)
		}
		f.split = blocks{start}
	}
	if f.AggregateBytes > 0 && f.Service == Kinesis {
		f.notices = append(f.notices, at+".aggregatedRecordSizeBytes has no effect: it is for delivery streams")
		f.AggregateBytes = 0
	}
	if f.AggregateBytes > 0 && f.multiLine != "" {
		f.notices = append(f.notices, at+".aggregatedRecordSizeBytes has no effect: it is for records of one line")
		f.AggregateBytes = 0
	}
	for _, o := range f.options {
		name, c, notice, err := newConverter(o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if notice != "" {
			f.notices = append(f.notices, notice)
		}
		f.convert, f.processing = append(f.convert, c), append(f.processing, name)
	}
	return errors.Join(errs...)
}

func ignoredKey(why string) func(*Settings, value) error {
	return func(s *Settings, v value) error {
		s.Notices = append(s.Notices, fmt.Sprintf("%s has no effect: %s", v.at, why))
		return nil
	}
}

func ignoredFlowKey(why string) func(*Flow, value) error {
	return func(f *Flow, v value) error {
		f.notices = append(f.notices, fmt.Sprintf("%s has no effect: %s", v.at, why))
		return nil
	}
}

// javaClass refuses what asks for a class to be loaded: to go on without it would
// be to call as somebody else, or to send other records.
func javaClass[T any](instead string) func(*T, value) error {
	return func(_ *T, v value) error {
		return v.errorf("it names a Java class, which cannot be run here; %s", instead)
	}
}

// Processing names the flow's dataProcessingOptions in their order.
func (f *Flow) Processing() string {
	if len(f.processing) == 0 {
		return "none"
	}
	return strings.Join(f.processing, ", ")
}
