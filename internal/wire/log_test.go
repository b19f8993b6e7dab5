package wire

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestAccessLog: at debug level a line for each request, without what is secret.
func TestAccessLog(t *testing.T) {
	var log bytes.Buffer
	h, _ := testHandler(t, func(c *HandlerConfig) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	resp := do(h, request("http://localhost/", "DeleteStream", `{"StreamName":"gone"}`))
	for _, part := range []string{"request=" + resp.Header["x-amzn-RequestId"][0], "operation=DeleteStream", "status=400",
		"error=ResourceNotFoundException", "account=000000000000", "region=us-east-1", "from=127.0.0.1:50000"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("no %s in %s", part, &log)
		}
	}
	if strings.Contains(log.String(), "Signature") || strings.Contains(log.String(), "gone") {
		t.Errorf("too much in %s", &log)
	}
}
