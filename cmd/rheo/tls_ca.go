package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newTLS() *cobra.Command {
	c := &cobra.Command{Use: "tls", Short: "What clients need to speak TLS with a server"}
	c.AddCommand(newTLSCA())
	return c
}

// newCA is tls ca by the name that it had first.
func newCA() *cobra.Command {
	c := newTLSCA()
	c.Hidden = true
	return c
}

// newTLSCA prints or installs the certificate that clients must trust.
func newTLSCA() *cobra.Command {
	c := &cobra.Command{
		Use:   "ca",
		Short: "Print or install the certificate authority that TLS clients must trust",
		Long: "Print the certificate authority of a server's data directory, made at its first start, or the path of\n" +
			"its file, or install it among those that this machine trusts, for which it takes root's rights.\n\n" +
			"Java and some native programs have trust stores of their own: give them the file.",
		Example: "  rheo tls ca > rheo-ca.pem\n" +
			"  export AWS_CA_BUNDLE=$(rheo tls ca --path) NODE_EXTRA_CA_CERTS=$(rheo tls ca --path)\n" +
			"  sudo rheo tls ca --install --data /var/lib/rheo\n" +
			"  keytool -importcert -noprompt -cacerts -storepass changeit -alias rheo -file $(rheo tls ca --path)   # Java\n" +
			"  config.setCaCertPath(...)   # the Producer Library, with what rheo tls ca --path prints",
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	data := f.String("data", "rheo-data", "the server's data `directory`")
	path := f.Bool("path", false, "print the path of the file")
	install := f.Bool("install", false, "trust it on this machine")
	uninstall := f.Bool("uninstall", false, "trust it no longer")
	c.MarkFlagsMutuallyExclusive("path", "install", "uninstall")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ca, err := readAuthority(filepath.Join(*data, "tls", "ca.pem"))
		if err != nil {
			return err
		}
		switch {
		case *path:
			_, err = fmt.Fprintln(c.OutOrStdout(), ca.file)
		case *install, *uninstall:
			var store trustStore
			if store, err = systemTrustStore(); err != nil {
				break
			}
			if *install {
				return store.install(c.Context(), ca, c.OutOrStdout())
			}
			return store.uninstall(c.Context(), ca, c.OutOrStdout())
		default:
			_, err = c.OutOrStdout().Write(ca.pem)
		}
		return err
	}
	return c
}

// An authority is the certificate that a server's own one is signed by.
type authority struct {
	file string // absolute
	pem  []byte
	name string // rheo- and a part of its fingerprint, so that those of two servers do not meet
}

func readAuthority(file string) (authority, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return authority{}, err
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return authority{}, hintError{err, "The server makes it at its first start; --data names its directory."}
	}
	if err != nil {
		return authority{}, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return authority{}, fmt.Errorf("%s has no certificate in PEM", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return authority{}, fmt.Errorf("cannot read the certificate in %s: %w", file, err)
	}
	if !cert.IsCA {
		return authority{}, fmt.Errorf("the certificate in %s is no authority's", file)
	}
	return authority{file, text, fmt.Sprintf("rheo-%x", sha256.Sum256(cert.Raw))[:13]}, nil
}
