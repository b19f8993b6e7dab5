package wire

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	now := time.Date(2026, 11, 25, 11, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	open := func(names ...string) *Authority {
		t.Helper()
		a, err := OpenAuthority(dir, names, clock)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	leaf := func(a *Authority) *x509.Certificate {
		t.Helper()
		c, err := a.TLSConfig().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	verifies := func(a *Authority, name string) error {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(a.CertificatePEM())
		_, err := leaf(a).Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now})
		return err
	}

	a := open("*.localhost.localstack.cloud", "rheo.internal", "10.0.0.7")
	host, _ := os.Hostname()
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "x.localhost.localstack.cloud", "rheo.internal", "10.0.0.7", host} {
		if err := verifies(a, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if verifies(a, "example.com") == nil {
		t.Error("serves example.com")
	}
	if pem, err := os.ReadFile(a.Path()); err != nil || !bytes.Equal(pem, a.CertificatePEM()) {
		t.Errorf("%s: %v", a.Path(), err)
	}
	for _, key := range []string{"ca-key.pem", "server-key.pem"} {
		if info, err := os.Stat(filepath.Join(dir, key)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, info.Mode(), err)
		}
	}

	again := open("*.localhost.localstack.cloud", "rheo.internal", "10.0.0.7")
	if !bytes.Equal(again.CertificatePEM(), a.CertificatePEM()) || leaf(again).SerialNumber.Cmp(leaf(a).SerialNumber) != 0 {
		t.Error("made anew on the second start")
	}
	renamed := open("other.internal")
	if err := verifies(renamed, "other.internal"); err != nil || !bytes.Equal(renamed.CertificatePEM(), a.CertificatePEM()) {
		t.Errorf("with other names: %v", err)
	}

	before := leaf(renamed)
	now = now.Add(leafLife - leafRenewal + time.Hour)
	if leaf(renamed).SerialNumber.Cmp(before.SerialNumber) == 0 {
		t.Error("not renewed a month before its end")
	}
	if err := verifies(renamed, "other.internal"); err != nil {
		t.Error(err)
	}
}

// TestAuthorityIsNotReplaced: one that clients may trust is made anew by nobody but its owner.
func TestAuthorityIsNotReplaced(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"key gone": func(dir string) error { return os.Remove(filepath.Join(dir, "ca-key.pem")) },
		"damaged":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("x"), 0o600) },
		"another's key": func(dir string) error {
			key, err := os.ReadFile(filepath.Join(dir, "server-key.pem"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "ca-key.pem"), key, 0o600)
		},
	} {
		dir := t.TempDir()
		if _, err := OpenAuthority(dir, nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAuthority(dir, nil, nil); err == nil || !strings.Contains(err.Error(), "remove "+dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A damaged server certificate is no loss.
	dir := t.TempDir()
	if _, err := OpenAuthority(dir, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "server.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir, nil, nil); err != nil {
		t.Error(err)
	}
}
