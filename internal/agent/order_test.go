package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// With one sending thread a flow's calls go one after the other: the records of a file
// come in its order, also when calls fail, and take as long as they like.
func TestOneSenderKeepsOrder(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var lines strings.Builder
		const n = 5000
		for i := range n {
			fmt.Fprintf(&lines, "line %d\n", i)
		}
		if err := os.WriteFile(filepath.Join(dir, "app.log"), []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		config := filepath.Join(dir, "agent.json")
		text := fmt.Sprintf(`{"maxSendingThreads": 1, "flows": [{"filePattern": %q, "kinesisStream": "s", "initialPosition": "START_OF_FILE", "maxBufferSizeRecords": 50}]}`, filepath.Join(dir, "app.log"))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		settings, err := Load(config)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		stream, calls := &memoryStream{}, 0
		slow := destinationFunc(func(ctx context.Context, records []Record) ([]error, error) {
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			if calls++; calls%7 == 0 {
				return nil, errors.New("away")
			}
			return stream.Put(ctx, records)
		})
		a, err := New(Config{Settings: settings, Checkpoints: filepath.Join(dir, "checkpoints"), Once: true,
			Destination: func(*Flow) Destination { return slow }, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(stream.take(), ""); got != lines.String() {
			t.Error("lines are missing, or come in another order")
		}
	})
}
