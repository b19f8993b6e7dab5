package rheo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/rheostream/rheo/internal/call"
)

// A Setting is one thing that can be configured: by a flag, an environment
// variable or a line of the configuration file, in this order of precedence,
// which other tools' variables (Also) come behind and before the file.
type Setting struct {
	Name    string // of the flag and in the file, "shard-limit"
	Default string
	Help    string
	Bool    bool
	Secret  bool // its value is not shown
	// Also are variables of other Kinesis emulators that mean the same.
	Also []Alias

	set func(c *Config, value string) error
	// warn says what is risky in a value that is taken; "" if nothing is.
	warn func(value string) string
}

// Env is the setting's own environment variable, "RHEO_SHARD_LIMIT".
func (s *Setting) Env() string {
	return "RHEO_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// An Alias is another tool's variable; Convert makes our value of its one (nil
// leaves it), or an error of one that it cannot understand. "" says nothing about
// the setting, and is passed over.
type Alias struct {
	Env     string
	Convert func(string) (string, error)
}

// A Value is a setting as it was found.
type Value struct {
	*Setting
	Value  string
	Source string // "flag --port", "environment RHEO_PORT", "rheo.yaml:3", "default"
	// Warning is what the operator should know of the value; mostly empty.
	Warning string
}

// Settings lists everything that can be configured.
func Settings() []*Setting { return slices.Clone(settings) }

var settings = []*Setting{
	{Name: "data", Default: "rheo-data", Help: "directory of everything that is kept",
		set: func(c *Config, v string) error { c.Dir = v; return nil }},
	{Name: "host", Default: defaultHost, Help: "address to listen on, localhost for both loopbacks; others than loopback need keys",
		Also: []Alias{{"GATEWAY_LISTEN", hostOf}},
		set:  func(c *Config, v string) error { c.Host = v; return nil }},
	{Name: "port", Default: "4566", Help: "port of all services, plain HTTP and TLS; 0 for any free one",
		Also: []Alias{{"GATEWAY_LISTEN", portOf}, {"EDGE_PORT", nil}, {"KINESIS_MOCK_PLAIN_PORT", nil}},
		set:  func(c *Config, v string) error { return parseInt(v, 0, 65535, &c.Port) }},
	{Name: "http1-port", Default: "4567", Help: "port that speaks HTTP/1.1 only, plain and TLS; 0 for any free one, -1 for none",
		Also: []Alias{{"KINESIS_MOCK_TLS_PORT", nil}},
		set:  func(c *Config, v string) error { return parseInt(v, -1, 65535, &c.HTTP1Port) }},
	{Name: "keys", Secret: true, Help: "access keys, ID:SECRET or ID:SECRET:ACCOUNT, separated by commas; none: any credentials are taken",
		set: func(c *Config, v string) error { return parseKeys(v, c) }},
	{Name: "keys-file", Help: "file with one access key a line, as in keys",
		set: readKeysFile, warn: warnOfReaders},
	{Name: "limits", Default: "aws", Help: "capacity and call rates: aws, off, or a factor like x10",
		set: func(c *Config, v string) (err error) { c.Limits, err = call.ParseLimits(v); return err }},
	{Name: "transition", Default: "0s", Help: "how long CREATING, UPDATING and DELETING last beyond their work",
		Also: []Alias{{"KINESIS_LATENCY", milliseconds}, {"CREATE_STREAM_DURATION", nil}},
		set: func(c *Config, v string) (err error) {
			c.Transition, err = time.ParseDuration(v)
			if err == nil && (c.Transition < 0 || c.Transition > time.Hour) {
				err = fmt.Errorf("%s is not between 0s and 1h", v)
			}
			return err
		}},
	{Name: "streams", Help: "streams to make at start where they are missing, NAME:SHARDS or NAME:SHARDS:REGION separated by commas (no number: on-demand)",
		Also: []Alias{{"INITIALIZE_STREAMS", nil}, {"KINESIS_INITIALIZE_STREAMS", nil}},
		set:  parseStreams},
	{Name: "region", Default: "us-east-1", Help: "region of the streams made at start",
		Also: []Alias{{"AWS_DEFAULT_REGION", nil}, {"AWS_REGION", nil}},
		set:  func(c *Config, v string) error { c.Region = v; return checkRegion(v) }},
	{Name: "shard-limit", Default: "20000", Help: "open shards per account and region",
		Also: []Alias{{"KINESIS_SHARD_LIMIT", quota}, {"SHARD_LIMIT", quota}},
		set:  func(c *Config, v string) error { return parseInt(v, 1, quotaMax, &c.ShardLimit) }},
	{Name: "on-demand-limit", Default: "50", Help: "on-demand streams per account and region",
		Also: []Alias{{"KINESIS_ON_DEMAND_STREAM_COUNT_LIMIT", quota}, {"ON_DEMAND_STREAM_COUNT_LIMIT", quota}},
		set:  func(c *Config, v string) error { return parseInt(v, 1, quotaMax, &c.OnDemandLimit) }},
	{Name: "lambda", Help: "where functions run: local (processes of this machine), or the URL of another Lambda endpoint; none: they can be made, not invoked",
		set: func(c *Config, v string) error { c.Lambda = v; _, err := c.lambdaEndpoint(); return err }},
	{Name: "lambda-key", Secret: true, Help: "access key that signs calls of that endpoint, ID:SECRET or ID:SECRET:TOKEN",
		set: func(c *Config, v string) error {
			if c.LambdaKey = v; v == "" {
				return nil
			}
			_, _, _, err := parseLambdaKey(v)
			return err
		}},
	{Name: "lambda-queues", Help: "endpoint of the SQS queues and SNS topics that destinations may be, like https://{service}.{region}.amazonaws.com; none: they are refused",
		set: func(c *Config, v string) error { c.LambdaQueues = v; return nil }},
	{Name: "lambda-queues-key", Secret: true, Help: "access key that signs calls of that endpoint, ID:SECRET or ID:SECRET:TOKEN",
		set: func(c *Config, v string) error { c.LambdaQueuesKey = v; return nil }},
	{Name: "lambda-dir", Help: "directory of unpacked code and running functions, with --lambda=local; none: one for temporary files. Users that functions run as must be able to pass through to it",
		set: func(c *Config, v string) error { c.LambdaDir = v; return nil }},
	{Name: "memory", Default: "1GiB", Help: "budget for requests, answers and unflushed records together, at least 160MiB; the process stays within a tenth more",
		set: func(c *Config, v string) error { return parseBytes(v, MemoryBytesMin, 1<<42, &c.MemoryBytes) }},
	{Name: "object-quota", Default: "none", Help: "bytes that the S3 objects of an account may take, like 100GiB; none for as many as the disk has",
		set: func(c *Config, v string) error {
			if v == "none" {
				return nil
			}
			return parseBytes(v, 1, 1<<60, &c.ObjectBytesMax)
		}},
	{Name: "journal-files", Default: "8", Help: "journal files of 256 MiB that the ring may grow to",
		set: func(c *Config, v string) error { return parseInt(v, 2, 64, &c.JournalFiles) }},
	{Name: "metrics", Default: "loopback", Help: "who may read /metrics: loopback (this machine), or open (anyone who reaches the port)",
		set: func(c *Config, v string) error {
			if v != "loopback" && v != "open" {
				return fmt.Errorf("%q is neither loopback nor open", v)
			}
			c.MetricsOpen = v == "open"
			return nil
		}},
	{Name: "tls-names", Help: "further host names in the server's certificate, and that unsigned requests may call it by, separated by commas",
		set: func(c *Config, v string) error { c.Names = fields(v); return nil }},
	{Name: "origins", Help: "web origins whose pages may call the API, separated by commas",
		Also: []Alias{{"EXTRA_CORS_ALLOWED_ORIGINS", nil}},
		set:  func(c *Config, v string) error { c.Origins = fields(v); return nil }},
	{Name: "repair", Bool: true, Default: "false", Help: "start although acknowledged records are damaged, and quarantine those",
		set: func(c *Config, v string) (err error) { c.Repair, err = strconv.ParseBool(v); return err }},
	{Name: "log-level", Default: "info", Help: "debug, info, warn or error",
		Also: []Alias{{"LOG_LEVEL", nil}, {"DEBUG", debugLevel}},
		set:  func(c *Config, v string) error { return c.LogLevel.UnmarshalText([]byte(v)) }},
	{Name: "log-format", Default: "text", Help: "text or json",
		set: func(c *Config, v string) error {
			if v != "text" && v != "json" {
				return fmt.Errorf("%q is neither text nor json", v)
			}
			c.LogFormat = v
			return nil
		}},
}

// Load finds the value of every setting: in flags (those that were given),
// environment (os.LookupEnv), the file (none if its name is empty), or the
// default. A wrong key or value is an error that names its place.
func Load(flags map[string]string, env func(string) (string, bool), file string) (Config, []Value, error) {
	fromFile, err := readFile(file)
	if err != nil {
		return Config{}, nil, err
	}
	var c Config
	var values []Value
	for _, s := range settings {
		v, err := find(s, flags, env, fromFile)
		if err == nil {
			err = s.set(&c, v.Value)
		}
		if err != nil {
			return Config{}, nil, fmt.Errorf("%s: %s: %w", v.Source, s.Name, err)
		}
		if s.warn != nil {
			v.Warning = s.warn(v.Value)
		}
		if s.Secret && v.Value != "" {
			v.Value = "(hidden)"
		}
		values = append(values, v)
	}
	if err := c.check(); err != nil {
		return Config{}, nil, err
	}
	return c, values, nil
}

func find(s *Setting, flags map[string]string, env func(string) (string, bool), file map[string]Value) (Value, error) {
	if v, ok := flags[s.Name]; ok {
		return Value{Setting: s, Value: v, Source: "flag --" + s.Name}, nil
	}
	if v, ok := env(s.Env()); ok {
		return Value{Setting: s, Value: v, Source: "environment " + s.Env()}, nil
	}
	for _, a := range s.Also {
		v, ok := env(a.Env)
		found := Value{Setting: s, Value: v, Source: "environment " + a.Env}
		if ok && a.Convert != nil {
			var err error
			if found.Value, err = a.Convert(v); err != nil {
				return found, err
			}
		}
		if ok && found.Value != "" {
			return found, nil
		}
	}
	if v, ok := file[s.Name]; ok {
		v.Setting = s
		return v, nil
	}
	return Value{Setting: s, Value: s.Default, Source: "default"}, nil
}

// readFile reads "name: value" lines of YAML.
func readFile(name string) (map[string]Value, error) {
	out := map[string]Value{}
	if name == "" {
		return out, nil
	}
	doc, err := parser.ParseFile(name, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, d := range doc.Docs {
		var pairs []*ast.MappingValueNode
		switch body := d.Body.(type) {
		case nil:
		case *ast.MappingNode:
			pairs = body.Values
		case *ast.MappingValueNode:
			pairs = []*ast.MappingValueNode{body}
		default:
			return nil, fmt.Errorf("%s:%d: expected lines of the form NAME: VALUE", name, body.GetToken().Position.Line)
		}
		for _, p := range pairs {
			key := p.Key.GetToken()
			at := fmt.Sprintf("%s:%d", name, key.Position.Line)
			if !slices.ContainsFunc(settings, func(s *Setting) bool { return s.Name == key.Value }) {
				return nil, fmt.Errorf("%s: there is no setting %q%s", at, key.Value, nearest(key.Value))
			}
			value, err := scalar(p.Value)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", at, key.Value, err)
			}
			out[key.Value] = Value{Value: value, Source: at}
		}
	}
	return out, nil
}

// scalar is a value as text; a list becomes its elements with commas between.
func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return "", nil
	case *ast.SequenceNode:
		var parts []string
		for _, e := range n.Values {
			v, err := scalar(e)
			if err != nil {
				return "", err
			}
			parts = append(parts, v)
		}
		return strings.Join(parts, ","), nil
	case *ast.MappingNode, *ast.MappingValueNode:
		return "", fmt.Errorf("expected a value, not a mapping")
	}
	return n.GetToken().Value, nil
}

// nearest names the setting that was probably meant.
func nearest(key string) string {
	for _, s := range settings {
		if strings.EqualFold(strings.ReplaceAll(key, "_", "-"), s.Name) || len(key) > 2 && strings.HasPrefix(s.Name, key) {
			return fmt.Sprintf("; did you mean %q?", s.Name)
		}
	}
	return ""
}
