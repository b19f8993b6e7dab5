package lambda

import (
	"context"
	"errors"
	"strings"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/lambda"
)

// How events of a function, a version or an alias are made: how often a failure is
// retried, for how long, and who is told what became of them.

// invokeRules are what holds for an event.
type invokeRules struct {
	retries              int32
	age                  time.Duration
	onSuccess, onFailure string // ARNs; empty: nobody is told
}

func (f *function) invokeRules(qualifier string) (invokeRules, error) {
	r := invokeRules{retries: eventRetriesDefault, age: eventAgeDefault}
	d := new(invokeDoc)
	ok, err := read(f.docs, f.invokeKey(qualifier), d, nil)
	if err != nil || !ok {
		return r, err
	}
	if d.Retries != nil {
		r.retries = *d.Retries
	}
	if d.AgeMax != nil {
		r.age = time.Duration(*d.AgeMax) * time.Second
	}
	r.onSuccess, r.onFailure = d.OnSuccess, d.OnFailure
	return r, nil
}

// A destination is where an outcome is sent: one of the three.
type destination struct {
	function reference
	bucket   string
	queue    string // the whole ARN, of a topic too
}

// parseDestination reads the ARN of a destination.
func parseDestination(arn string) (destination, error) {
	part := strings.SplitN(arn, ":", 6) // arn, partition, service, region, account, resource
	if len(part) < 6 {
		return destination{}, invalid("The destination ARN %s is invalid.", arn)
	}
	switch part[2] {
	case "s3":
		return destination{bucket: part[5]}, nil
	case "sqs", "sns":
		return destination{queue: arn}, nil
	case "lambda":
		if m := nameForm.FindStringSubmatch(arn); m != nil && m[1] != "" && m[2] != "" {
			return destination{function: reference{functionID{m[2], m[1], m[3]}, m[4]}}, nil
		}
	}
	return destination{}, invalid("The destination ARN %s is invalid.", arn)
}

// checkDestination refuses what cannot be told: a kind that is not there is named.
func (s *Service) checkDestination(ctx context.Context, f *function, arn string, failure bool) error {
	if arn == "" {
		return nil
	}
	caller := rheo.CallerFrom(ctx)
	part := strings.SplitN(arn, ":", 6)
	if len(part) < 6 {
		return invalid("The destination ARN %s is invalid.", arn)
	}
	switch part[2] {
	case "sqs", "sns":
		return s.checkQueue("DestinationConfig", arn)
	case "events":
		return unsupported("DestinationConfig to events", "there are no event buses here; a function can be told")
	case "lambda":
		d, err := parseDestination(arn)
		if err != nil {
			return err
		}
		if d.function.account != caller.Account || d.function.region != caller.Region {
			return invalid("The destination ARN %s is invalid.", arn)
		}
		if d.function.name == f.Name {
			return invalid("You can't specify the function as a destination for itself.")
		}
		if target, err := s.find(d.function.functionID); err != nil || target == nil {
			return orErr(err, invalid("The destination ARN %s is invalid.", arn))
		}
		return nil
	case "s3":
		if !failure {
			return invalid("The destination ARN %s is invalid.", arn)
		}
		return s.checkBucket(ctx, arn, part[5])
	}
	return invalid("The destination ARN %s is invalid.", arn)
}

// checkBucket: a destination's bucket is there when it is named.
func (s *Service) checkBucket(ctx context.Context, arn, bucket string) error {
	if s.cfg.Objects == nil {
		return unsupported("DestinationConfig to s3", "there is no object store here")
	}
	caller := rheo.CallerFrom(ctx)
	if err := s.cfg.Objects.HeadBucket(ctx, caller.Account, caller.Region, bucket); err != nil {
		var e *rheo.Error
		if errors.As(err, &e) {
			return invalid("The destination ARN %s is invalid. S3 answers %s: %s", arn, e.Code, e.Message)
		}
		return err
	}
	return nil
}

// destinations are the two ARNs of a DestinationConfig; nil where it does not say.
func destinations(c *api.DestinationConfig) (onSuccess, onFailure *string) {
	if c == nil {
		return nil, nil
	}
	if c.OnSuccess != nil {
		onSuccess = orEmpty(c.OnSuccess.Destination)
	}
	if c.OnFailure != nil {
		onFailure = orEmpty(c.OnFailure.Destination)
	}
	return onSuccess, onFailure
}

func orEmpty(s *string) *string {
	if s == nil {
		return new("")
	}
	return s
}

func describeInvoke(id functionID, qualifier string, d *invokeDoc) *api.FunctionEventInvokeConfig {
	if qualifier == "" {
		qualifier = latest
	}
	c := &api.FunctionEventInvokeConfig{
		FunctionArn: new(id.qualified(qualifier)), LastModified: new(time.UnixMilli(d.Modified).UTC()),
		MaximumRetryAttempts: d.Retries, MaximumEventAgeInSeconds: d.AgeMax,
		DestinationConfig: &api.DestinationConfig{OnSuccess: &api.OnSuccess{}, OnFailure: &api.OnFailure{}},
	}
	if d.OnSuccess != "" {
		c.DestinationConfig.OnSuccess.Destination = &d.OnSuccess
	}
	if d.OnFailure != "" {
		c.DestinationConfig.OnFailure.Destination = &d.OnFailure
	}
	return c
}

// An invokeChange is what Put and Update say.
type invokeChange struct {
	retries, age *int32
	destinations *api.DestinationConfig
	replace      bool // what is not given goes back to its default
}

func (s *Service) putInvoke(ctx context.Context, name string, qualifier *string, c invokeChange) (*api.FunctionEventInvokeConfig, error) {
	ref, err := resolve(ctx, name, qualifier)
	if err != nil {
		return nil, err
	}
	if c.retries == nil && c.age == nil && c.destinations == nil {
		return nil, invalid("You must specify at least one of error handling or destination setting.")
	}
	f, v, err := s.get(ref)
	if rheo.IsCode(err, "ResourceNotFoundException") || err == nil && (f == nil || v == nil) {
		return nil, notFound("The function doesn't exist.")
	} else if err != nil {
		return nil, err
	}
	onSuccess, onFailure := destinations(c.destinations)
	for _, d := range []struct {
		arn     *string
		failure bool
	}{{onSuccess, false}, {onFailure, true}} {
		if d.arn != nil {
			if err := s.checkDestination(ctx, f, *d.arn, d.failure); err != nil {
				return nil, err
			}
		}
	}
	var out *api.FunctionEventInvokeConfig
	err = s.update(ctx, reference{functionID: ref.functionID}, func(f *function) (*change, error) {
		if v, err := f.qualifiedVersion(ref.qualifier); err != nil || v == nil {
			return nil, orErr(err, notFound("The function doesn't exist."))
		}
		d := new(invokeDoc)
		have, err := read(s.docs, f.invokeKey(ref.qualifier), d, nil)
		if err != nil {
			return nil, err
		}
		if !have && !c.replace {
			return nil, notFound("The function %s doesn't have an EventInvokeConfig", invokeARN(ref))
		}
		if c.replace {
			*d = invokeDoc{}
		}
		d.Modified = s.nowMillis()
		if c.retries != nil {
			d.Retries = c.retries
		}
		if c.age != nil {
			d.AgeMax = c.age
		}
		setString(&d.OnSuccess, onSuccess)
		setString(&d.OnFailure, onFailure)
		ch := &change{}
		ch.put(f.invokeKey(ref.qualifier), d)
		out = describeInvoke(f.id(), ref.qualifier, d)
		return ch, nil
	})
	return out, err
}

// invokeARN is the ARN that configurations of events are told by: always qualified.
func invokeARN(ref reference) string {
	if ref.qualifier == "" {
		return ref.qualified(latest)
	}
	return ref.arn()
}

// PutFunctionEventInvokeConfig says how events are made, all of it.
func (s *Service) PutFunctionEventInvokeConfig(ctx context.Context, in *api.PutFunctionEventInvokeConfigInput) (*api.PutFunctionEventInvokeConfigOutput, error) {
	return s.putInvoke(ctx, *in.FunctionName, in.Qualifier, invokeChange{in.MaximumRetryAttempts, in.MaximumEventAgeInSeconds, in.DestinationConfig, true})
}

// UpdateFunctionEventInvokeConfig changes what is given.
func (s *Service) UpdateFunctionEventInvokeConfig(ctx context.Context, in *api.UpdateFunctionEventInvokeConfigInput) (*api.UpdateFunctionEventInvokeConfigOutput, error) {
	return s.putInvoke(ctx, *in.FunctionName, in.Qualifier, invokeChange{in.MaximumRetryAttempts, in.MaximumEventAgeInSeconds, in.DestinationConfig, false})
}

// GetFunctionEventInvokeConfig tells how events of a function, version or alias are made.
func (s *Service) GetFunctionEventInvokeConfig(ctx context.Context, in *api.GetFunctionEventInvokeConfigInput) (*api.GetFunctionEventInvokeConfigOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	f, err := s.find(ref.functionID)
	if err != nil {
		return nil, err
	}
	if f != nil {
		d := new(invokeDoc)
		ok, err := read(s.docs, f.invokeKey(ref.qualifier), d, nil)
		if err != nil {
			return nil, err
		}
		if ok {
			return describeInvoke(f.id(), ref.qualifier, d), nil
		}
	}
	return nil, notFound("The function %s doesn't have an EventInvokeConfig", invokeARN(ref))
}

// DeleteFunctionEventInvokeConfig goes back to the defaults.
func (s *Service) DeleteFunctionEventInvokeConfig(ctx context.Context, in *api.DeleteFunctionEventInvokeConfigInput) (*api.DeleteFunctionEventInvokeConfigOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	missing := notFound("The function %s doesn't have an EventInvokeConfig", invokeARN(ref))
	if f, err := s.find(ref.functionID); err != nil || f == nil {
		return nil, orErr(err, missing)
	}
	err = s.update(ctx, reference{functionID: ref.functionID}, func(f *function) (*change, error) {
		if _, _, ok := s.docs.Get(f.invokeKey(ref.qualifier)); !ok {
			return nil, missing
		}
		ch := &change{}
		ch.put(f.invokeKey(ref.qualifier), nil)
		return ch, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteFunctionEventInvokeConfigOutput{}, nil
}

// ListFunctionEventInvokeConfigs lists those of a function, its versions and aliases.
func (s *Service) ListFunctionEventInvokeConfigs(ctx context.Context, in *api.ListFunctionEventInvokeConfigsInput) (*api.ListFunctionEventInvokeConfigsOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	f, err := s.find(id)
	if err != nil || f == nil {
		return nil, orErr(err, notFound("The function doesn't exist."))
	}
	type entry struct {
		qualifier string
		config    *api.FunctionEventInvokeConfig
	}
	var all []entry
	prefix := invokePrefix + f.ID + "/"
	for ch := range s.docs.Scan(prefix, "") {
		d := new(invokeDoc)
		if ok, err := read(s.docs, ch.Key, d, nil); err != nil {
			return nil, err
		} else if ok {
			qualifier := strings.TrimPrefix(ch.Key, prefix)
			all = append(all, entry{qualifier, describeInvoke(id, qualifier, d)})
		}
	}
	part, next := page(all, func(e entry) string { return e.qualifier }, in.Marker, in.MaxItems, listMax)
	out := &api.ListFunctionEventInvokeConfigsOutput{FunctionEventInvokeConfigs: []api.FunctionEventInvokeConfig{}, NextMarker: next}
	for _, e := range part {
		out.FunctionEventInvokeConfigs = append(out.FunctionEventInvokeConfigs, *e.config)
	}
	return out, nil
}
