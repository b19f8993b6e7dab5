package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rheostream/rheo"
)

// stopGrace is how long requests under way have when the server is told to stop:
// orchestrators kill after 30 seconds.
const stopGrace = 20 * time.Second

// newServe runs the server until it is told to stop.
func newServe() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: "Run the server. Every flag is also an environment variable (--shard-limit is RHEO_SHARD_LIMIT)\n" +
			"and a line of the file given by --config; rheo config shows what holds and why.\n" +
			"SIGTERM or SIGINT stops it: no new connections are taken, subscriptions end, requests under way\n" +
			"have 20 seconds, then all is written and the exit status is 0. A second signal ends it at once.",
		Args: cobra.NoArgs,
	}
	settingFlags(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, values, err := load(c.Flags())
		if err != nil {
			return err
		}
		cfg.Logger = logger(c.ErrOrStderr(), cfg)
		for _, v := range values {
			if v.Warning != "" {
				cfg.Logger.Warn(v.Warning, "setting", v.Name)
			}
		}
		debug.SetMemoryLimit(rheo.HeapLimit(cfg.MemoryBytes))
		began := time.Now()
		srv, err := rheo.New(cfg)
		if err != nil {
			return err
		}
		banner(c.OutOrStdout(), srv, cfg, time.Since(began))
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		select {
		case <-ctx.Done():
			stop() // a second signal ends the process at once
			cfg.Logger.Info("stopping")
		case err = <-srv.Failed():
		}
		drain, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		if e := srv.Shutdown(drain); err == nil {
			err = e
		}
		return err
	}
	return c
}

func banner(w io.Writer, srv *rheo.Server, cfg rheo.Config, took time.Duration) {
	fmt.Fprintf(w, "rheo %s: Kinesis Data Streams on %s (plain HTTP and TLS, HTTP/1.1 and HTTP/2)\n", rheo.Version, strings.Join(srv.Addrs(), " and "))
	if a := srv.HTTP1Addr(); a != "" {
		fmt.Fprintf(w, "  HTTP/1.1 only  %s\n", a)
	}
	fmt.Fprintf(w, "  data           %s (ready after %s)\n", cfg.Dir, took.Round(time.Millisecond))
	fmt.Fprintf(w, "  CA             %s\n", srv.CAFile())
	if srv.Open() {
		fmt.Fprintf(w, "  open mode      no keys are configured: any credentials are taken, from this machine only\n")
	}
	fmt.Fprintf(w, "\n  export AWS_ENDPOINT_URL=%s\n\nReady.\n", srv.URL())
}

func logger(w io.Writer, cfg rheo.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// newConfig shows the configuration and where each value came from.
func newConfig() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Show every setting, its value and where it comes from", Args: cobra.NoArgs}
	settingFlags(c.Flags())
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		_, values, err := load(c.Flags())
		if err != nil {
			return err
		}
		for _, v := range values {
			if v.Warning != "" {
				fmt.Fprintf(c.ErrOrStderr(), "rheo: %s: %s\n", v.Name, v.Warning)
			}
		}
		if *asJSON {
			type row struct{ Name, Value, Source string }
			rows := []row{}
			for _, v := range values {
				rows = append(rows, row{v.Name, v.Value, v.Source})
			}
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(rows)
		}
		tw := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "SETTING\tVALUE\tFROM\tMEANING")
		for _, v := range values {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", v.Name, v.Value, v.Source, v.Help)
		}
		return tw.Flush()
	}
	return c
}

// settingFlags makes a flag of every setting.
func settingFlags(f *pflag.FlagSet) {
	f.String("config", "", "configuration file (lines of NAME: VALUE); RHEO_CONFIG")
	for _, s := range rheo.Settings() {
		f.String(s.Name, s.Default, s.Help)
		if s.Bool {
			f.Lookup(s.Name).NoOptDefVal = "true"
		}
	}
}

func load(f *pflag.FlagSet) (rheo.Config, []rheo.Value, error) {
	given := map[string]string{}
	f.Visit(func(f *pflag.Flag) { given[f.Name] = f.Value.String() })
	file, ok := given["config"]
	if !ok {
		file = os.Getenv("RHEO_CONFIG")
	}
	delete(given, "config")
	delete(given, "json")
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "RHEO_") && name != "RHEO_CONFIG" && !slices.ContainsFunc(rheo.Settings(), func(s *rheo.Setting) bool { return s.Env() == name }) {
			return rheo.Config{}, nil, fmt.Errorf("environment %s: there is no such setting; rheo config lists all", name)
		}
	}
	return rheo.Load(given, os.LookupEnv, file)
}
