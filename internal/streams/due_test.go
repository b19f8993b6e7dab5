package streams

import (
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// The lifecycle loop looks at the streams that want a step, not at all there are:
// it does so at every change of any of them, and puts wait meanwhile.
func TestStreamsAtRestAreNotLookedAt(t *testing.T) {
	inTime(t, Config{Transition: time.Minute}, func(w *world) {
		due := func() (names string) {
			w.mu.RLock()
			defer w.mu.RUnlock()
			for _, st := range w.due {
				names += st.name.name
			}
			return names
		}
		check := func(when, want string) {
			t.Helper()
			if got := due(); got != want {
				t.Errorf("%s: %q are due, want %q", when, got, want)
			}
		}
		w.create("s", 1)
		check("CREATING", "s")
		w.advance(time.Minute + time.Second)
		check("ACTIVE", "")
		w.register("s", "c")
		check("a consumer is CREATING", "s")
		w.advance(time.Minute + time.Second)
		check("and ACTIVE", "")
		w.create("t", 1)
		check("another stream is CREATING", "t")
		if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("t")}); err != nil {
			t.Fatal(err)
		}
		check("DELETING", "t")
		w.crash()
		check("DELETING, after a crash", "t")
		w.advance(time.Minute + time.Second)
		check("gone", "")
	})
}
