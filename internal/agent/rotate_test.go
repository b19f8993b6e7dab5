package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

// A log is written to and rotated while it is read, by each of the four ways; at the
// end every line was sent, and none twice. Nothing is written between copying and
// truncating: the lines of that window are lost to everybody.
func TestRotationRaces(t *testing.T) {
	for way, rotate := range map[string]func(dir string, n int) error{
		"rename": func(dir string, n int) error {
			return os.Rename(filepath.Join(dir, "app.log"), filepath.Join(dir, fmt.Sprintf("app.log.%d", n)))
		},
		"create": nil, // see below
		"copy and truncate": func(dir string, n int) error {
			if err := copyFile(filepath.Join(dir, "app.log"), filepath.Join(dir, fmt.Sprintf("app.log.%d", n))); err != nil {
				return err
			}
			return os.Truncate(filepath.Join(dir, "app.log"), 0)
		},
		"copy": func(dir string, n int) error {
			return copyFile(filepath.Join(dir, "app.log"), filepath.Join(dir, fmt.Sprintf("app.log.%d", n)))
		},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			logs := filepath.Join(dir, "logs")
			if err := os.Mkdir(logs, 0o700); err != nil {
				t.Fatal(err)
			}
			stream := &memoryStream{}
			run := agentFor(t, dir, stream, `"initialPosition": "START_OF_FILE", "minTimeBetweenFilePollsMillis": 1, "maxBufferSizeRecords": 50`)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- run(ctx, false) }()
			const rounds, lines = 12, 400
			rng := rand.New(rand.NewPCG(1, 2))
			total := 0
			for round := range rounds {
				name := "app.log"
				if rotate == nil {
					name = fmt.Sprintf("app.log.%d", round)
				}
				f, err := os.OpenFile(filepath.Join(logs, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				for written := 0; written < lines; {
					var b strings.Builder
					for range min(1+rng.IntN(40), lines-written) {
						fmt.Fprintf(&b, "line %06d of a log that is rotated\n", total)
						total++
						written++
					}
					text := b.String()
					cut := rng.IntN(len(text)) // writers stop within lines too
					for _, part := range []string{text[:cut], text[cut:]} {
						if _, err := f.WriteString(part); err != nil {
							t.Fatal(err)
						}
					}
					if rng.IntN(4) == 0 {
						time.Sleep(time.Millisecond)
					}
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				if rotate != nil {
					if err := rotate(logs, round); err != nil {
						t.Fatal(err)
					}
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if err := run(t.Context(), true); err != nil { // what was not read yet
				t.Fatal(err)
			}
			times := map[string]int{}
			for _, r := range stream.take() {
				times[r]++
			}
			missing, twice := 0, 0
			for i := range total {
				switch n := times[fmt.Sprintf("line %06d of a log that is rotated\n", i)]; {
				case n == 0:
					missing++
				case n > 1:
					if twice++; twice == 1 {
						t.Logf("line %d came twice first", i)
					}
				}
			}
			if missing > 0 || twice > 0 || len(times) != total {
				t.Errorf("of %d lines %d are missing, %d came twice; %d different records came", total, missing, twice, len(times))
			}
		})
	}
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// agentFor returns what runs an agent over dir/logs/app.log*, again and again on the
// same checkpoints.
func agentFor(t *testing.T, dir string, stream Destination, keys string) func(ctx context.Context, once bool) error {
	t.Helper()
	name := filepath.Join(dir, "agent.json")
	config := fmt.Sprintf(`{"flows": [{"filePattern": %q, "kinesisStream": "s", %s}]}`, filepath.Join(dir, "logs", "app.log*"), keys)
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, once bool) error {
		settings, err := Load(name)
		if err != nil {
			return err
		}
		a, err := New(Config{Settings: settings, Checkpoints: filepath.Join(dir, "checkpoints"), Once: once,
			Destination: func(*Flow) Destination { return stream }, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			return err
		}
		return a.Run(ctx)
	}
}

// Of many files no more are open than may be, and all are read.
func TestManyFiles(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("open files cannot be counted here")
	}
	const files = 3000
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, "logs", fmt.Sprintf("app.log.%d", i)), fmt.Appendf(nil, "line of file %d%s\n", i, strings.Repeat(" and more", 40)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stream := &memoryStream{}
	most := 0
	counting := destinationFunc(func(ctx context.Context, records []Record) ([]error, error) {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return nil, err
		}
		stream.set(func(*memoryStream) { most = max(most, len(open)) })
		return stream.Put(ctx, records)
	})
	run := agentFor(t, dir, counting, `"initialPosition": "START_OF_FILE", "maxBufferSizeRecords": 100`)
	if err := run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	got := stream.take()
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != files || len(got) != files {
		t.Errorf("%d records, %d different ones, want %d", len(got), n, files)
	}
	if most > openMax+200 {
		t.Errorf("%d files were open", most)
	}
}

type destinationFunc func(context.Context, []Record) ([]error, error)

func (f destinationFunc) Put(ctx context.Context, records []Record) ([]error, error) {
	return f(ctx, records)
}

// A disk that is full stops checkpoints, which is said, and nothing else: files that come are read.
func TestCheckpointsCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		name := filepath.Join(dir, "agent.json")
		if err := os.WriteFile(name, fmt.Appendf(nil, `{"flows": [{"filePattern": %q, "kinesisStream": "s", "maxBufferAgeMillis": 1000}]}`, filepath.Join(dir, "app.log*")), 0o600); err != nil {
			t.Fatal(err)
		}
		settings, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		stream, log := &memoryStream{}, new(lockedBuffer)
		disk := vfs.NewFaults(vfs.NewCrash(1))
		a, err := New(Config{Settings: settings, Checkpoints: "/state/checkpoints", FS: disk, Destination: func(*Flow) Destination { return stream }, Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		synctest.Wait()
		full := disk.Add(vfs.Fault{Op: vfs.OpWrite, Err: syscall.ENOSPC})
		if err := os.WriteFile(filepath.Join(dir, "app.log"), []byte("one\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if got := stream.take(); len(got) != 1 || got[0] != "one\n" {
			t.Errorf("taken %q", got)
		}
		if strings.Count(log.String(), "checkpoints are not safe") != 1 || !strings.Contains(log.String(), "no space left") {
			t.Errorf("it is not said, or more than once a minute:\n%s", log.String())
		}
		full.Remove()
		time.Sleep(time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		again, err := openStore(disk, "/state/checkpoints", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		defer again.close()
		if entries, _ := again.of(settings.Flows[0].ID); len(entries) != 1 || entries[0].Offset != 4 {
			t.Errorf("checkpoints %+v", entries)
		}
	})
}

// More records than fit a buffer, long ones among them, by way of a small stream:
// all arrive, what is too long is cut, and no more is read than can be under way.
func TestLongRecords(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("0123456789", (1<<20)/10)
	longer := strings.Repeat("abcdefghij", (4<<20)/10)
	text := "one\n" + long + long[:2000] + "\ntwo\n" + longer + "\nthree\n"
	if err := os.WriteFile(filepath.Join(dir, "logs", "app.log"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stream := &memoryStream{}
	run := agentFor(t, dir, stream, `"initialPosition": "START_OF_FILE", "truncatedRecordTerminator": "[cut]\n", "publishQueueCapacity": 1, "partitionKeyOption": "DETERMINISTIC"`)
	if err := run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	most := 1<<20 - 32 // the key
	want := []string{"one\n", (long + long[:2000])[:most-6] + "[cut]\n", "two\n", longer[:most-6] + "[cut]\n", "three\n"}
	got := stream.take()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("record %d has %d bytes and ends in %q, want %d", i, len(got[i]), tail(got[i]), len(want[i]))
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-20):] }

// A record's key is the MD5 of its data where that is asked for, so that equal
// records go to the same shard.
func TestDeterministicKeys(t *testing.T) {
	tl := &tailer{flow: &Flow{Service: Kinesis, DeterministicKeys: true}}
	if got, want := tl.keyOf([]byte("hello")), "5d41402abc4b2a76b9719d911017c592"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	if got := (&tailer{flow: &Flow{Service: Firehose, DeterministicKeys: true}}).keyOf(nil); got != "" {
		t.Errorf("a delivery stream's record has the key %q", got)
	}
	tl.flow.DeterministicKeys = false
	if a, b := tl.keyOf(nil), tl.keyOf(nil); a == b || a == "" {
		t.Errorf("keys %q and %q", a, b)
	}
}

// Where the Kinesis Agent stopped is gone on from: in the file that it read, which was
// renamed since, and with those that are newer; older ones it was done with.
func TestForeignCheckpoints(t *testing.T) {
	dir := t.TempDir()
	logs := filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i, text := range []string{"old\n", "read\nunread\n", "new\n"} {
		name := filepath.Join(logs, fmt.Sprintf("app.log.%d", i))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, began, began.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	current := filepath.Join(logs, "app.log.1")
	info, err := os.Stat(current)
	if err != nil {
		t.Fatal(err)
	}
	id := idOf(current, info)
	config := filepath.Join(dir, "agent.json")
	text := fmt.Sprintf(`{"flows": [{"filePattern": %q, "kinesisStream": "s"}]}`, filepath.Join(logs, "app.log*"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second run finds its own checkpoints
		settings, err := Load(config)
		if err != nil {
			t.Fatal(err)
		}
		stream := &memoryStream{}
		a, err := New(Config{Settings: settings, Checkpoints: filepath.Join(dir, "checkpoints"), Import: filepath.Join(dir, "none"), Once: true,
			Destination: func(*Flow) Destination { return stream }, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		flow := settings.Flows[0].ID
		want := []string(nil)
		if _, known := a.store.of(flow); !known {
			a.store.set(flow, []entry{
				{Flow: flow, Path: filepath.Join(logs, "app.log"), Device: id.dev, Inode: id.ino, Offset: 5, Size: 5, Modified: info.ModTime(), foreign: true},
				{Flow: flow, Path: filepath.Join(logs, "app.log.2"), Device: 1, Inode: 1, Offset: 3, Size: 3, Modified: began, foreign: true}, // of a file that is gone
			})
			want = []string{"unread\n", "new\n"}
		}
		if err := a.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := stream.take(); !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
}
