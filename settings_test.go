package rheo_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rheostream/rheo"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func writeFile(t *testing.T, text string) string {
	name := filepath.Join(t.TempDir(), "rheo.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A flag beats rheo's own variable, which beats another tool's, which beats the
// file, which beats the default.
func TestSettingsPrecedence(t *testing.T) {
	file := writeFile(t, "# mine\nshard-limit: 5\nport: 1\n")
	for _, c := range []struct {
		name   string
		flags  map[string]string
		env    func(string) (string, bool)
		file   string
		value  string
		source string
	}{
		{"default", nil, env(), "", "20000", "default"},
		{"file", nil, env(), file, "5", file + ":2"},
		{"another tool's variable", nil, env("SHARD_LIMIT", "4"), file, "4", "environment SHARD_LIMIT"},
		{"own variable", nil, env("SHARD_LIMIT", "4", "RHEO_SHARD_LIMIT", "3"), file, "3", "environment RHEO_SHARD_LIMIT"},
		{"flag", map[string]string{"shard-limit": "2"}, env("RHEO_SHARD_LIMIT", "3"), file, "2", "flag --shard-limit"},
	} {
		_, values, err := rheo.Load(c.flags, c.env, c.file)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, v := range values {
			if v.Name == "shard-limit" && (v.Value != c.value || v.Source != c.source) {
				t.Errorf("%s: %s from %s, want %s from %s", c.name, v.Value, v.Source, c.value, c.source)
			}
		}
	}
}

// What users of other emulators have set already means the same here.
func TestSettingsOfOthers(t *testing.T) {
	c, _, err := rheo.Load(nil, env(
		"GATEWAY_LISTEN", "127.0.0.1:9000,127.0.0.1:443", "KINESIS_LATENCY", "250",
		"INITIALIZE_STREAMS", "a:2,b:3:us-west-2,c,d::eu-west-1", "ON_DEMAND_STREAM_COUNT_LIMIT", "7", "DEBUG", "1"), "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "127.0.0.1" || c.Port != 9000 || c.Transition.Milliseconds() != 250 || c.OnDemandLimit != 7 || c.LogLevel.String() != "DEBUG" {
		t.Errorf("%+v", c)
	}
	if want := []rheo.InitialStream{{Name: "a", Shards: 2}, {Name: "b", Shards: 3, Region: "us-west-2"}, {Name: "c"}, {Name: "d", Region: "eu-west-1"}}; !slices.Equal(c.Streams, want) {
		t.Errorf("streams: %+v", c.Streams)
	}

	// Both ports of kinesis-mock; LocalStack's word for no quota.
	c, _, err = rheo.Load(nil, env("KINESIS_MOCK_PLAIN_PORT", "4568", "KINESIS_MOCK_TLS_PORT", "4569", "KINESIS_SHARD_LIMIT", "Infinity", "GATEWAY_LISTEN", "localhost"), "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 4568 || c.HTTP1Port != 4569 || c.ShardLimit != 1_000_000 || c.Host != "localhost" {
		t.Errorf("%+v", c)
	}
}

// A value of another tool's variable that is not understood is refused with the
// variable's name, not passed over: the user believes that it holds.
func TestSettingsOfOthersRefused(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"SHARD_LIMIT", "10x", `shard-limit: "10x" is not a number from 1 to 1000000`},
		{"KINESIS_SHARD_LIMIT", "0", `shard-limit: "0" is not a number`},
		{"ON_DEMAND_STREAM_COUNT_LIMIT", "many", "on-demand-limit"},
		{"INITIALIZE_STREAMS", "a:1:x:y", `"a:1:x:y" is not of the form NAME:SHARDS or NAME:SHARDS:REGION`},
		{"INITIALIZE_STREAMS", "a:1:US West", `"a:1:US West": "US West" is not a region`},
		{"INITIALIZE_STREAMS", "a:1:", `"" is not a region`},
		{"INITIALIZE_STREAMS", "a:one", `"a:one": "one" is not a number from 1 to 10000`},
		{"GATEWAY_LISTEN", "127.0.0.1:9000:1", `"127.0.0.1:9000:1" is not of the form HOST:PORT`},
		{"GATEWAY_LISTEN", "127.0.0.1:http", `port: "http" is not a number`},
		{"KINESIS_MOCK_PLAIN_PORT", "tcp", "port: "},
		{"KINESIS_LATENCY", "soon", "transition: "},
		{"AWS_REGION", "Mars", `region: "Mars" is not a region`},
	} {
		_, _, err := rheo.Load(nil, env(c.name, c.value), "")
		if err == nil || !strings.HasPrefix(err.Error(), "environment "+c.name+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v, want %q", c.name, c.value, err, c.want)
		}
	}
}

// A file of keys is read line by line. Without a key it is refused: it would
// mean that any credentials are taken.
func TestKeysFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"# ours\n\nAKIDONE:secret\n AKIDTWO:secret:123456789012 \n", ""},
		{"", "keys-file: no key in FILE"},
		{"# AKIDONE:secret\n\n", "keys-file: no key in FILE"},
		{"# ours\n\nAKIDONE:secret\nAKIDTWO\n", "FILE:4: the key is not of the form ID:SECRET or ID:SECRET:ACCOUNT"},
		{"AKIDONE:hush:12345678901\n", `FILE:1: the key has the account "12345678901", which is not 12 digits`},
		{"AKIDONE:hush\nAKIDONE:hush\n", "access key AKIDONE is configured twice"},
	} {
		file := writeFile(t, c.text)
		cfg, _, err := rheo.Load(map[string]string{"keys-file": file}, env(), "")
		if c.want == "" {
			if want := []rheo.Key{{ID: "AKIDONE", Secret: "secret", Account: "000000000000"}, {ID: "AKIDTWO", Secret: "secret", Account: "123456789012"}}; err != nil || !slices.Equal(cfg.Keys, want) {
				t.Errorf("%q: %+v, %v", c.text, cfg.Keys, err)
			}
			continue
		}
		if want := strings.ReplaceAll(c.want, "FILE", file); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v, want %q", c.text, err, want)
		}
	}
}

// Secrets that every user of the machine can read are warned of.
func TestKeysFileOpenToOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such modes")
	}
	file := writeFile(t, "AKIDONE:secret\n")
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o604: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		_, values, err := rheo.Load(map[string]string{"keys-file": file}, env(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if (v.Warning != "") != (warned && v.Name == "keys-file") || v.Warning != "" && !strings.Contains(v.Warning, file) {
				t.Errorf("mode %o: %s: %q", mode, v.Name, v.Warning)
			}
		}
	}
}

// A wrong key or value is refused with its place.
func TestSettingsRefused(t *testing.T) {
	for _, c := range []struct {
		file  string
		flags map[string]string
		env   func(string) (string, bool)
		want  string
	}{
		{"port: 4566\nshardlimit: 3\n", nil, env(), `:2: there is no setting "shardlimit"`},
		{"shard_limit: 3\n", nil, env(), `did you mean "shard-limit"?`},
		{"port: none\n", nil, env(), `:1: port: "none" is not a number from 0 to 65535`},
		{"port:\n  a: 1\n", nil, env(), ":1: port: expected a value, not a mapping"},
		{"- a\n", nil, env(), "expected lines of the form NAME: VALUE"},
		{"port: [\n", nil, env(), "rheo.yaml"},
		{"", map[string]string{"limits": "some"}, env(), "flag --limits: limits:"},
		{"", nil, env("RHEO_TRANSITION", "soon"), "environment RHEO_TRANSITION: transition:"},
		{"", nil, env("RHEO_MEMORY", "1KiB"), "at least 160 MiB"},
		{"", nil, env("RHEO_MEMORY", "159MiB"), `memory: "159MiB" is not a size of at least 160 MiB`},
		{"", nil, env("RHEO_KEYS", "onlyid"), "key 1 is not of the form"},
		{"", nil, env("RHEO_KEYS", "a:b,c:d:1"), `keys: key 2 has the account "1", which is not 12 digits`},
		{"", nil, env("RHEO_KEYS", "a:b,a:c"), "access key a is configured twice"},
		{"", nil, env("RHEO_STREAMS", "b b:1"), "environment RHEO_STREAMS: streams: cannot make stream b b: "},
		{"", map[string]string{"host": "0.0.0.0"}, env(), "loopback only"},
		{"shard-limit: 1000001\n", nil, env(), `"1000001" is not a number from 1 to 1000000`},
		{"metrics: closed\n", nil, env(), `"closed" is neither loopback nor open`},
		{"", nil, env("RHEO_LOG_FORMAT", "xml"), "neither text nor json"},
		{"lambda: here\n", nil, env(), `"here" is neither local nor the URL of a Lambda endpoint`},
		{"lambda: https://id:secret@example.com\n", nil, env(), `neither local nor the URL`},
		{"lambda: https://example.com\n", nil, env(), "a Lambda endpoint needs an access key"},
		{"lambda: https://example.com\nlambda-key: id\n", nil, env(), "not of the form ID:SECRET or ID:SECRET:TOKEN"},
		{"", nil, env("RHEO_LAMBDA_KEY", "a:b"), "and no endpoint"},
		{"lambda-queues: https://example.com\n", nil, env(), "the endpoint of queues needs an access key"},
		{"lambda-queues: queues\nlambda-queues-key: a:b\n", nil, env(), "is not the URL of an endpoint of queues"},
	} {
		name := ""
		if c.file != "" {
			name = writeFile(t, c.file)
		}
		_, _, err := rheo.Load(c.flags, c.env, name)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.file, err, c.want)
		}
	}
}

// A budget in which the largest record has no room is refused at the start, not
// with its first record.
func TestServerRefusesTooLittleMemory(t *testing.T) {
	_, err := rheo.New(rheo.Config{MemoryBytes: rheo.MemoryBytesMin - 1})
	if want := "a memory budget of 167772159 bytes is too small: records of 10 MiB need at least 160 MiB"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// What a configuration says wrongly is refused before the data directory is made.
func TestServerRefusesBeforeItMakesAnything(t *testing.T) {
	for _, c := range []struct {
		config rheo.Config
		want   string
	}{
		{rheo.Config{Host: "0.0.0.0"}, "loopback only"},
		{rheo.Config{Keys: []rheo.Key{{ID: "a", Secret: "b", Account: "c"}}}, `account "c" is not 12 digits`},
		{rheo.Config{Streams: []rheo.InitialStream{{Name: "a b", Shards: 1}}}, "cannot make stream a b"},
		{rheo.Config{Streams: []rheo.InitialStream{{Name: "a", Region: "Mars"}}}, `cannot make stream a: "Mars" is not a region`},
		{rheo.Config{Region: "us east"}, `"us east" is not a region`},
		{rheo.Config{ShardLimit: 1_000_001}, "shard limit 1000001"},
		{rheo.Config{OnDemandLimit: -1}, "on-demand limit -1"},
		{rheo.Config{Limits: -2}, "limits of -2 times"},
	} {
		c.config.Dir = filepath.Join(t.TempDir(), "data")
		if s, err := rheo.New(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
			if err == nil {
				s.Close()
			}
		}
		if _, err := os.Stat(c.config.Dir); err == nil {
			t.Errorf("%s: the directory was made", c.want)
		}
	}
}

// Streams made at start are in their regions.
func TestServerMakesStreamsInRegions(t *testing.T) {
	s, err := rheo.New(rheo.Config{Region: "eu-west-1", Streams: []rheo.InitialStream{{Name: "home", Shards: 1}, {Name: "away", Shards: 1, Region: "us-west-2"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for region, want := range map[string]string{"eu-west-1": "[home]", "us-west-2": "[away]", "us-east-1": "[]"} {
		r := signed("ListStreams", s.URL(), "{}")
		r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), "us-east-1", region))
		if got := fmt.Sprint(answer(t, r)["StreamNames"]); got != want {
			t.Errorf("%s has %s, want %s", region, got, want)
		}
	}
}

// The log's figures that only grow are counters to a scraper.
func TestMetricTypes(t *testing.T) {
	s, err := rheo.New(rheo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	resp, err := http.Get(s.URL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	counters := 0
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (rheo_\S+) (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		if strings.HasSuffix(m[1], "_total") != (m[2] == "counter") {
			t.Errorf("%s is a %s", m[1], m[2])
		}
		if m[2] == "counter" {
			counters++
		}
	}
	if counters < 7 {
		t.Errorf("only %d counters were found:\n%.2000s", counters, text)
	}
}

// A server on localhost is reached by that name, on both loopbacks.
func TestServerOnLocalhost(t *testing.T) {
	s, err := rheo.New(rheo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range append(s.Addrs(), "localhost:"+port) {
		resp, err := http.Get("http://" + addr + "/health")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s: %s", addr, resp.Status)
		}
	}
}

// On all addresses, the URL is one that works.
func TestServerURL(t *testing.T) {
	s, err := rheo.New(rheo.Config{Host: "0.0.0.0", Keys: []rheo.Key{{ID: "a", Secret: "b", Account: "123456789012"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !strings.HasPrefix(s.Addr(), "0.0.0.0:") || !strings.HasPrefix(s.URL(), "http://127.0.0.1:") {
		t.Errorf("it listens on %s, its URL is %s", s.Addr(), s.URL())
	}
}

// A list of streams that is longer than the account's call rate is made all the same.
func TestServerMakesManyStreams(t *testing.T) {
	var c rheo.Config
	for i := range 12 {
		c.Streams = append(c.Streams, rheo.InitialStream{Name: fmt.Sprint("s", i), Shards: 1})
	}
	s, err := rheo.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// Two servers fit in one process, and nothing is left of one in memory.
func TestServerInMemory(t *testing.T) {
	a, err := rheo.New(rheo.Config{Streams: []rheo.InitialStream{{Name: "a", Shards: 1}, {Name: "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := rheo.New(rheo.Config{Keys: []rheo.Key{{ID: "AKIDEXAMPLE", Secret: "secret", Account: "123456789012"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if a.URL() == b.URL() || !a.Open() || b.Open() {
		t.Errorf("%s %v, %s %v", a.URL(), a.Open(), b.URL(), b.Open())
	}
}

// What keeps a server from starting is said, with everything closed again.
func TestServerSaysWhyItDoesNotStart(t *testing.T) {
	first, err := rheo.New(rheo.Config{Dir: t.TempDir(), HTTP1Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, port, _ := net.SplitHostPort(first.Addr())
	taken, _ := strconv.Atoi(port)
	used := t.TempDir()
	second, err := rheo.New(rheo.Config{Dir: used, HTTP1Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	foreign := t.TempDir()
	if err := os.MkdirAll(filepath.Join(foreign, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "log", "FORMAT"), []byte("something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		config rheo.Config
		want   string
	}{
		{"the port is taken", rheo.Config{Port: taken}, "in use"},
		{"the directory is another server's", rheo.Config{Dir: used}, "LOCK"},
		{"the directory is not a log", rheo.Config{Dir: foreign}, "FORMAT"},
	} {
		s, err := rheo.New(c.config)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
