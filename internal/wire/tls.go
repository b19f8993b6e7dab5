package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	leafRenewal   = 30 * 24 * time.Hour // before its end
	backdate      = time.Hour           // for clients whose clocks are behind
)

// An Authority is the certificate authority that a server makes for itself on its
// first start, and the server certificate under it. A client that trusts
// ca.pem trusts the server for good: the server's own certificate is renewed
// every year without anybody's help.
//
//	DIR/ca.pem          the authority, to be trusted by clients
//	DIR/ca-key.pem      its key, readable by the owner only
//	DIR/server.pem      the server's certificate
//	DIR/server-key.pem  its key
type Authority struct {
	dir   string
	names []string
	now   func() time.Time

	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey

	mu   sync.Mutex
	leaf *tls.Certificate // under mu
}

// OpenAuthority reads the authority in dir or makes one. names are host names
// and addresses that the server is called by beside localhost, the loopback
// addresses and the machine's own name.
func OpenAuthority(dir string, names []string, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	a := &Authority{dir: dir, names: serverNames(names), now: now}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the certificate authority: %w", err)
	}
	if err := a.loadOrMakeCA(); err != nil {
		return nil, err
	}
	if _, err := a.certificate(); err != nil {
		return nil, err
	}
	return a, nil
}

// CertificatePEM is the authority's certificate, what clients must trust.
func (a *Authority) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.ca.Raw})
}

// Path is the file that holds CertificatePEM, for AWS_CA_BUNDLE and its like.
func (a *Authority) Path() string { return filepath.Join(a.dir, "ca.pem") }

// TLSConfig is for a server: TLS 1.2 or newer, with a certificate that is always in date.
func (a *Authority) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.certificate() },
	}
}

func serverNames(configured []string) []string {
	names := []string{"localhost", "127.0.0.1", "::1", "*.localhost", "*.s3.localhost"} // the last two for buckets in names
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	for _, name := range configured {
		if ip := net.ParseIP(name); ip != nil {
			name = ip.String()
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (a *Authority) loadOrMakeCA() error {
	if _, err := os.Stat(a.Path()); !errors.Is(err, fs.ErrNotExist) {
		cert, key, err := readPair(a.Path(), filepath.Join(a.dir, "ca-key.pem"))
		if err == nil && cert.NotAfter.Before(a.now()) {
			err = fmt.Errorf("it ended on %s", cert.NotAfter.Format(time.DateOnly))
		}
		if err != nil {
			// A new one would not be trusted by those who trust this one: not for us to decide.
			return fmt.Errorf("cannot use the certificate authority (remove %s to have a new one made): %w", a.dir, err)
		}
		a.ca, a.caKey = cert, key
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Rheo"}, CommonName: "Rheo certificate authority " + host},
		NotBefore:             a.now().Add(-backdate),
		NotAfter:              a.now().Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("cannot make a certificate authority: %w", err)
	}
	if a.ca, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.caKey = key
	return a.writePair("ca", der, key)
}

// certificate is the server's, renewed if it is about to end, or is not
// for all the names, or not of this authority.
func (a *Authority) certificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaf == nil {
		// Whatever is wrong with the files of a server certificate, a new one is right.
		if cert, key, err := readPair(filepath.Join(a.dir, "server.pem"), filepath.Join(a.dir, "server-key.pem")); err == nil {
			a.leaf = &tls.Certificate{Certificate: [][]byte{cert.Raw, a.ca.Raw}, PrivateKey: key, Leaf: cert}
		}
	}
	if a.leaf != nil && a.serves(a.leaf.Leaf) {
		return a.leaf, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Rheo"}, CommonName: "localhost"},
		NotBefore:    a.now().Add(-backdate),
		NotAfter:     a.now().Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range a.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.ca, key.Public(), a.caKey)
	if err != nil {
		return nil, fmt.Errorf("cannot make a server certificate for %v: %w", a.names, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := a.writePair("server", der, key); err != nil {
		return nil, err
	}
	a.leaf = &tls.Certificate{Certificate: [][]byte{der, a.ca.Raw}, PrivateKey: key, Leaf: cert}
	return a.leaf, nil
}

func (a *Authority) serves(cert *x509.Certificate) bool {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return cert.NotAfter.Sub(a.now()) > leafRenewal && slices.Equal(names, a.names) && cert.CheckSignatureFrom(a.ca) == nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return n
}

func readPair(certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("the key in %s is not an ECDSA key", keyFile)
	}
	return pair.Leaf, key, nil
}

// writePair writes the key before the certificate: a crash between the two leaves
// a key without a certificate, which the next start replaces.
func (a *Authority) writePair(name string, der []byte, key *ecdsa.PrivateKey) error {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		pem  *pem.Block
		perm fs.FileMode
	}{
		{name + "-key.pem", &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}, 0o600},
		{name + ".pem", &pem.Block{Type: "CERTIFICATE", Bytes: der}, 0o644},
	} {
		if err := writeFile(filepath.Join(a.dir, f.name), pem.EncodeToMemory(f.pem), f.perm); err != nil {
			return fmt.Errorf("cannot keep a certificate: %w", err)
		}
	}
	return nil
}

// writeFile replaces a file whole.
func writeFile(path string, data []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
