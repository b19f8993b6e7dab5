package lambda

import (
	"context"
	"errors"
	"fmt"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/lambda"
	"github.com/rheostream/rheo/internal/catalog"
)

// mappingsMax is how many mappings a page of a list has at most.
const mappingsMax = 100

// GetEventSourceMapping tells of a mapping.
func (s *Service) GetEventSourceMapping(ctx context.Context, in *api.GetEventSourceMappingInput) (*api.GetEventSourceMappingOutput, error) {
	m, _, err := s.mappingByUUID(ctx, *in.UUID)
	if err != nil {
		return nil, err
	}
	return s.describeMapping(m), nil
}

// ListEventSourceMappings lists the caller's mappings, those of a source or of a
// function if that is given.
func (s *Service) ListEventSourceMappings(ctx context.Context, in *api.ListEventSourceMappingsInput) (*api.ListEventSourceMappingsOutput, error) {
	caller := rheo.CallerFrom(ctx)
	all, err := list[mappingDoc](s.docs, mappingPrefix+caller.Account+"/"+caller.Region+"/")
	if err != nil {
		return nil, err
	}
	var ref reference
	if in.FunctionName != nil {
		if ref, err = resolve(ctx, *in.FunctionName, nil); err != nil {
			return nil, err
		}
	}
	var mine []mappingDoc
	for _, m := range all {
		if in.EventSourceArn != nil && m.Source != *in.EventSourceArn || in.FunctionName != nil && m.function() != ref {
			continue
		}
		mine = append(mine, m)
	}
	part, next := page(mine, func(m mappingDoc) string { return m.UUID }, in.Marker, in.MaxItems, mappingsMax)
	out := &api.ListEventSourceMappingsOutput{EventSourceMappings: []api.EventSourceMappingConfiguration{}, NextMarker: next}
	for i := range part {
		out.EventSourceMappings = append(out.EventSourceMappings, *s.describeMapping(&part[i]))
	}
	return out, nil
}

// UpdateEventSourceMapping changes what is given. The engine ends what is under way
// with the old settings, and goes on with the new ones where that was.
func (s *Service) UpdateEventSourceMapping(ctx context.Context, in *api.UpdateEventSourceMappingInput) (*api.UpdateEventSourceMappingOutput, error) {
	if err := refuseSources(&api.CreateEventSourceMappingInput{SourceAccessConfigurations: in.SourceAccessConfigurations,
		AmazonManagedKafkaEventSourceConfig: in.AmazonManagedKafkaEventSourceConfig, SelfManagedKafkaEventSourceConfig: in.SelfManagedKafkaEventSourceConfig,
		DocumentDBEventSourceConfig: in.DocumentDBEventSourceConfig, ScalingConfig: in.ScalingConfig, ProvisionedPollerConfig: in.ProvisionedPollerConfig,
		LoggingConfig: in.LoggingConfig}); err != nil {
		return nil, err
	}
	given := mappingSettings{in.BatchSize, in.MaximumBatchingWindowInSeconds, in.ParallelizationFactor, in.MaximumRecordAgeInSeconds, in.MaximumRetryAttempts,
		in.BisectBatchOnFunctionError, in.TumblingWindowInSeconds, in.FunctionResponseTypes, in.FilterCriteria, in.DestinationConfig, in.MetricsConfig, in.KMSKeyArn}
	m, err := s.changeMapping(ctx, *in.UUID, "update", func(m *mappingDoc, ch *change) error {
		if err := s.applyMapping(ctx, m, given); err != nil {
			return err
		}
		if in.FunctionName != nil {
			if err := s.moveMapping(ctx, m, ch, *in.FunctionName); err != nil {
				return err
			}
		}
		was := m.Enabled
		if in.Enabled != nil {
			m.Enabled = *in.Enabled
		}
		m.Run++
		switch {
		case m.Enabled == was:
			m.State = mappingUpdating
		case m.Enabled:
			m.State = mappingEnabling
		default:
			m.State = mappingDisabling
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.describeMapping(m), nil
}

// moveMapping gives a mapping another function, unless that has one of the source already.
func (s *Service) moveMapping(ctx context.Context, m *mappingDoc, ch *change, name string) error {
	before := m.pairKey()
	if err := s.setFunction(ctx, m, name); err != nil {
		return err
	}
	after := m.pairKey()
	if after == before {
		return nil
	}
	if _, _, taken := s.docs.Get(after); taken {
		return s.duplicate(m)
	}
	ch.expects(after, 0)
	ch.put(before, nil)
	ch.put(after, pairDoc{m.UUID})
	return nil
}

// DeleteEventSourceMapping ends a mapping. The answer says Deleting; it is gone
// when what was under way has come to its end.
func (s *Service) DeleteEventSourceMapping(ctx context.Context, in *api.DeleteEventSourceMappingInput) (*api.DeleteEventSourceMappingOutput, error) {
	m, err := s.changeMapping(ctx, *in.UUID, "delete", func(m *mappingDoc, _ *change) error {
		m.State = mappingDeleting
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.describeMapping(m), nil
}

// changeMapping changes a mapping that is not between two states.
func (s *Service) changeMapping(ctx context.Context, uuid, verb string, alter func(*mappingDoc, *change) error) (*mappingDoc, error) {
	for range 100 {
		m, version, err := s.mappingByUUID(ctx, uuid)
		if err != nil {
			return nil, err
		}
		if m.busy() {
			return nil, user("ResourceInUseException", "Cannot %s the event source mapping because it is in use.", verb)
		}
		ch := &change{}
		if err := alter(m, ch); err != nil {
			return nil, err
		}
		m.Modified, m.Reason = s.nowMillis(), "User action"
		ch.expects(m.id().key(), version)
		ch.put(m.id().key(), m)
		if err := s.commit(ctx, ch); !errors.Is(err, catalog.ErrConflict) {
			return m, err
		}
	}
	return nil, fmt.Errorf("lambda: decided 100 times on mapping %s, and it had changed each time", uuid)
}
