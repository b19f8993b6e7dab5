package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rheostream/rheo/interop/daemon"
)

// A client is one way in which Kinesis is used. Its folder here has the same name.
type client struct {
	name    string
	nightly bool // too slow for every test
	open    bool // its server has no keys
	runs    []mode

	install func(ctx context.Context, h *house) error
	command func(h *house, m mode, d *daemon.Daemon) ([]string, error)
}

// A mode is one way in which a client is run.
type mode struct {
	name    string
	nightly bool // too slow for every test
	tls     bool // the endpoint is https://
	args    []string
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

// Versions 2 and 3 of the Kinesis Client Library are both in use; the second keeps more than leases in
// DynamoDB and balances them in another way.
const (
	kcl3 = "3.5.1"
	kcl2 = "2.7.2"
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
	{name: "logs", runs: []mode{plain}, install: installLogs,
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			aws, err := awsCLI2()
			return []string{h.cache("boto3", "bin", "python"), "logs.py", aws}, err
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
	{name: "dynamodb-oracles", runs: []mode{plain}, install: installOracles,
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			jars := h.cache("oracles", "jars")
			return []string{h.cache("bin", "interop-oracles"), "-dynalite", h.interop("oracles", "node_modules", "dynalite", "cli.js"),
				"-local", filepath.Join(jars, "*"), "-libraries", jars}, nil
		}},
	{name: "rust", nightly: true, runs: []mode{plain, tls}, install: buildRust,
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			return []string{h.cache("rust", "debug", "rheo-interop")}, nil
		}},
	{name: "browser", open: true, runs: []mode{plain}, install: buildBrowser,
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			return []string{h.cache("bin", "interop-browser"), "-chromium", chromium()}, nil
		}},

	{name: "s3", install: installS3, command: s3, runs: []mode{plain, tls, {name: "killed during uploads", args: []string{"kill"}}, {name: "a page in a browser", args: []string{"browser"}}}},

	{name: "lambda", runs: []mode{{name: "three mappings, a poison, a split and a merge, ended once and killed once"}}, install: installLambda, command: lambda},

	{name: "kcl3", install: buildKCL("kcl3", kcl3), command: kcl("kcl3", kcl3), runs: []mode{
		{name: "fan-out, a follower is killed, quick", args: []string{"fanout", "-victim", "follower", "-quick"}},
		{name: "fan-out, the leader is killed, quick", nightly: true, args: []string{"fanout", "-victim", "leader", "-quick"}},
		{name: "fan-out, a follower is killed, defaults", nightly: true, args: []string{"fanout", "-victim", "follower"}},
		{name: "fan-out, the leader is killed, defaults", nightly: true, args: []string{"fanout", "-victim", "leader"}},
	}},
	{name: "kcl2", nightly: true, install: buildKCL("kcl2", kcl2), command: kcl("kcl2", kcl2), runs: []mode{
		{name: "polling, quick", args: []string{"polling", "-library", "2", "-quick"}},
		{name: "polling, defaults", args: []string{"polling", "-library", "2"}},
	}},
	{name: "kclpy", nightly: true, runs: []mode{plain}, install: installKCLPython,
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			python := "/usr/bin/env PYTHONPATH=" + h.cache("kclpy", "package") + " " + h.cache("kclpy", "venv", "bin", "python")
			return h.multilang("kclpy", "3", python+" "+h.interop("kclpy", "processor.py")), nil
		}},
	{name: "kclnode", nightly: true, runs: []mode{plain}, install: installKCLNode,
		command: func(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
			return h.multilang("kclnode", "2", "node "+h.interop("kclnode", "processor.js")), nil
		}},
	{name: "kpl", install: buildKPL, runs: []mode{
		{name: "100,000 records, https", tls: true, args: []string{"-count", "100000"}},
		{name: "1,000,000 records, https", nightly: true, tls: true, args: []string{"-count", "1000000"}},
	},
		command: func(h *house, m mode, d *daemon.Daemon) ([]string, error) {
			ca, err := h.authority(d)
			if err != nil {
				return nil, err
			}
			classpath, err := h.classpath("kpl")
			argv := append([]string{h.cache("bin", "interop-kpl"), "-ca", ca}, m.args...)
			return append(append(argv, "--"), jvm(classpath, "interop.Producer")...), err
		}},
	{name: "agent", nightly: true, install: buildGo("agent"), command: agent, runs: []mode{
		{name: "50 MB/s into 64 shards, 60 kills", args: []string{"-rate", "50", "-shards", "64", "-calm", "10s", "-kills", "60"}},
	}},
	{name: "agent-brief", install: buildGo("agent"), command: agent, runs: []mode{
		{name: "https, 5 MB/s into 16 shards, 6 kills", tls: true, args: []string{"-rate", "5", "-shards", "16", "-calm", "3s", "-kills", "6"}},
	}},
}

// installS3 installs the three clients of S3: the program is in Go, and runs the others.
func installS3(ctx context.Context, h *house) error {
	if err := needs(ctx, "chromium"); err != nil {
		return err
	}
	for _, name := range []string{"boto3", "awscli"} {
		if err := installPython(name)(ctx, h); err != nil {
			return err
		}
	}
	return buildGo("s3")(ctx, h)
}

func s3(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
	program := h.cache("bin", "interop-s3")
	if len(m.args) > 0 {
		if h.binary == "" {
			return nil, errors.New("it runs servers of its own, and there is no binary")
		}
		return []string{program, "-" + m.args[0], h.binary, "-chromium", chromium()}, nil
	}
	return []string{program, "-python", h.cache("boto3", "bin", "python"), "-aws", h.cache("awscli", "bin", "aws")}, nil
}

// installLambda builds the program and the function in Go, and installs the SDKs that go into the packages of the others.
func installLambda(ctx context.Context, h *house) error {
	for _, install := range []func(context.Context, *house) error{installNode, installPython("boto3"), buildGo("lambda")} {
		if err := install(ctx, h); err != nil {
			return err
		}
	}
	return h.goBuild(ctx, "lambda/bootstrap", "interop-lambda-bootstrap")
}

func lambda(h *house, _ mode, _ *daemon.Daemon) ([]string, error) {
	if h.binary == "" {
		return nil, errors.New("it runs servers of its own, and there is no binary")
	}
	boto, err := filepath.Glob(h.cache("boto3", "lib", "python3*", "site-packages"))
	if err != nil || len(boto) != 1 {
		return nil, fmt.Errorf("the SDK for Python is in %q, want one folder (%v)", boto, err)
	}
	return []string{h.cache("bin", "interop-lambda"), "-rheo", h.binary, "-bootstrap", h.cache("bin", "interop-lambda-bootstrap"),
		"-boto", boto[0], "-modules", h.interop("js", "node_modules")}, nil
}

func (c client) folder() string {
	switch c.name {
	case "go":
		return "golang" // not the tool
	case "kcl2", "kcl3":
		return "kcl"
	case "dynamodb-oracles":
		return "oracles"
	case "agent-brief":
		return "agent"
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

// agent runs rheo agent, of the same binary as the server's.
func agent(h *house, m mode, _ *daemon.Daemon) ([]string, error) {
	if h.binary == "" {
		return nil, errors.New("the agent is of the binary that is built here, or named by -binary")
	}
	return append([]string{h.cache("bin", "interop-agent"), "-rheo", h.binary}, m.args...), nil
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

// jvm is the command of a small Java virtual machine.
func jvm(classpath string, command ...string) []string {
	return append([]string{"java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx384m", "-cp", classpath}, command...)
}

// classpath of a build by buildMaven: its classes and what they depend on.
func (h *house) classpath(name string) (string, error) {
	dependencies, err := os.ReadFile(h.cache(name, "classpath"))
	return h.cache(name, "classes") + ":" + strings.TrimSpace(string(dependencies)), err
}

// authority asks the binary for the certificate authority of the server and gives the file that it is in.
func (h *house) authority(d *daemon.Daemon) (file string, err error) {
	if d == nil {
		return "", errors.New("the producer library needs the authority of a server of our own")
	}
	data := filepath.Dir(filepath.Dir(d.CA()))
	pem, err := exec.Command(h.binary, "tls", "ca", "--data", data).Output()
	if err != nil {
		return "", fmt.Errorf("rheo tls ca: %w", err)
	}
	file = filepath.Join(filepath.Dir(data), "rheo-ca.pem")
	return file, os.WriteFile(file, pem, 0o644)
}

// kcl runs two workers of the Kinesis Client Library, with traffic by the producer library too
// unless kpl is left out by name.
func kcl(name, version string) func(*house, mode, *daemon.Daemon) ([]string, error) {
	return func(h *house, m mode, d *daemon.Daemon) ([]string, error) {
		argv := append([]string{h.cache("bin", "interop-workers-"+name), "-client", name, "-scenario", "failover"}, m.args[1:]...)
		if !h.leftOut("kpl") {
			ca, err := h.authority(d)
			if err != nil {
				return nil, err
			}
			classpath, err := h.classpath("kpl")
			if err != nil {
				return nil, err
			}
			argv = append(argv, "-kpl", classpath, "-ca", ca)
		}
		classpath, err := h.classpath("kcl-" + version)
		return append(append(argv, "--"), jvm(classpath, "interop.Worker", m.args[0])...), err
	}
}

// multilang runs the multi-language daemon of a version of the client library, whose record processors are
// processes of the given command.
func (h *house) multilang(name, library, processor string) []string {
	argv := []string{h.cache("bin", "interop-workers-"+name), "-client", name, "-library", library, "-quick", "-scenario", "restart",
		"-processor", processor, "--"}
	return append(argv, jvm(h.cache(name, "jars", "*"), "software.amazon.kinesis.multilang.MultiLangDaemon",
		"--properties-file", "{properties}", "--log-configuration", h.interop("multilang", "logback.xml"))...)
}
