package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rheostream/rheo"
)

// testAuthority is that of a real server.
func testAuthority(t *testing.T) authority {
	t.Helper()
	s, err := rheo.New(rheo.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ca, err := readAuthority(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// What a system has is a directory and a command that reads it; here the command lists it.
func testTrustStore(t *testing.T, script string) (s trustStore, read string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("it has no such directory")
	}
	dir := t.TempDir()
	read = filepath.Join(dir, "read")
	command := filepath.Join(dir, "update")
	if err := os.WriteFile(command, []byte("#!/bin/sh\n"+strings.ReplaceAll(script, "READ", read)), 0o700); err != nil {
		t.Fatal(err)
	}
	s = trustStore{system: "the test's", dir: filepath.Join(dir, "anchors"), suffix: ".crt", add: []string{command}, remove: []string{command, "--fresh"}}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return s, read
}

func TestTrustStore(t *testing.T) {
	ca := testAuthority(t)
	s, read := testTrustStore(t, `ls `+"$(dirname $0)/anchors"+` >READ`)
	found, err := findTrustStore([]trustStore{{dir: "/nowhere", add: s.add}, {dir: s.dir, add: []string{"no-such-command"}}, s})
	if err != nil || found.system != s.system {
		t.Fatalf("%+v, %v", found, err)
	}
	said := new(bytes.Buffer)
	for _, step := range []struct {
		do        func(context.Context, authority, *bytes.Buffer) error
		says, has string
	}{
		{installs(s), "is trusted, as " + filepath.Join(s.dir, ca.name+".crt"), ca.name + ".crt\n"},
		{installs(s), "is trusted, as ", ca.name + ".crt\n"}, // again
		{uninstalls(s), "is trusted no longer", ""},
		{uninstalls(s), "was not installed", ""},
	} {
		said.Reset()
		if err := step.do(t.Context(), ca, said); err != nil || !strings.Contains(said.String(), step.says) {
			t.Errorf("said %q, %v, want %s", said, err, step.says)
		}
		if got, err := os.ReadFile(read); err != nil || string(got) != step.has {
			t.Errorf("the system trusts %q, %v, want %q", got, err, step.has)
		}
	}
}

func installs(s trustStore) func(context.Context, authority, *bytes.Buffer) error {
	return func(ctx context.Context, ca authority, out *bytes.Buffer) error { return s.install(ctx, ca, out) }
}

func uninstalls(s trustStore) func(context.Context, authority, *bytes.Buffer) error {
	return func(ctx context.Context, ca authority, out *bytes.Buffer) error { return s.uninstall(ctx, ca, out) }
}

// A command that fails leaves nothing behind, and its words are told.
func TestTrustStoreFails(t *testing.T) {
	ca := testAuthority(t)
	s, _ := testTrustStore(t, "echo no store >&2; exit 3\n")
	err := s.install(t.Context(), ca, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "exit status 3: no store") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if err := asRoot(fs.ErrPermission); !strings.Contains(hint(err), "sudo rheo tls ca --install") {
		t.Errorf("%v", err)
	}
	s.dir = filepath.Join(s.dir, "gone")
	if _, err := findTrustStore([]trustStore{s}); err == nil || !strings.Contains(hint(err), "rheo tls ca --path") {
		t.Errorf("%v", err)
	}
}

func TestReadAuthority(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := readAuthority(name); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(hint(err), "at its first start") {
		t.Errorf("%v", err)
	}
	for text, want := range map[string]string{
		"nothing": "has no certificate in PEM",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "cannot read the certificate",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readAuthority(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if a, b := testAuthority(t), testAuthority(t); a.name == b.name || len(a.name) != 13 {
		t.Errorf("the authorities of two servers are called %s and %s", a.name, b.name)
	}
}
