package logs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
)

func (d *groupDoc) arn() string {
	return "arn:aws:logs:" + d.Region + ":" + d.Account + ":log-group:" + d.Name
}

func (d *groupDoc) streamARN(name string) string { return d.arn() + ":log-stream:" + name }

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// callersKey is the key of the caller's group of a name.
func callersKey(ctx context.Context, name string) string {
	caller := rheo.CallerFrom(ctx)
	return groupKey(caller.Account, caller.Region, name)
}

// parseGroupARN finds the parts of a group's ARN; with ":*" behind it, it is the same.
func parseGroupARN(arn string) (region, account, name string, ok bool) {
	parts := strings.SplitN(arn, ":", 7)
	if len(parts) < 7 || parts[0] != "arn" || parts[2] != "logs" || parts[5] != "log-group" {
		return "", "", "", false
	}
	name = strings.TrimSuffix(parts[6], ":*")
	return parts[3], parts[4], name, name != "" && !strings.Contains(name, ":")
}

// named is the group that a call names, by name or by identifier: exactly one of
// them is to be given. The identifier is a name or an ARN.
func (s *Service) named(ctx context.Context, name, identifier *string) (*group, error) {
	switch {
	case name == nil && identifier == nil:
		return nil, invalid("Either logGroupName or logGroupIdentifier must be specified.")
	case name != nil && identifier != nil:
		return nil, invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
	case name != nil:
		return s.group(callersKey(ctx, *name))
	case !strings.HasPrefix(*identifier, "arn:"):
		return s.group(callersKey(ctx, *identifier))
	}
	return s.byARN(ctx, *identifier)
}

// byARN is the caller's group of an ARN.
func (s *Service) byARN(ctx context.Context, arn string) (*group, error) {
	region, account, groupName, ok := parseGroupARN(arn)
	if !ok {
		return nil, invalid("The specified ARN is invalid: %s", clip(arn))
	}
	caller := rheo.CallerFrom(ctx)
	if region != caller.Region || account != caller.Account {
		return nil, noGroup // of others there is none, for this caller
	}
	return s.group(groupKey(account, region, groupName))
}

func (s *Service) group(key string) (*group, error) {
	g, ok := s.machine.view().groups.Get(key)
	if !ok {
		return nil, noGroup
	}
	return g, nil
}
