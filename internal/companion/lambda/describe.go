package lambda

import (
	api "github.com/rheostream/rheo/internal/api/lambda"
)

// describe is a version as the API has it. qualifier is what the ARN is to end
// with; empty: nothing. In lists Lambda leaves out what changes by itself (brief).
func (s *Service) describe(f *function, v *versionDoc, qualifier string, brief bool) (*api.FunctionConfiguration, error) {
	c := &api.FunctionConfiguration{
		FunctionName:     &f.Name,
		FunctionArn:      new(f.id().qualified(qualifier)),
		Runtime:          api.Runtime(v.Runtime),
		Role:             &v.Role,
		Handler:          &v.Handler,
		CodeSize:         &v.Code.Bytes,
		CodeSha256:       new(v.Code.codeSHA256()),
		Description:      &v.Description,
		Timeout:          &v.Timeout,
		MemorySize:       &v.Memory,
		LastModified:     new(lastModified(v.Modified)),
		Version:          new(v.qualifier()),
		TracingConfig:    &api.TracingConfigResponse{Mode: api.TracingModePassThrough},
		RevisionId:       &v.Revision,
		PackageType:      api.PackageTypeZip,
		Architectures:    []api.Architecture{api.Architecture(architecture())},
		EphemeralStorage: &api.EphemeralStorage{Size: &v.Storage},
		SnapStart:        &api.SnapStartResponse{ApplyOn: api.SnapStartApplyOnNone, OptimizationStatus: api.SnapStartOptimizationStatusOff},
		LoggingConfig:    describeLogging(f, &v.Logging),
	}
	if v.DeadLetter != "" {
		c.DeadLetterConfig = &api.DeadLetterConfig{TargetArn: &v.DeadLetter}
	}
	vars, err := s.environment(v)
	if err != nil {
		return nil, err
	}
	if vars != nil {
		c.Environment = &api.EnvironmentResponse{Variables: vars}
	}
	if brief {
		return c, nil
	}
	s.describeState(c, v)
	return c, nil
}

// describeState tells what a version is doing.
func (s *Service) describeState(c *api.FunctionConfiguration, v *versionDoc) {
	c.State, c.LastUpdateStatus = api.StateActive, api.LastUpdateStatusSuccessful
	if s.nowMillis() < v.Due {
		begin(c, v.Updated)
	}
	if s.cfg.Runner != nil && c.State == api.StateActive {
		c.StateReason = new(s.cfg.Runner.Isolation())
	}
}

// begin gives c the state that it has in the answer to what made or updated it.
func begin(c *api.FunctionConfiguration, updated bool) {
	if updated {
		c.LastUpdateStatus = api.LastUpdateStatusInProgress
		c.LastUpdateStatusReason = new("The function is being created.")
		c.LastUpdateStatusReasonCode = "Creating" // as recorded; the model does not have it
		return
	}
	c.State, c.LastUpdateStatus = api.StatePending, ""
	c.StateReason = new("The function is being created.")
	c.StateReasonCode = api.StateReasonCodeCreating
}

func logGroup(f *functionDoc, d *loggingDoc) string {
	if d.Group != "" {
		return d.Group
	}
	return "/aws/lambda/" + f.Name
}

func describeLogging(f *function, d *loggingDoc) *api.LoggingConfig {
	c := &api.LoggingConfig{LogFormat: api.LogFormatText, LogGroup: new(logGroup(&f.functionDoc, d))}
	if d.JSON {
		c.LogFormat = api.LogFormatJson
		c.ApplicationLogLevel, c.SystemLogLevel = api.ApplicationLogLevel(d.Application), api.SystemLogLevel(d.System)
	}
	return c
}
