package rheo_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
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
		"INITIALIZE_STREAMS", "a:2,b:3:us-west-2,c", "ON_DEMAND_STREAM_COUNT_LIMIT", "7", "DEBUG", "1"), "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "127.0.0.1" || c.Port != 9000 || c.Transition.Milliseconds() != 250 || c.OnDemandLimit != 7 || c.LogLevel.String() != "DEBUG" {
		t.Errorf("%+v", c)
	}
	if len(c.Streams) != 3 || c.Streams[1] != (rheo.InitialStream{Name: "b", Shards: 3}) || c.Streams[2].Shards != 0 {
		t.Errorf("streams: %+v", c.Streams)
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
		{"", nil, env("RHEO_LOG_FORMAT", "xml"), "neither text nor json"},
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

func TestServerRefusesTheWorldWithoutKeys(t *testing.T) {
	if _, err := rheo.New(rheo.Config{Host: "0.0.0.0"}); err == nil || !strings.Contains(err.Error(), "loopback only") {
		t.Errorf("%v", err)
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
		{"a stream's name is bad", rheo.Config{Streams: []rheo.InitialStream{{Name: "a b", Shards: 1}}}, "cannot make stream a b"},
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
