package lambda

import (
	"context"
	"net/http"
	"strings"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/lambda"
	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// A mappingID names an event source mapping.
type mappingID struct{ account, region, uuid string }

func (m mappingID) key() string { return mappingPrefix + m.account + "/" + m.region + "/" + m.uuid }

func (m mappingID) arn() string {
	return "arn:aws:lambda:" + m.region + ":" + m.account + ":event-source-mapping:" + m.uuid
}

// resolveMapping reads the ARN of a mapping, whose UUID was found in it.
func resolveMapping(ctx context.Context, arn, uuid string) (mappingID, error) {
	caller := rheo.CallerFrom(ctx)
	id := mappingID{caller.Account, caller.Region, strings.ToLower(uuid)}
	if part := strings.Split(arn, ":"); len(part) > 4 && (part[3] != caller.Region || part[4] != caller.Account) {
		return id, &rheo.Error{Code: "AccessDeniedException", Status: http.StatusForbidden, Message: "User: " + caller.Principal + " is not authorized to access the resource " + arn}
	}
	return id, nil
}

// State of a mapping, as the API has it.
const (
	mappingCreating  = "Creating"
	mappingEnabling  = "Enabling"
	mappingEnabled   = "Enabled"
	mappingDisabling = "Disabling"
	mappingDisabled  = "Disabled"
	mappingUpdating  = "Updating"
	mappingDeleting  = "Deleting"
)

// A mappingDoc is an event source mapping: what is wanted (Enabled and the
// settings) and what has come of it so far (State).
type mappingDoc struct {
	UUID      string
	Account   string
	Region    string
	Created   int64
	Modified  int64
	State     string
	Reason    string // StateTransitionReason
	Enabled   bool   // is to run
	Function  string // name
	Qualifier string `json:",omitempty"`
	Source    string // EventSourceArn as it was given
	Stream    string // ARN of the stream
	Consumer  string `json:",omitempty"` // ARN of the fan-out consumer, if that is the source

	Position   string
	PositionAt int64 `json:",omitempty"` // of AT_TIMESTAMP

	BatchSize int32
	Window    int32 // s
	Factor    int32
	AgeMax    int32 // s; -1: none
	Retries   int32 // -1: without end
	Bisect    bool  `json:",omitempty"`
	Tumbling  int32 `json:",omitempty"` // s
	Partial   bool  `json:",omitempty"` // ReportBatchItemFailures
	Filters   []string
	HasFilter bool     `json:",omitempty"` // there is a FilterCriteria, if an empty one
	OnFailure string   `json:",omitempty"` // ARN
	Metrics   []string `json:",omitempty"`

	Tags map[string]string `json:",omitempty"`
	// Run changes with what the engine has to start anew for.
	Run int64
}

func (m *mappingDoc) id() mappingID { return mappingID{m.Account, m.Region, m.UUID} }

func (m *mappingDoc) function() reference {
	return reference{functionID{m.Account, m.Region, m.Function}, m.Qualifier}
}

// pairPrefix is what there is one document for per source and function, so that no
// two mappings have both in common.
const pairPrefix = "pair/"

func (m *mappingDoc) pairKey() string {
	return pairPrefix + m.Account + "/" + m.Region + "/" + m.Function + ":" + m.Qualifier + "/" + m.Source
}

type pairDoc struct{ UUID string }

// busy says that the mapping is between two states.
func (m *mappingDoc) busy() bool { return m.State != mappingEnabled && m.State != mappingDisabled }

// settled is the state that the mapping is on the way to.
func (m *mappingDoc) settled() string {
	if m.Enabled {
		return mappingEnabled
	}
	return mappingDisabled
}

// findMapping reads a mapping; nil if there is none.
func (s *Service) findMapping(id mappingID) (*mappingDoc, uint64, error) {
	m, version := new(mappingDoc), uint64(0)
	ok, err := read(s.docs, id.key(), m, &version)
	if err != nil || !ok {
		return nil, 0, err
	}
	return m, version, nil
}

// mappingByUUID finds the caller's mapping.
func (s *Service) mappingByUUID(ctx context.Context, uuid string) (*mappingDoc, uint64, error) {
	caller := rheo.CallerFrom(ctx)
	m, version, err := s.findMapping(mappingID{caller.Account, caller.Region, strings.ToLower(uuid)})
	if err == nil && m == nil {
		err = notFound("The resource you requested does not exist.")
	}
	return m, version, err
}

// describeMapping is a mapping as the API has it.
func (s *Service) describeMapping(m *mappingDoc) *api.EventSourceMappingConfiguration {
	c := &api.EventSourceMappingConfiguration{
		UUID: &m.UUID, EventSourceMappingArn: new(m.id().arn()), EventSourceArn: &m.Source, FunctionArn: new(m.function().arn()),
		State: &m.State, StateTransitionReason: &m.Reason, LastProcessingResult: new(s.mappings.result(m.UUID)), LastModified: new(time.UnixMilli(m.Modified).UTC()),
		StartingPosition: api.EventSourcePosition(m.Position), BatchSize: &m.BatchSize, MaximumBatchingWindowInSeconds: &m.Window,
		ParallelizationFactor: &m.Factor, MaximumRecordAgeInSeconds: &m.AgeMax, MaximumRetryAttempts: &m.Retries,
		BisectBatchOnFunctionError: &m.Bisect, TumblingWindowInSeconds: &m.Tumbling, FunctionResponseTypes: []api.FunctionResponseType{},
		DestinationConfig: &api.DestinationConfig{OnFailure: &api.OnFailure{}},
	}
	if m.PositionAt != 0 {
		c.StartingPositionTimestamp = new(time.UnixMilli(m.PositionAt).UTC())
	}
	if m.Partial {
		c.FunctionResponseTypes = append(c.FunctionResponseTypes, api.FunctionResponseTypeReportBatchItemFailures)
	}
	if m.OnFailure != "" {
		c.DestinationConfig.OnFailure.Destination = &m.OnFailure
	}
	if m.HasFilter {
		c.FilterCriteria = &api.FilterCriteria{}
		for i := range m.Filters {
			c.FilterCriteria.Filters = append(c.FilterCriteria.Filters, api.Filter{Pattern: &m.Filters[i]})
		}
	}
	if len(m.Metrics) > 0 {
		c.MetricsConfig = &api.EventSourceMappingMetricsConfig{}
		for _, name := range m.Metrics {
			c.MetricsConfig.Metrics = append(c.MetricsConfig.Metrics, api.EventSourceMappingMetric(name))
		}
	}
	return c
}

// config is a mapping as the engine has it; role is what its records are read by.
func (m *mappingDoc) config(role string) mapping.Config {
	c := mapping.Config{
		UUID: m.UUID, FunctionARN: m.function().arn(), StreamARN: m.Stream, ConsumerARN: m.Consumer, Region: m.Region, InvokeIdentityARN: role,
		StartingPosition: mapping.Position{Kind: mapping.PositionKind(m.Position)},
		BatchSize:        int(m.BatchSize), BatchingWindow: time.Duration(m.Window) * time.Second, ParallelizationFactor: int(m.Factor),
		BisectOnFunctionError: m.Bisect, MaximumRetryAttempts: int(m.Retries), ReportBatchItemFailures: m.Partial,
		Filters: m.Filters, TumblingWindow: time.Duration(m.Tumbling) * time.Second, OnFailureARN: m.OnFailure,
	}
	if m.AgeMax > 0 {
		c.MaximumRecordAge = time.Duration(m.AgeMax) * time.Second
	}
	if m.PositionAt != 0 {
		c.StartingPosition.Time = time.UnixMilli(m.PositionAt).UTC()
	}
	return c
}
