package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/rheostream/rheo/internal/agent"
)

// hostTagsMax bounds an instance's tags; EC2 allows 50.
const hostTagsMax = 50

// hostAttributes are what ADDEC2METADATA puts into records, from the machine's
// metadata service. Tags are those that it shows, if the instance is set to.
func hostAttributes(ctx context.Context) ([]agent.Attribute, error) {
	c := imds.New(imds.Options{})
	out, err := c.GetInstanceIdentityDocument(ctx, nil)
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	if names, err := metadata(ctx, c, "tags/instance/"); err == nil {
		for i, name := range strings.Fields(names) {
			if i == hostTagsMax {
				break
			}
			if v, err := metadata(ctx, c, "tags/instance/"+name); err == nil {
				tags[strings.ToLower(name)] = v
			}
		}
	}
	var attributes []agent.Attribute
	for _, a := range []struct {
		name  string
		value any
	}{
		{"privateIp", out.PrivateIP}, {"availabilityZone", out.AvailabilityZone}, {"instanceId", out.InstanceID}, {"instanceType", out.InstanceType},
		{"accountId", out.AccountID}, {"amiId", out.ImageID}, {"region", out.Region},
		{"metadataTimestamp", time.Now().Format("2006-01-02T15:04:05-0700")}, {"tags", tags},
	} {
		v, err := json.Marshal(a.value)
		if err != nil {
			return nil, fmt.Errorf("cannot write %s: %w", a.name, err)
		}
		attributes = append(attributes, agent.Attribute{Name: a.name, Value: v})
	}
	return attributes, nil
}

func metadata(ctx context.Context, c *imds.Client, path string) (string, error) {
	out, err := c.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	if err != nil {
		return "", err
	}
	defer out.Content.Close()
	b, err := io.ReadAll(io.LimitReader(out.Content, 64<<10))
	return string(b), err
}

// instanceName is the EC2 instance's id, or the host's name.
func instanceName(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if out, err := imds.New(imds.Options{}).GetInstanceIdentityDocument(ctx, nil); err == nil && out.InstanceID != "" {
		return out.InstanceID
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
