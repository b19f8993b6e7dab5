package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rheostream/rheo/internal/agent"
)

const (
	agentConfig = "/etc/aws-kinesis/agent.json"
	// javaCheckpoints is where the Kinesis Agent keeps its own unless told otherwise: a
	// directory that a reboot empties.
	javaCheckpoints = "/var/run/aws-kinesis-agent/checkpoints"
	// agentMemory is where the collector begins to work harder: an agent is a guest on its machine.
	agentMemory = 256 << 20
)

func newAgent() *cobra.Command {
	c := &cobra.Command{
		Use:   "agent",
		Short: "Send what is appended to log files to streams, as the Kinesis Agent does",
		Long: "Send what is appended to log files to streams, as the Amazon Kinesis Agent does, by its own\n" +
			"configuration file, and the flows of agent.d/*.json beside it. docs/agent.md has the keys, and what\n" +
			"is different.\n\n" +
			"Records go where the file's kinesis.endpoint and firehose.endpoint say; --endpoint overrules them,\n" +
			"and where the file has none it is as for the other commands: a local server, or AWS with --aws.\n" +
			"A flow that the file has wrong is named and left out; the others are run.\n" +
			"SIGTERM or SIGINT ends it: what is read is sent, for up to shutdownTimeoutMillis, and the exit\n" +
			"status is 0. What was not taken by then is sent by the next run, from its checkpoints.",
		Example: "  rheo agent -c agent.json --check\n" +
			"  rheo agent -c agent.json --endpoint http://localhost:4566\n" +
			"  rheo agent -c agent.json --aws --once",
		Args: cobra.NoArgs,
	}
	conn := new(connection)
	conn.flags(c)
	f := c.Flags()
	file := f.StringP("configuration", "c", agentConfig, "the configuration `file`, of the Kinesis Agent's format")
	checkpoints := f.String("checkpoints", "", "`file` to keep checkpoints in (default checkpointFile of the configuration with .rheo behind it, else one of the user's state directory)")
	check := f.Bool("check", false, "read the configuration, print what it says, and end")
	once := f.Bool("once", false, "send what the files have, and end")
	quiet := f.BoolP("quiet", "q", false, "log warnings and errors only")
	asJSON := f.Bool("log-json", false, "log JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		settings, err := agent.Load(*file)
		if err != nil {
			return err
		}
		where := checkpointFile(*checkpoints, settings)
		targets, err := agentTargets(c.Context(), conn, settings)
		if err != nil {
			return err
		}
		if *check {
			return printAgent(c, settings, targets, where)
		}
		log := agentLogger(c, *quiet, *asJSON)
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(agentMemory)
		}
		for _, n := range settings.Notices {
			log.Info(n)
		}
		if isVolatile(where) {
			log.Warn("checkpoints are in a directory that a reboot empties; set checkpointFile, or --checkpoints", "file", where)
		}
		imported := settings.CheckpointFile
		if imported == "" {
			imported = javaCheckpoints
		}
		cfg := agent.Config{Settings: settings, Checkpoints: where, Import: imported, Destination: targets.destination, Once: *once, Logger: log, Host: hostAttributes}
		if settings.EmitMetrics {
			cfg.Meter = targets.meter()
		}
		if settings.TagInstance {
			cfg.Instance = instanceName(c.Context())
		}
		a, err := agent.New(cfg)
		if err != nil {
			return err
		}
		defer context.AfterFunc(c.Context(), func() { log.Info("stopping") })()
		for _, f := range settings.Flows {
			log.Info("tailing", "files", filepath.Join(f.Dir, f.Pattern), "stream", f.Stream, "service", f.Service, "at", targets.where(f.Service))
		}
		if err := a.Run(c.Context()); err != nil {
			log.Error("the agent ended", "error", err) // after a signal nobody else says it
			return err
		}
		if *once { // not all that the files have was to be sent
			return errors.Join(settings.Refused...)
		}
		return nil
	}
	return c
}

// checkpointFile is where checkpoints are kept. The Kinesis Agent's own file is never
// written, so that one can go back to it.
func checkpointFile(flag string, s *agent.Settings) string {
	switch {
	case flag != "":
		return flag
	case s.CheckpointFile != "":
		return s.CheckpointFile + ".rheo"
	}
	if os.Geteuid() == 0 {
		return "/var/lib/rheo-agent/checkpoints"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "rheo-agent", "checkpoints")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "rheo-agent", "checkpoints")
	}
	return filepath.Join(os.TempDir(), "rheo-agent", "checkpoints")
}

// isVolatile says whether a reboot empties the directory.
func isVolatile(file string) bool {
	for _, dir := range []string{"/run/", "/var/run/", "/dev/shm/", "/tmp/"} {
		if strings.HasPrefix(file, dir) {
			return true
		}
	}
	return false
}

func agentLogger(c *cobra.Command, quiet, asJSON bool) *slog.Logger {
	o := &slog.HandlerOptions{}
	if quiet {
		o.Level = slog.LevelWarn
	}
	if asJSON {
		return slog.New(slog.NewJSONHandler(c.ErrOrStderr(), o))
	}
	return slog.New(slog.NewTextHandler(c.ErrOrStderr(), o))
}

// printAgent shows what a configuration comes to.
func printAgent(c *cobra.Command, s *agent.Settings, t *targets, checkpoints string) error {
	w := c.OutOrStdout()
	rows := [][]string{{"FILES", "STREAM", "AT", "NEW FILES", "BUFFER", "PROCESSING"}}
	for _, f := range s.Flows {
		position := "at their end, later ones at their start"
		if f.FromStart {
			position = "at their start"
		}
		rows = append(rows, []string{filepath.Join(f.Dir, f.Pattern), string(f.Service) + " " + f.Stream, t.where(f.Service), position,
			fmt.Sprintf("%v, %d records, %s", f.BufferAge, f.BufferRecords, megabytes(float64(f.BufferBytes))), f.Processing()})
	}
	if err := printTable(w, rows); err != nil {
		return err
	}
	metrics := "not sent"
	if s.EmitMetrics {
		metrics = s.Namespace + " at " + t.metricsWhere()
	}
	if _, err := fmt.Fprintf(w, "\ncheckpoints  %s\nmetrics      %s\n", checkpoints, metrics); err != nil {
		return err
	}
	for _, n := range s.Notices {
		if _, err := fmt.Fprintf(w, "note         %s\n", n); err != nil {
			return err
		}
	}
	_, err := os.Stat(checkpoints)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(append(s.Refused, err)...)
}
