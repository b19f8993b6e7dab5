package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "agent.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// What is wrong is refused with the path where it stands.
func TestLoadRefuses(t *testing.T) {
	flow := func(keys string) string {
		return `{"flows": [{"filePattern": "/var/log/app.log*", "kinesisStream": "s"` + keys + `}]}`
	}
	for _, c := range []struct{ config, want string }{
		{`{"flows": []}`, `flows: there are none`},
		{`{}`, `flows: there are none`},
		{`[]`, `[] is not an object`},
		{"{\n\"flows\": [}", `agent.json:2: `},
		{"{\n\"flows\": []} x", `agent.json:2: there is something behind the JSON`},
		{"{\"region\": \"a\",\n\"flows\": [],\n\"flows\": []}", `flows is there twice`},
		{`{"flow": []}`, `flow: there is no such key; did you mean flows?`},
		{`{"kinesis": {"endpoint": "x"}, "flows": []}`, `kinesis: there is no such key`},
		{`{"flows": {}}`, `flows: {} is not a list`},
		{flow(`, "filePatern": "x"`), `flows[0].filePatern: there is no such key; did you mean filePattern?`},
		{flow(`, "partitionKeyOption": "ROUND_ROBIN"`), `flows[0].partitionKeyOption: "ROUND_ROBIN" is none of RANDOM, DETERMINISTIC`},
		{flow(`, "maxBufferAgeMillis": 999`), `flows[0].maxBufferAgeMillis: 999 is not 1000 to 900000`},
		{flow(`, "maxBufferSizeRecords": "501"`), `flows[0].maxBufferSizeRecords: 501 is not 1 to 500`},
		{flow(`, "maxBufferSizeRecords": 1.5`), `flows[0].maxBufferSizeRecords: "1.5" is not a whole number`},
		{flow(`, "deliveryStream": "d"`), `flows[0].deliveryStream: a flow goes to one stream, and this one has kinesisStream too`},
		{`{"flows": [{"filePattern": "/a/b"}]}`, `flows[0].kinesisStream: it is missing, and so is deliveryStream`},
		{`{"flows": [{"kinesisStream": "s"}]}`, `flows[0].filePattern: it is missing`},
		{`{"flows": [{"kinesisStream": "s", "filePattern": "app.log"}]}`, `flows[0].filePattern: "app.log" has no directory`},
		{`{"flows": [{"kinesisStream": "s", "filePattern": "/var/log/"}]}`, `flows[0].filePattern: "/var/log/" has no name of a file`},
		{`{"flows": [{"kinesisStream": "s", "filePattern": "/var/*/app.log"}]}`, `flows[0].filePattern: "/var/*/app.log" has wildcards in its directory`},
		{`{"flows": [{"kinesisStream": "s", "filePattern": "/var/log/a[b"}]}`, `flows[0].filePattern: a [ is not closed`},
		{`{"flows": [{"deliveryStream": "s", "filePattern": "/var/log/a", "maxBufferSizeBytes": 5000000}]}`, `flows[0].maxBufferSizeBytes: 5000000 is not 1 to 4194304`},
		{flow(`, "multiLineStartPattern": "(?=x)"`), `flows[0].multiLineStartPattern: error parsing regexp`},
		{flow(`, "dataProcessingOptions": [{"optionName": "SINGLELINE", "delimiter": "x"}]`), `flows[0].dataProcessingOptions[0].delimiter: SINGLELINE has no such key`},
		{flow(`, "dataProcessingOptions": [{"optionName": "CSV"}]`), `flows[0].dataProcessingOptions[0].optionName: "CSV" is none of SINGLELINE, CSVTOJSON`},
		{flow(`, "dataProcessingOptions": [{}]`), `flows[0].dataProcessingOptions[0].optionName: it is missing`},
		{flow(`, "dataProcessingOptions": [{"optionName": "CSVTOJSON"}]`), `flows[0].dataProcessingOptions[0].customFieldNames: it is missing`},
		{flow(`, "dataProcessingOptions": [{"optionName": "LOGTOJSON"}]`), `flows[0].dataProcessingOptions[0].logFormat: it is missing`},
		{flow(`, "dataProcessingOptions": [{"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "customFieldNames": ["a"]}]`),
			`flows[0].dataProcessingOptions[0].customFieldNames: the pattern has 5 groups, and there are 1 names`},
		{flow(`, "dataProcessingOptions": [{"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": "(a)"}]`),
			`flows[0].dataProcessingOptions[0].customFieldNames: it is missing, and matchPattern needs it`},
		{flow(`, "dataProcessingOptions": [{"optionName": "USINGPLUGGIN", "className": "com.example.X"}]`), `names a Java class, which cannot be run here`},
		{`{"userDefinedCredentialsProvider.classname": "com.example.X", "flows": []}`, `userDefinedCredentialsProvider.classname: it names a Java class`},
		{`{"cloudwatch.emitMetrics": "maybe", "flows": []}`, `cloudwatch.emitMetrics: "maybe" is neither true nor false`},
	} {
		_, err := Load(writeConfig(t, c.config))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got  %v\n want %s", c.config, err, c.want)
		}
	}
}

// All mistakes are told at once.
func TestLoadTellsAll(t *testing.T) {
	_, err := Load(writeConfig(t, `{"a": 1, "maxConnections": 0, "flows": [{"b": 2, "kinesisStream": "s", "filePattern": "x"}]}`))
	for _, want := range []string{"agent.json: a: there is no such key", "maxConnections: 0 is not 1 to", "flows[0].b: ", "flows[0].filePattern: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

// A flow that is wrong is refused, and so is a file of agent.d that cannot be read; the
// other flows are run. Keys of agent.json that agent.d has are told to have no effect.
func TestLoadRefusesFlows(t *testing.T) {
	name := writeConfig(t, `{"flows": [
		{"filePattern": "/a/one", "kinesisStream": "s"},
		{"filePatern": "/a/two", "kinesisStream": "s", "maxBufferAgeMillis": 1},
		{"filePattern": "/a/one", "kinesisStream": "s"},
		{"filePattern": "/a/four", "deliveryStream": "d"}]}`)
	more := filepath.Join(filepath.Dir(name), "agent.d")
	if err := os.Mkdir(more, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"a.json": `{"flows": [{"filePattern": "/a/five", "kinesisStream": "s"}], "cloudwatch.emitMetrics": false}`,
		"b.json": `{"flows": [`,
		"c.json": `{"flows": [{"filePattern": "/a/six", "kinesisStream": "s", "initialPosition": "MIDDLE"}, {"filePattern": "/a/seven", "kinesisStream": "s"}]}`,
		"d.txt":  `no configuration`,
	} {
		if err := os.WriteFile(filepath.Join(more, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for _, f := range s.Flows {
		run = append(run, f.Pattern)
	}
	if got, want := strings.Join(run, " "), "one four five seven"; got != want {
		t.Errorf("flows %s, want %s", got, want)
	}
	for i, want := range []string{
		"agent.json: flows[1].filePatern: there is no such key; did you mean filePattern?",
		"agent.json: flows[1].maxBufferAgeMillis: 1 is not 1000 to 900000",
		"agent.json: flows[1].filePattern: it is missing",
		"b.json:1: ",
		`c.json: flows[0].initialPosition: "MIDDLE" is none of`,
		"there are two flows from /a/one to kinesis s",
	} {
		if i >= len(s.Refused) || !strings.Contains(s.Refused[i].Error(), want) {
			t.Errorf("refused %q, want at %d: %s", s.Refused, i, want)
		}
	}
	if len(s.Refused) != 6 {
		t.Errorf("%d are refused: %q", len(s.Refused), s.Refused)
	}
	if !s.EmitMetrics || len(s.Notices) != 1 || !strings.Contains(s.Notices[0], "a.json: cloudwatch.emitMetrics has no effect: agent.d has flows only") {
		t.Errorf("notices %q", s.Notices)
	}
}

// What is wrong for all flows stops all.
func TestLoadRefusesAll(t *testing.T) {
	_, err := Load(writeConfig(t, `{"kinesis.endpont": "x", "flows": [{"filePattern": "/a/one", "kinesisStream": "s"}]}`))
	if err == nil || !strings.Contains(err.Error(), "kinesis.endpont: there is no such key; did you mean kinesis.endpoint?") {
		t.Errorf("%v", err)
	}
}

// A file as the Kinesis Agent ships it, with what it allows: comments, numbers and
// booleans as strings, keys of other flows in agent.d.
func TestLoad(t *testing.T) {
	name := writeConfig(t, `{
	  /* a comment
	     of two lines */
	  "checkpointFile": "/tmp/aws-kinesis-agent-checkpoints/main.log",
	  "cloudwatch.emitMetrics": "F", // and another one
	  "kinesis.endpoint": "",
	  "kinesis.region": null,
	  "maxSendingThreads": "7",
	  "useTcpKeepAlive": true,
	  "maxSendingThreadsPerCore": 3,
	  "flows": [
	    {
	      "filePattern": "/tmp//app.log*", "kinesisStream": "yourstream", "partitionKeyOption": "DETERMINISTIC",
	      "maxBufferAgeMillis": "5000", "initialPosition": "START_OF_FILE", "truncatedRecordTerminator": "\\//x",
	      "dataProcessingOptions": [{"optionName": "SINGLELINE"}, {"optionName": "CSVTOJSON", "customFieldNames": ["a", "b"], "delimiter": "\\t"}]
	    },
	    {"filePattern": "/tmp/app.log*", "deliveryStream": "yourdeliverystream", "aggregatedRecordSizeBytes": 1000}
	  ]
	}`)
	more := filepath.Join(filepath.Dir(name), "agent.d")
	if err := os.Mkdir(more, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(more, "one.json"), []byte(`{"flows": [{"filePattern": "/var/x", "kinesisStream": "third",
		"dataProcessingOptions": [{"optionName": "ADDEC2METADATA", "logFormat": "SYSLOG", "metadataTTL": 90}]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	if s.EmitMetrics || s.Namespace != "AWSKinesisAgent" || s.SendersMax != 7 || s.SendersPerCore != 3 || s.HostTTL != 90*time.Second || s.CheckpointTTL != 7*24*time.Hour || s.ShutdownGrace != 10*time.Second || len(s.Flows) != 3 {
		t.Errorf("%+v", s)
	}
	if want := "useTcpKeepAlive has no effect: TCP keep-alive is always on"; len(s.Notices) != 1 || s.Notices[0] != want {
		t.Errorf("notices %q", s.Notices)
	}
	f := s.Flows[0]
	if f.ID != "kinesis:yourstream:/tmp/app.log*" || f.givenID() != "kinesis:yourstream:/tmp//app.log*" || !f.FromStart || !f.DeterministicKeys ||
		f.BufferAge != 5*time.Second || f.BufferRecords != 500 || f.BufferBytes != 5<<20 || string(f.Terminator) != `\//x` || f.Processing() != "SINGLELINE, CSVTOJSON" {
		t.Errorf("%+v", f)
	}
	f = s.Flows[1]
	if f.ID != "fh:yourdeliverystream:/tmp/app.log*" || f.Service != Firehose || f.FromStart || f.BufferAge != time.Minute || f.BufferBytes != 4<<20 ||
		f.AggregateBytes != 1000 || f.PollEvery != 100*time.Millisecond || f.ScanEvery != 10*time.Second || f.QueueBatches != 100 {
		t.Errorf("%+v", f)
	}
	if f = s.Flows[2]; f.Stream != "third" {
		t.Errorf("%+v", f)
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		glob, matches, not string
	}{
		{"app.log", "app.log", "app-log app.log.1 xapp.log"},
		{"app.log*", "app.log app.log.1 app.logs", "app.txt"},
		{"app.?", "app.1 app.é", "app. app.12"},
		{"app.[0-9]", "app.1", "app.x app.[0-9]"},
		{"app.[!0-9]", "app.x", "app.1"},
		{"app.[]x]", "app.] app.x", "app.y"},
		{"{app,web}.log", "app.log web.log", "db.log"},
		{`a\*b`, "a*b", "axb"},
		{"a,b", "a,b", "a"},
		{"a(b)+", "a(b)+", "ab"},
	} {
		re, err := compileGlob(c.glob)
		if err != nil {
			t.Errorf("%s: %v", c.glob, err)
			continue
		}
		for _, name := range strings.Fields(c.matches) {
			if !re.MatchString(name) {
				t.Errorf("%s does not match %s", c.glob, name)
			}
		}
		for _, name := range strings.Fields(c.not) {
			if re.MatchString(name) {
				t.Errorf("%s matches %s", c.glob, name)
			}
		}
	}
	for _, glob := range []string{"a[", "{a", "{a{b}}", `a\`, "[z-a]"} {
		if _, err := compileGlob(glob); err == nil {
			t.Errorf("%s is taken", glob)
		}
	}
}

// The manual has every key that is taken.
func TestManualHasKeys(t *testing.T) {
	text, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range globalKeys {
		names = append(names, k.name)
	}
	for _, k := range flowKeys {
		names = append(names, k.name)
	}
	for _, k := range optionFields {
		names = append(names, k.name)
	}
	for _, name := range names {
		group, rest, _ := strings.Cut(name, ".")
		manual := string(text)
		if !strings.Contains(manual, "`"+name+"`") && !strings.Contains(manual, "`."+rest+"`") && !strings.Contains(manual, "`"+group+".*`") &&
			name != "optionName" && name != "flows" {
			t.Errorf("the manual lacks %s", name)
		}
	}
	for name := range optionKeys {
		if !strings.Contains(string(text), "| "+name+" |") {
			t.Errorf("the manual lacks %s", name)
		}
	}
}
