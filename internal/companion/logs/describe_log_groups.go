package logs

import (
	"context"
	"slices"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
)

const describeMax = 50

// DescribeLogGroups lists groups in the order of their names: all, those that begin
// with a prefix, those that have a pattern anywhere in their names (whatever its
// case), or those that are named.
func (s *Service) DescribeLogGroups(ctx context.Context, in *api.DescribeLogGroupsInput) (*api.DescribeLogGroupsOutput, error) {
	caller := rheo.CallerFrom(ctx)
	out := &api.DescribeLogGroupsOutput{LogGroups: []api.LogGroup{}}
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return nil, invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	if in.LogGroupIdentifiers != nil {
		if in.LogGroupNamePrefix != nil || in.LogGroupNamePattern != nil {
			return nil, invalid("LogGroup identifiers and a name prefix or pattern are mutually exclusive parameters.")
		}
		for _, identifier := range in.LogGroupIdentifiers {
			g, err := s.named(ctx, nil, &identifier)
			if rheo.IsCode(err, api.ResourceNotFoundException) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out.LogGroups = append(out.LogGroups, s.describeGroup(g))
		}
		return out, nil
	}
	if len(in.AccountIdentifiers) > 0 && !slices.Contains(in.AccountIdentifiers, caller.Account) {
		return out, nil // no account is linked
	}
	prefix, pattern, limit := "", "", describeMax
	if in.LogGroupNamePrefix != nil {
		prefix = *in.LogGroupNamePrefix
	}
	if in.LogGroupNamePattern != nil {
		pattern = strings.ToLower(*in.LogGroupNamePattern)
	}
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	tenant := groupKey(caller.Account, caller.Region, "")
	from := tenant + prefix
	if in.NextToken != nil {
		last, ok := parseNameToken(in.NextToken)
		if !ok {
			return nil, badToken
		}
		from = max(from, tenant+last+"\x00")
	}
	s.machine.view().groups.Ascend(from, func(key string, g *group) bool {
		if !strings.HasPrefix(key, tenant+prefix) {
			return false
		}
		if pattern != "" && !strings.Contains(strings.ToLower(g.doc.Name), pattern) ||
			in.LogGroupClass != "" && string(in.LogGroupClass) != g.doc.Class {
			return true
		}
		if len(out.LogGroups) == limit {
			out.NextToken = nameToken(*out.LogGroups[limit-1].LogGroupName)
			return false
		}
		out.LogGroups = append(out.LogGroups, s.describeGroup(g))
		return true
	})
	return out, nil
}

func (s *Service) describeGroup(g *group) api.LogGroup {
	d := &g.doc
	out := api.LogGroup{
		LogGroupName: &d.Name, CreationTime: &d.Created, LogGroupClass: api.LogGroupClass(d.Class),
		Arn: new(d.arn() + ":*"), LogGroupArn: new(d.arn()),
		MetricFilterCount: new(int32(0)), StoredBytes: new(int64(0)), DeletionProtectionEnabled: &d.Protected,
	}
	if d.Days > 0 {
		out.RetentionInDays = new(int32(d.Days))
	}
	if gl := s.logs.get(d.ID); gl != nil {
		*out.StoredBytes = gl.shard.Info().Bytes
	}
	return out
}
