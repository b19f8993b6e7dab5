package lambda

import (
	"context"
	"fmt"

	api "github.com/rheostream/rheo/internal/api/lambda"
)

// An alias points to a version, and can give a part of the invocations to another
// one by its weight.

func markerOf(number int64) string { return fmt.Sprintf("%010d", number) }

func (f *function) describeAlias(a *aliasDoc) *api.AliasConfiguration {
	c := &api.AliasConfiguration{AliasArn: new(f.id().qualified(a.Name)), Name: &a.Name, FunctionVersion: &a.Version, Description: &a.Description, RevisionId: &a.Revision}
	if a.Other != "" {
		c.RoutingConfig = &api.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{a.Other: a.Weight}}
	}
	return c
}

// route puts a routing configuration into a: none of it if that is empty.
func (f *function) route(a *aliasDoc, r *api.AliasRoutingConfiguration) error {
	if r == nil {
		return f.checkAlias(a)
	}
	a.Other, a.Weight = "", 0
	if len(r.AdditionalVersionWeights) > 1 {
		return invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	for version, weight := range r.AdditionalVersionWeights {
		a.Other, a.Weight = version, weight
	}
	return f.checkAlias(a)
}

// checkAlias: the versions that an alias names are there.
func (f *function) checkAlias(a *aliasDoc) error {
	if a.Other != "" {
		if a.Other == a.Version {
			return invalid("Invalid function version %s. Function version %s is already included in routing configuration.", a.Other, a.Other)
		}
		if a.Version == latest {
			return invalid("$LATEST is not supported for an alias pointing to more than 1 version")
		}
	}
	for _, version := range []string{a.Version, a.Other} {
		if version == "" {
			continue
		}
		v, err := f.numbered(version)
		if err != nil {
			return err
		}
		if v == nil {
			return reference{f.id(), version}.missing()
		}
	}
	return nil
}

// CreateAlias makes an alias.
func (s *Service) CreateAlias(ctx context.Context, in *api.CreateAliasInput) (*api.CreateAliasOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	if *in.FunctionVersion == "$LATEST.PUBLISHED" {
		return nil, unsupported("FunctionVersion $LATEST.PUBLISHED", "there are no managed instances")
	}
	var out *api.AliasConfiguration
	// That there is no such function is told with the version.
	err = s.update(ctx, reference{id, *in.FunctionVersion}, func(f *function) (*change, error) {
		have, err := f.alias(*in.Name)
		if err != nil {
			return nil, err
		}
		if have != nil {
			return nil, conflict("Alias already exists: %s", f.id().qualified(*in.Name))
		}
		a := &aliasDoc{Name: *in.Name, Version: *in.FunctionVersion, Revision: newUUID()}
		setString(&a.Description, in.Description)
		if err := f.route(a, in.RoutingConfig); err != nil {
			return nil, err
		}
		ch := &change{}
		ch.put(f.aliasKey(a.Name), a)
		out = f.describeAlias(a)
		return ch, nil
	})
	return out, err
}

// GetAlias tells of an alias.
func (s *Service) GetAlias(ctx context.Context, in *api.GetAliasInput) (*api.GetAliasOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	f, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if f != nil {
		a, err := f.alias(*in.Name)
		if err != nil {
			return nil, err
		}
		if a != nil {
			return f.describeAlias(a), nil
		}
	}
	return nil, notFound("Cannot find alias arn: %s", id.qualified(*in.Name))
}

// UpdateAlias changes what is given.
func (s *Service) UpdateAlias(ctx context.Context, in *api.UpdateAliasInput) (*api.UpdateAliasOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	if in.FunctionVersion != nil && *in.FunctionVersion == "$LATEST.PUBLISHED" {
		return nil, unsupported("FunctionVersion $LATEST.PUBLISHED", "there are no managed instances")
	}
	var out *api.AliasConfiguration
	err = s.update(ctx, reference{functionID: id}, func(f *function) (*change, error) {
		a, err := f.alias(*in.Name)
		if err != nil {
			return nil, err
		}
		if a == nil {
			return nil, notFound("Alias not found: %s", id.qualified(*in.Name))
		}
		if in.RevisionId != nil && *in.RevisionId != a.Revision {
			return nil, wrongRevision("GetFunction/GetAlias")
		}
		setString(&a.Version, in.FunctionVersion)
		setString(&a.Description, in.Description)
		a.Revision = newUUID()
		if err := f.route(a, in.RoutingConfig); err != nil {
			return nil, err
		}
		ch := &change{}
		ch.put(f.aliasKey(a.Name), a)
		out = f.describeAlias(a)
		return ch, nil
	})
	return out, err
}

// DeleteAlias deletes an alias with its policy. One that is not there is no error.
func (s *Service) DeleteAlias(ctx context.Context, in *api.DeleteAliasInput) (*api.DeleteAliasOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	err = s.update(ctx, reference{functionID: id}, func(f *function) (*change, error) {
		a, err := f.alias(*in.Name)
		if a == nil || err != nil {
			return nil, err
		}
		ch := &change{}
		for _, key := range []string{f.aliasKey(*in.Name), f.policyKey(*in.Name), f.invokeKey(*in.Name)} {
			ch.put(key, nil)
		}
		return ch, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteAliasOutput{}, nil
}

// ListAliases lists a function's aliases in the order of their names, those of one
// version if that is given.
func (s *Service) ListAliases(ctx context.Context, in *api.ListAliasesInput) (*api.ListAliasesOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	f, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, reference{functionID: id}.missing()
	}
	all, err := list[aliasDoc](s.docs, aliasPrefix+f.ID+"/")
	if err != nil {
		return nil, err
	}
	var mine []aliasDoc
	for _, a := range all {
		if in.FunctionVersion == nil || a.Version == *in.FunctionVersion {
			mine = append(mine, a)
		}
	}
	part, next := page(mine, func(a aliasDoc) string { return a.Name }, in.Marker, in.MaxItems, listMax)
	out := &api.ListAliasesOutput{Aliases: []api.AliasConfiguration{}, NextMarker: next}
	for i := range part {
		out.Aliases = append(out.Aliases, *f.describeAlias(&part[i]))
	}
	return out, nil
}
