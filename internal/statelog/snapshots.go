package statelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/blob"
)

// Snapshots are those of one state. They are one goroutine's: that of Loop while it
// runs, that of the state's owner before and after it.
type Snapshots struct {
	Blobs  blob.Store
	Prefix string // of the blobs' names
	Name   string // whose they are, for errors
	Logger *slog.Logger

	// Current is the state to be written and how far it reaches: write is called
	// while commands go on being applied. It is called by one goroutine at a time.
	Current func() (offset uint64, write func(io.Writer) error)

	// Every is how many bytes of commands are logged between snapshots; 0 means
	// 4 MiB or the size of the last snapshot, whichever is more.
	Every int64
	// Interval is after how long a snapshot is written of whatever was logged.
	Interval time.Duration

	covered int64           // bytes logged at the last snapshot
	size    int64           // of the last snapshot
	bad     map[string]bool // that could not be read
}

// Load has read read the newest snapshot, and if that cannot be read the one before
// it: the log still has all that is behind that. It returns how far the newest
// reaches, whether it could be read or not, and what was wrong with those passed over;
// found is false if there is none that could be read.
func (s *Snapshots) Load(ctx context.Context, read func(r io.Reader, size int64) error) (found bool, newest uint64, wrong, err error) {
	have, err := s.list(ctx)
	if err != nil {
		return false, 0, nil, fmt.Errorf("%s: cannot list snapshots: %w", s.Name, err)
	}
	for _, b := range slices.Backward(have) {
		newest = max(newest, b.offset)
		r, info, err := s.Blobs.Get(ctx, b.name, 0, -1)
		if err == nil {
			err = read(r, info.Size)
			r.Close()
		}
		if err == nil {
			s.size = info.Size
			return true, newest, wrong, nil
		}
		err = fmt.Errorf("%s: %w", b.name, err)
		if errors.Is(err, ErrNewer) || ctx.Err() != nil {
			return false, 0, nil, fmt.Errorf("%s: cannot use snapshot %w", s.Name, err)
		}
		s.Logger.Error("cannot use a snapshot; the one before it and the log have to do", "of", s.Name, "err", err)
		if s.bad == nil {
			s.bad = make(map[string]bool)
		}
		s.bad[b.name] = true
		if wrong != nil {
			err = fmt.Errorf("%w; %w", wrong, err)
		}
		wrong = err
	}
	return false, newest, wrong, nil
}

// Loop takes a snapshot when enough was logged since the last one, or anything and long
// enough ago. It does not hold up commands.
func (s *Snapshots) Loop(ctx context.Context, l *Log) {
	interval := time.NewTicker(s.Interval)
	defer interval.Stop()
	for {
		least := max(1, s.Every)
		if s.Every == 0 {
			least = max(4<<20, s.size)
		}
		select {
		case <-ctx.Done():
			return
		case <-interval.C:
			least = 1
		case <-l.Progress():
		}
		if l.logged.Load()-s.covered < least {
			continue
		}
		if err := s.take(ctx, l); err != nil && ctx.Err() == nil {
			s.Logger.Error("cannot write a snapshot", "of", s.Name, "err", err)
		}
	}
}

// Last takes a snapshot of what was applied since the last one, at the end: after
// Loop, and after the log was stopped.
func (s *Snapshots) Last(l *Log) {
	if l.Failed() != nil || l.logged.Load() == s.covered {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.take(ctx, l); err != nil {
		s.Logger.Error("cannot write a snapshot; the next start reads the log instead", "of", s.Name, "err", err)
	}
}

// take writes a snapshot, forgets all but the newest two that are good, and then the
// commands that the older of the two covers. A crash before the last step leaves
// commands or a snapshot more than is needed.
func (s *Snapshots) take(ctx context.Context, l *Log) error {
	// If this fails, it is not tried again before as much more was logged.
	s.covered = l.logged.Load()
	if err := s.put(ctx); err != nil {
		return err
	}
	have, err := s.list(ctx)
	if err != nil {
		return err
	}
	good := slices.DeleteFunc(slices.Clone(have), func(b snapshotBlob) bool { return s.bad[b.name] })
	if len(good) < 2 {
		return nil
	}
	keep := good[len(good)-2:]
	for _, b := range have {
		if !slices.Contains(keep, b) {
			if err := s.Blobs.Delete(ctx, b.name); err != nil {
				return err
			}
		}
	}
	return l.Trim(ctx, keep[0].offset)
}

// put streams the current state into its blob: it is never in memory twice.
func (s *Snapshots) put(ctx context.Context) error {
	offset, write := s.Current() // reaches at least as far as was logged before
	name := fmt.Sprintf("%s%020d", s.Prefix, offset)
	r, w := io.Pipe()
	count := &counter{w: w}
	written := make(chan struct{})
	go func() {
		defer close(written)
		w.CloseWithError(write(count))
	}()
	err := s.Blobs.Put(ctx, name, r)
	r.CloseWithError(errors.New("the blob was not taken")) // ends the writer, if it has not ended
	<-written
	if err == nil {
		s.size = count.n
		delete(s.bad, name) // replaced, if it was
	}
	return err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

type snapshotBlob struct {
	name   string
	offset uint64
}

// list lists them, oldest first.
func (s *Snapshots) list(ctx context.Context) ([]snapshotBlob, error) {
	infos, err := s.Blobs.List(ctx, s.Prefix, "", 1000)
	if err != nil {
		return nil, err
	}
	var out []snapshotBlob
	for _, i := range infos {
		if offset, err := strconv.ParseUint(strings.TrimPrefix(i.Name, s.Prefix), 10, 64); err == nil {
			out = append(out, snapshotBlob{i.Name, offset})
		}
	}
	return out, nil
}
