package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// newCA prints the certificate that clients must trust to speak TLS with a server.
func newCA() *cobra.Command {
	c := &cobra.Command{
		Use:   "ca",
		Short: "Print the certificate authority that TLS clients must trust",
		Long: "Print the certificate authority of a server's data directory, made at its first start.\n\n" +
			"  rheo ca > rheo-ca.pem\n" +
			"  export AWS_CA_BUNDLE=$PWD/rheo-ca.pem NODE_EXTRA_CA_CERTS=$PWD/rheo-ca.pem\n" +
			"  keytool -importcert -noprompt -cacerts -storepass changeit -alias rheo -file rheo-ca.pem   # Java\n" +
			"  sudo cp rheo-ca.pem /usr/local/share/ca-certificates/rheo.crt && sudo update-ca-certificates  # Debian",
		Args: cobra.NoArgs,
	}
	data := c.Flags().String("data", "rheo-data", "the server's data directory")
	c.RunE = func(c *cobra.Command, _ []string) error {
		pem, err := os.ReadFile(filepath.Join(*data, "tls", "ca.pem"))
		if err != nil {
			return fmt.Errorf("%w (the server makes it at its first start; --data names its directory)", err)
		}
		_, err = c.OutOrStdout().Write(pem)
		return err
	}
	return c
}
