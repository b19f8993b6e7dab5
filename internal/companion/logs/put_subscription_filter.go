package logs

import (
	"context"
	"slices"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/companion/logs/pattern"
)

const filtersMax = 2 // of a group

// PutSubscriptionFilter makes a filter of a group, or changes that of its name. Events
// that are put after its answer go to the destination, which it has tried: a stream
// gets a control message. A filter that is changed goes on where it was.
func (s *Service) PutSubscriptionFilter(ctx context.Context, in *api.PutSubscriptionFilterInput) (*api.PutSubscriptionFilterOutput, error) {
	switch {
	case in.ApplyOnTransformedLogs != nil && *in.ApplyOnTransformedLogs:
		return nil, unsupported("Transformers are")
	case in.FieldSelectionCriteria != nil && *in.FieldSelectionCriteria != "":
		return nil, unsupported("Field selection criteria are")
	case len(in.EmitSystemFields) > 0:
		return nil, unsupported("System fields are")
	}
	if _, err := pattern.Parse(*in.FilterPattern); err != nil {
		return nil, badPattern(err)
	}
	key := callersKey(ctx, *in.LogGroupName)
	g, err := s.group(key)
	if err != nil {
		return nil, err
	}
	if err := roomForFilter(&g.doc, *in.FilterName); err != nil {
		return nil, err
	}
	f := filterDoc{Name: *in.FilterName, Pattern: *in.FilterPattern, Destination: *in.DestinationArn, Distribution: string(in.Distribution)}
	if f.Distribution == "" {
		f.Distribution = string(api.DistributionByLogStream)
	}
	if in.RoleArn != nil {
		f.Role = *in.RoleArn
	}
	if err := s.tryDestination(ctx, &f); err != nil {
		return nil, err
	}
	_, err = s.changeGroup(ctx, key, func(d *groupDoc) error {
		if old := d.filter(f.Name); old != nil {
			f.ID, f.Created, f.From = old.ID, old.Created, old.From
			*old = f
			return nil
		}
		if err := roomForFilter(d, f.Name); err != nil {
			return err
		}
		gl := s.logs.get(d.ID)
		if gl == nil {
			return noGroup
		}
		f.ID, f.Created, f.From = newID(), s.now().UnixMilli(), uint64(gl.shard.Info().Next)
		d.Filters = append(d.Filters, f)
		slices.SortFunc(d.Filters, func(a, b filterDoc) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.deliveries.sync()
	return &api.PutSubscriptionFilterOutput{}, nil
}

func roomForFilter(d *groupDoc, name string) error {
	if d.filter(name) == nil && len(d.Filters) >= filtersMax {
		return limitExceeded("Resource limit exceeded.")
	}
	return nil
}

// tryDestination says, in AWS's words, why nothing can be delivered to a filter's
// destination, if that is so.
func (s *Service) tryDestination(ctx context.Context, f *filterDoc) error {
	service, region, account, ok := parseDestination(f.Destination)
	if !ok {
		return invalid("Invalid destinationArn: %s", clip(f.Destination))
	}
	caller := rheo.CallerFrom(ctx)
	switch {
	case service != "kinesis" && service != "lambda" && service != "firehose":
		return invalid("PutSubscriptionFilter operation cannot work with destinationArn for vendor %s", clip(service))
	case account != caller.Account:
		return unsupported("Destinations in other accounts are")
	case service == "lambda" && f.Role != "":
		return invalid("destinationArn for vendor lambda cannot be used with roleArn")
	case service != "lambda" && f.Role == "":
		return invalid("destinationArn for vendor %s cannot be used without roleArn", service)
	case service == "firehose":
		return unsupported("Subscription filters to Firehose are")
	case region != caller.Region:
		return invalid("The destination is in %s, and the log group in %s: they must be in the same region.", clip(region), caller.Region)
	}
	return s.deliveries.try(ctx, f)
}

// parseDestination finds the service, region and account of an ARN.
func parseDestination(arn string) (service, region, account string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || parts[5] == "" {
		return "", "", "", false
	}
	return parts[2], parts[3], parts[4], true
}
