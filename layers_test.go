package rheo_test

import (
	"encoding/json"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// layers is who may import whom: a line imports only what stands above it. A
// pattern ends in "/..." for a package with all below it; the first line that
// matches a package is its own.
var layers = [][]string{
	{"internal/vfs", "internal/api", "internal/metrics"},
	{"internal/shardlog", "internal/blob", "internal/kpl", "internal/agent", "internal/format/...", "internal/streamsql/syntax", "internal/video/mkv", "internal/video/mp4"},
	{"internal/statelog"},
	{"internal/api/...", "internal/keys", "internal/catalog", "internal/outbound", "internal/streamsql", "internal/shardlog/...", "internal/blob/..."},
	{"internal/auth", "internal/audit", "internal/keys/...", "internal/companion/dynamodb/item", "internal/companion/lambda/mapping/pattern", "internal/companion/lambda/process"},
	{"internal/call", "internal/companion/dynamodb/expr", "internal/companion/lambda/mapping"},
	{"internal/wire", "internal/streams", "internal/firehose", "internal/analytics", "internal/video", "internal/companion/...", "internal/console"},
	{"internal/analytics/flink"},
	{"."},
	{"cmd/rheo"},
}

// TestLayers holds every import to the table; services, on one line, never import each other.
func TestLayers(t *testing.T) {
	const module = "github.com/rheostream/rheo"
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	packages := 0
	for dec.More() {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages++
		own := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if own == "" {
			own = "."
		}
		if strings.HasPrefix(own, "internal/api/gen") {
			continue // a program of its own
		}
		from := layerOf(own)
		if from < 0 {
			t.Errorf("%s stands on no line of the table", own)
			continue
		}
		for _, imported := range p.Imports {
			if imported != module && !strings.HasPrefix(imported, module+"/") {
				continue
			}
			to := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
			if to == "" {
				to = "."
			}
			if l := layerOf(to); l < 0 || l >= from {
				t.Errorf("%s (line %d) must not import %s (line %d)", own, from, to, l)
			}
		}
	}
	if packages < 10 {
		t.Errorf("only %d packages were seen", packages)
	}
}

func layerOf(pkg string) int {
	exact, below := -1, -1
	for i, line := range layers {
		for _, pattern := range line {
			if pattern == pkg {
				exact = i
			}
			if dir, ok := strings.CutSuffix(pattern, "/..."); ok && below < 0 && (pkg == dir || strings.HasPrefix(pkg, dir+"/")) {
				below = i
			}
		}
	}
	if exact >= 0 {
		return exact
	}
	return below
}

func TestLayerOf(t *testing.T) {
	for pkg, want := range map[string]int{
		"internal/api": 0, "internal/api/kinesis": 3, "internal/shardlog": 1, "internal/statelog": 2, "internal/shardlog/shardlogtest": 3,
		"internal/shardlog/kafka": 3, "internal/streams": 6, ".": 8, "cmd/rheo": 9, "internal/unknown": -1,
	} {
		if got := layerOf(path.Clean(pkg)); got != want {
			t.Errorf("layerOf(%s) = %d, want %d", pkg, got, want)
		}
	}
}
