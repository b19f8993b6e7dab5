package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// A trustStore is how a system is told which authorities to trust: by files in a directory that a
// command then reads, or by commands alone.
type trustStore struct {
	system string
	dir    string // empty: add and remove take the authority's own file
	suffix string // of files in dir
	add    []string
	remove []string
}

var linuxTrustStores = []trustStore{
	{"Debian, Ubuntu, Alpine", "/usr/local/share/ca-certificates", ".crt", []string{"update-ca-certificates"}, []string{"update-ca-certificates", "--fresh"}},
	{"Fedora, Red Hat, Amazon Linux", "/etc/pki/ca-trust/source/anchors", ".pem", []string{"update-ca-trust", "extract"}, []string{"update-ca-trust", "extract"}},
	{"SUSE", "/etc/pki/trust/anchors", ".pem", []string{"update-ca-certificates"}, []string{"update-ca-certificates"}},
	{"Arch", "/etc/ca-certificates/trust-source/anchors", ".crt", []string{"update-ca-trust"}, []string{"update-ca-trust"}},
}

var macTrustStore = trustStore{system: "macOS",
	add:    []string{"security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", "/Library/Keychains/System.keychain"},
	remove: []string{"security", "remove-trusted-cert", "-d"}}

// systemTrustStore finds this system's.
func systemTrustStore() (trustStore, error) {
	if runtime.GOOS == "darwin" {
		return macTrustStore, nil
	}
	return findTrustStore(linuxTrustStores)
}

// findTrustStore takes the first whose directory and command are there.
func findTrustStore(stores []trustStore) (trustStore, error) {
	var known []string
	for _, s := range stores {
		info, err := os.Stat(s.dir)
		_, err2 := exec.LookPath(s.add[0])
		if err == nil && info.IsDir() && err2 == nil {
			return s, nil
		}
		known = append(known, fmt.Sprintf("%s with %s (%s)", s.dir, s.add[0], s.system))
	}
	return trustStore{}, hintError{
		fmt.Errorf("it is not known how this system keeps the authorities that it trusts: there is no %s", strings.Join(known, ", and no ")),
		"`rheo tls ca --path` prints the file for AWS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE or the system's own tool; Debian's is in the package ca-certificates.",
	}
}

func (s trustStore) install(ctx context.Context, ca authority, out io.Writer) error {
	if s.dir == "" {
		if err := s.do(ctx, append(s.add, ca.file)); err != nil {
			return err
		}
		return done(out, "%s is trusted (%s)\n", ca.file, s.system)
	}
	name := filepath.Join(s.dir, ca.name+s.suffix)
	if err := os.WriteFile(name, ca.pem, 0o644); err != nil {
		return asRoot(err)
	}
	if err := s.do(ctx, s.add); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return done(out, "%s is trusted, as %s\n", ca.file, name)
}

func (s trustStore) uninstall(ctx context.Context, ca authority, out io.Writer) error {
	argv := s.remove
	if s.dir == "" {
		argv = append(argv, ca.file)
	} else if err := os.Remove(filepath.Join(s.dir, ca.name+s.suffix)); errors.Is(err, fs.ErrNotExist) {
		return done(out, "%s was not installed\n", ca.file)
	} else if err != nil {
		return asRoot(err)
	}
	if err := s.do(ctx, argv); err != nil {
		return err
	}
	return done(out, "%s is trusted no longer\n", ca.file)
}

// do runs the system's own command.
func (s trustStore) do(ctx context.Context, argv []string) error {
	said, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(said)))
	if os.Geteuid() > 0 {
		return asRoot(errors.Join(err, fs.ErrPermission))
	}
	return err
}

// asRoot tells what to do where the rights were missing.
func asRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return hintError{err, "Only root may change what this machine trusts: sudo rheo tls ca --install."}
	}
	return err
}

func done(out io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(out, format, args...)
	return err
}
