package agent

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// configBytesMax bounds a configuration file.
const configBytesMax = 4 << 20

// Settings is what configuration files say, checked, with the Kinesis Agent's
// defaults for what they leave out.
type Settings struct {
	// URLs; empty where the file has none.
	KinesisEndpoint, FirehoseEndpoint, CloudWatchEndpoint, STSEndpoint string
	Region                                                             string
	AccessKeyID, SecretAccessKey                                       string
	AssumeRoleARN, AssumeRoleExternalID                                string

	EmitMetrics  bool // to CloudWatch
	Namespace    string
	TagInstance  bool
	MetricsEvery time.Duration
	LogMetrics   bool
	StatusEvery  time.Duration

	SendersMax     int // calls under way, of all flows; 0: SendersPerCore a core
	SendersPerCore int
	ConnectionsMax int // 0: as many as senders
	ConnectTimeout time.Duration
	AnswerTimeout  time.Duration
	ShutdownGrace  time.Duration // for what is read and not yet taken

	// HostTTL is after what time the machine is asked again what it is, for all flows: an
	// hour, or the least that one of them says.
	HostTTL time.Duration

	CheckpointFile string // empty where the file has none
	CheckpointTTL  time.Duration

	Flows []*Flow
	// Refused tells of flows that are not run because they are wrong, and of files of
	// agent.d that cannot be read. The others are run.
	Refused []error

	// Notices tell of keys that have no effect here.
	Notices []string
}

// Service is what a flow's records go to.
type Service string

const (
	Kinesis  Service = "kinesis"
	Firehose Service = "firehose"
)

// limits are what a service takes in one call.
type limits struct {
	records     int
	bytes       int // data and keys
	recordBytes int // data and key
}

var limitsOf = map[Service]limits{
	Kinesis:  {records: 500, bytes: 5 << 20, recordBytes: 1 << 20},
	Firehose: {records: 500, bytes: 4 << 20, recordBytes: 1000 << 10},
}

// A Flow is a pattern of files and where their records go.
type Flow struct {
	ID      string // kinesis:STREAM:PATTERN or fh:STREAM:PATTERN, as in the Kinesis Agent's checkpoints
	Dir     string
	Pattern string // of names in Dir, as Java globs
	Service Service
	Stream  string

	DeterministicKeys bool // the MD5 of the data; otherwise random
	FromStart         bool // of files that are there at the very first start
	BufferAge         time.Duration
	BufferRecords     int
	BufferBytes       int
	PollEvery         time.Duration
	ScanEvery         time.Duration
	SkipHeaderLines   int
	AggregateBytes    int // lines are joined to records of up to so many; 0: not
	Terminator        []byte
	BackoffMin        time.Duration
	BackoffMax        time.Duration
	QueueBatches      int

	names   *regexp.Regexp
	split   splitter
	footer  *regexp.Regexp // of a record that ends its file; nil without one
	convert chain
	limits  limits

	filePattern, kinesisStream, deliveryStream, multiLine string
	keyOptionAt                                           string // where partitionKeyOption stands
	options                                               []value
	notices                                               []string
	processing                                            []string // names
}

// Load reads a configuration file and, beside it, the flows in agent.d/*.json. Every
// key that is wrong is named by its path, such as flows[0].filePattern: a flow with one
// is refused, and left out; one that is of all flows is an error, and so is no flow
// that is right. Comments are allowed as in C; scalars may be strings, as in "500".
func Load(file string) (*Settings, error) {
	s := &Settings{
		SendersPerCore: 12, HostTTL: time.Hour,
		EmitMetrics: true, Namespace: "AWSKinesisAgent", MetricsEvery: 30 * time.Second,
		StatusEvery: 30 * time.Second, ConnectTimeout: 10 * time.Second, AnswerTimeout: 50 * time.Second,
		ShutdownGrace: 10 * time.Second, CheckpointTTL: 7 * 24 * time.Hour,
	}
	raw, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	errs := within(file, fill(s, raw, "", globalKeys))
	s.Refused = within(file, errors.Join(s.Refused...))
	for _, half := range []struct{ name, is, other, missing string }{
		{"awsAccessKeyId", s.AccessKeyID, "awsSecretAccessKey", s.SecretAccessKey},
		{"awsSecretAccessKey", s.SecretAccessKey, "awsAccessKeyId", s.AccessKeyID},
	} {
		if half.is != "" && half.missing == "" {
			s.Notices = append(s.Notices, half.name+" has no effect: there is no "+half.other)
		}
	}
	more, err := filepath.Glob(filepath.Join(filepath.Dir(file), "agent.d", "*.json"))
	if err != nil {
		return nil, err
	}
	for _, name := range more {
		raw, err := readConfig(name)
		if err != nil {
			s.Refused = append(s.Refused, err)
			continue
		}
		var other Settings
		err = errors.Join(fill(&other, raw, "", flowsOnly), errors.Join(other.Refused...))
		s.Refused = append(s.Refused, within(name, err)...)
		for _, n := range other.Notices {
			s.Notices = append(s.Notices, name+": "+n)
		}
		s.Flows = append(s.Flows, other.Flows...)
	}
	seen := map[string]bool{}
	s.Flows = slices.DeleteFunc(s.Flows, func(f *Flow) bool {
		twice := seen[f.ID]
		if twice {
			s.Refused = append(s.Refused, fmt.Errorf("%s: there are two flows from %s to %s %s", file, f.filePattern, f.Service, f.Stream))
		} else {
			s.Notices = append(s.Notices, f.notices...)
			s.HostTTL = min(s.HostTTL, cmp.Or(f.convert.hostTTL(), s.HostTTL))
		}
		seen[f.ID] = true
		return twice
	})
	if len(errs) == 0 && len(s.Flows) > 0 {
		return s, nil
	}
	errs = append(errs, s.Refused...)
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%s: flows: there are none", file))
	}
	return nil, errors.Join(errs...)
}

// within names the file before each error of a list that errors.Join made.
func within(file string, err error) (errs []error) {
	if err == nil {
		return nil
	}
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range list.Unwrap() {
			errs = append(errs, within(file, e)...)
		}
		return errs
	}
	return []error{fmt.Errorf("%s: %w", file, err)}
}

func readConfig(file string) (jsontext.Value, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > configBytesMax {
		return nil, &fs.PathError{Op: "read", Path: file, Err: fmt.Errorf("not a file of up to %d bytes", configBytesMax)}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text = blankComments(text)
	d := jsontext.NewDecoder(bytes.NewReader(text))
	v, err := d.ReadValue()
	if err == nil {
		v = v.Clone()
		rest := text[d.InputOffset():]
		if len(bytes.TrimSpace(rest)) == 0 {
			return v, nil
		}
		return nil, fmt.Errorf("%s:%d: there is something behind the JSON", file, 1+bytes.Count(text[:len(text)-len(bytes.TrimSpace(rest))], []byte("\n")))
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		line := 1 + bytes.Count(text[:min(int(syntax.ByteOffset), len(text))], []byte("\n"))
		if syntax.JSONPointer != "" && errors.Is(syntax.Err, jsontext.ErrDuplicateName) {
			return nil, fmt.Errorf("%s:%d: %s is there twice", file, line, pathOf(string(syntax.JSONPointer)))
		}
		return nil, fmt.Errorf("%s:%d: %w", file, line, syntax.Err)
	}
	return nil, fmt.Errorf("%s: %w", file, err)
}

// pathOf writes the JSON pointer /flows/0/x as flows[0].x.
func pathOf(pointer string) string {
	var b strings.Builder
	for _, part := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if part != "" && strings.Trim(part, "0123456789") == "" {
			b.WriteString("[" + part + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return b.String()
}

// blankComments puts spaces where comments stand, so that lines keep their numbers.
func blankComments(text []byte) []byte {
	out := bytes.Clone(text)
	for i := 0; i < len(out); {
		switch {
		case out[i] == '"':
			for i++; i < len(out) && out[i] != '"'; i++ {
				if out[i] == '\\' {
					i++
				}
			}
			i++
		case bytes.HasPrefix(out[i:], []byte("//")):
			for ; i < len(out) && out[i] != '\n'; i++ {
				out[i] = ' '
			}
		case bytes.HasPrefix(out[i:], []byte("/*")):
			end := bytes.Index(out[i+2:], []byte("*/"))
			if end < 0 {
				return out // and the parser says where
			}
			for end += i + 4; i < end; i++ {
				if out[i] != '\n' {
					out[i] = ' '
				}
			}
		default:
			i++
		}
	}
	return out
}
