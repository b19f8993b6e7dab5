//go:build linux

package process

import "testing"

func TestInvoke(t *testing.T) {
	onEachWall(t, func(t *testing.T, wall Wall) {
		r := newRunner(t, func(c *Config) { c.Walls = []Wall{wall} })
		t.Log(r.Isolation())
		fn := goFunction(t, "echo")
		for _, event := range []string{`{"a":1}`, `"two"`, `[3]`} {
			if got := mustSucceed(t, r, fn, event); got != event {
				t.Errorf("%s came back as %s", event, got)
			}
		}
	})
}
