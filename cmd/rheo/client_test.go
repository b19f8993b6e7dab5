package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestConnect: which endpoint, region and keys come of flags, environment and files.
func TestConnect(t *testing.T) {
	const files = "[default]\nregion = eu-north-1\n\n" +
		"[profile far]\nregion = eu-west-1\naws_access_key_id = far\naws_secret_access_key = s\n\n" +
		"[profile near]\nregion = eu-west-2\nendpoint_url = http://localhost:4599\naws_access_key_id = near\naws_secret_access_key = s\n"
	for _, c := range []struct {
		name                  string
		flags                 connection
		env                   map[string]string
		noFiles               bool
		endpoint, region, key string // endpoint "": AWS's own
		err                   string
	}{
		{name: "nothing set", noFiles: true, endpoint: defaultEndpoint, region: "us-east-1", key: "test"},
		{name: "default profile's region", endpoint: defaultEndpoint, region: "eu-north-1", key: "test"},
		{name: "keys in the environment alone are no wish for AWS", noFiles: true,
			env:      map[string]string{"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-west-2"},
			endpoint: defaultEndpoint, region: "us-west-2", key: "mine"},
		{name: "flag", flags: connection{endpoint: "http://127.0.0.1:1/"}, env: map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:2"},
			endpoint: "http://127.0.0.1:1", region: "eu-north-1", key: "test"},
		{name: "environment", env: map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:2"}, endpoint: "http://127.0.0.1:2", region: "eu-north-1", key: "test"},
		{name: "the service's variable first", env: map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:2", "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:3"},
			endpoint: "http://127.0.0.1:3", region: "eu-north-1", key: "test"},
		{name: "a profile is AWS", flags: connection{profile: "far"}, region: "eu-west-1", key: "far"},
		{name: "also from the environment", env: map[string]string{"AWS_PROFILE": "far"}, region: "eu-west-1", key: "far"},
		{name: "a profile with an endpoint", flags: connection{profile: "near"}, endpoint: "http://localhost:4599", region: "eu-west-2", key: "near"},
		{name: "a profile and an endpoint", flags: connection{profile: "far", endpoint: "https://kinesis.internal"}, endpoint: "https://kinesis.internal", region: "eu-west-1", key: "far"},
		{name: "AWS overrules the environment", flags: connection{aws: true, profile: "far"}, env: map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:2"}, region: "eu-west-1", key: "far"},
		{name: "region flag", flags: connection{region: "ap-south-1"}, endpoint: defaultEndpoint, region: "ap-south-1", key: "test"},
		{name: "elsewhere a region is needed", noFiles: true, flags: connection{endpoint: "https://kinesis.internal"}, err: "no region is set"},
		{name: "no URL", flags: connection{endpoint: "localhost:4566"}, err: `endpoint "localhost:4566" is not a URL such as http://localhost:4566`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"} {
				t.Setenv(name, "") // so that it is restored
				os.Unsetenv(name)
			}
			dir := t.TempDir()
			if !c.noFiles {
				if err := os.WriteFile(filepath.Join(dir, "config"), []byte(files), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
			t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			k, err := c.flags.connect(context.Background())
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("error %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			keys, err := k.cfg.Credentials.Retrieve(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if k.endpoint != c.endpoint || k.cfg.Region != c.region || keys.AccessKeyID != c.key {
				t.Errorf("endpoint %q region %q key %q, want %q %q %q", k.endpoint, k.cfg.Region, keys.AccessKeyID, c.endpoint, c.region, c.key)
			}
			if used := k.Options().BaseEndpoint; (used == nil) != (c.endpoint == "") || used != nil && *used != c.endpoint {
				t.Errorf("the SDK's client calls %v", used)
			}
		})
	}
}
