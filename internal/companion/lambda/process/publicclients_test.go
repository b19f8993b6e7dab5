//go:build linux

package process

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPublicClients runs functions by AWS's own runtime clients, which must be compiled
// or fetched, so only where the environment names a directory that has them:
//
//	npm install --prefix $DIR/node aws-lambda-ric
//	pip install --target $DIR/python awslambdaric
//	mvn dependency:copy -DoutputDirectory=$DIR/java -Dartifact=... of
//	    com.amazonaws:aws-lambda-java-runtime-interface-client, -java-core and -java-serialization
func TestPublicClients(t *testing.T) {
	dir := os.Getenv("RHEO_LAMBDA_CLIENTS")
	if dir == "" {
		t.Skip("RHEO_LAMBDA_CLIENTS names no directory with AWS's runtime clients")
	}
	r := newRunner(t, func(c *Config) {
		c.Runtimes = Runtimes{
			NodeClient:   filepath.Join(dir, "node/node_modules/aws-lambda-ric"),
			PythonClient: filepath.Join(dir, "python"), JavaClient: filepath.Join(dir, "java")}
	})
	event, _ := json.Marshal(map[string]string{"text": "hello"})
	for name, fn := range map[string]func(t *testing.T) *Function{
		"node": func(t *testing.T) *Function {
			return functionOf(zipped(t, map[string]string{"index.js": `exports.handler = async (event, context) => event.text + ' from ' + context.functionName`}), nodeRuntime(t), "index.handler")
		},
		"python": func(t *testing.T) *Function {
			return functionOf(zipped(t, map[string]string{"app.py": "def handler(event, context): return event['text'] + ' from ' + context.function_name"}), pythonRuntime(t), "app.handler")
		},
		"java": func(t *testing.T) *Function { return javaFunction(t) },
	} {
		t.Run(name, func(t *testing.T) {
			f := fn(t)
			f.MemoryMiB = 512
			for range 2 {
				if got := mustSucceed(t, r, f, string(event)); got != `"hello from f"` {
					t.Errorf("answers %s", got)
				}
			}
		})
	}
}

// javaFunction compiles a class and zips it.
func javaFunction(t *testing.T) *Function {
	t.Helper()
	version := needs(t, "javac", "Install a JDK (apt-get install default-jdk-headless)", "--version") // "javac 17.0.15"
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "javac "), ".")
	src := t.TempDir()
	code := `import java.util.Map;
public class Handler {
  public String handle(Map<String, Object> event) { return event.get("text") + " from " + System.getenv("AWS_LAMBDA_FUNCTION_NAME"); }
}`
	if err := os.WriteFile(filepath.Join(src, "Handler.java"), []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("javac", "-d", src, filepath.Join(src, "Handler.java")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	class, err := os.ReadFile(filepath.Join(src, "Handler.class"))
	if err != nil {
		t.Fatal(err)
	}
	return functionOf(zipped(t, map[string]string{"Handler.class": string(class)}), "java"+major, "Handler::handle")
}
