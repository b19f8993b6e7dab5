package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rheostream/rheo/interop/daemon"
)

// A client is one way in which Kinesis is used. Its folder here has the same name.
type client struct {
	name    string
	nightly bool // too slow to build for every test
	open    bool // its server has no keys
	runs    []mode

	install func(ctx context.Context, h *house) error
	command func(h *house, m mode, d *daemon.Daemon) ([]string, error)
}

// A mode is one way in which a client is run.
type mode struct {
	name string
	tls  bool // the endpoint is https://
	args []string
}

var (
	plain = mode{name: "http"}
	tls   = mode{name: "https", tls: true}
)

// The SDK for Java negotiates HTTP/2 by ALPN since early 2025. Applications and
// connectors with an older one open TLS without ALPN and send HTTP/2 at once.
const (
	javaSDK    = "2.57.8"
	javaOldSDK = "2.29.52"
)

var clients = []client{
	{name: "go", runs: []mode{plain, tls}, install: buildGo("golang"),
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			return []string{h.cache("bin", "interop-golang")}, nil
		}},
	{name: "boto3", runs: []mode{plain, tls}, install: installPython("boto3"),
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			return []string{h.cache("boto3", "bin", "python"), "kinesis.py"}, nil
		}},
	{name: "awscli", runs: []mode{plain}, install: installPython("awscli"),
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			return []string{h.cache("awscli", "bin", "python"), "kinesis.py", h.cache("awscli", "bin", "aws")}, nil
		}},
	{name: "js", runs: []mode{plain, tls}, install: installNode,
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			return []string{"node", "kinesis.js"}, nil
		}},
	{name: "java", install: buildJava, command: java, runs: []mode{
		{name: "sync, http", args: []string{javaSDK, "sync"}},
		{name: "sync, https", tls: true, args: []string{javaSDK, "sync"}},
		{name: "async, h2c with prior knowledge", args: []string{javaSDK, "async"}},
		{name: "async, https with ALPN", tls: true, args: []string{javaSDK, "async"}},
		{name: "async, https with prior knowledge", tls: true, args: []string{javaSDK, "async-assume"}},
		{name: "async, https, SDK without ALPN", tls: true, args: []string{javaOldSDK, "async"}},
	}},
	{name: "rust", nightly: true, runs: []mode{plain, tls}, install: buildRust,
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			return []string{h.cache("rust", "debug", "rheo-interop")}, nil
		}},
	{name: "browser", open: true, runs: []mode{plain}, install: buildBrowser,
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			return []string{h.cache("bin", "interop-browser"), "-chromium", chromium()}, nil
		}},
}

func (c client) folder() string {
	if c.name == "go" {
		return "golang" // not the tool
	}
	return c.name
}

func clientNames() string {
	var names []string
	for _, c := range clients {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// java runs the build of the SDK's version in m.args with a trust store made of the server's authority.
func java(h *house, m mode, d *daemon.Daemon) ([]string, error) {
	version := m.args[0]
	classpath, err := os.ReadFile(h.cache("java-"+version, "classpath"))
	if err != nil {
		return nil, err
	}
	argv := []string{"java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"}
	if d != nil && m.tls {
		store := filepath.Join(filepath.Dir(d.CA()), "trust.p12")
		keytool := exec.Command("keytool", "-importcert", "-noprompt", "-alias", "rheo", "-file", d.CA(),
			"-keystore", store, "-storetype", "PKCS12", "-storepass", "changeit")
		if out, err := keytool.CombinedOutput(); err != nil {
			return nil, &commandError{keytool, out, err}
		}
		argv = append(argv, "-Djavax.net.ssl.trustStore="+store, "-Djavax.net.ssl.trustStorePassword=changeit")
	}
	return append(argv, "-cp", h.cache("java-"+version, "classes")+":"+strings.TrimSpace(string(classpath)), "interop.Main", m.args[1]), nil
}
