//go:build linux

package process

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// clients are runtime clients of our own, for Node and Python. The public ones have
// native parts that must be compiled; these are a file each, and behave the same.
//
//go:embed client/node.mjs client/python.py
var clients embed.FS

// A launch is how an instance of a runtime is started. Paths are as the instance
// sees them: an interpreter stands at the same path as on the machine, code in
// taskRoot, and clients in runtimeDir.
type launch struct {
	argv   []string
	env    []string // beside that of every function
	expose []string // files and directories of the machine that it must be able to read and execute
	name   string   // for AWS_EXECUTION_ENV
}

// places are where an instance sees its own directories.
type places struct{ taskRoot, runtimeDir, optDir string }

// runtimeFinder finds interpreters. Nothing is fetched or compiled; what is found is
// asked for its version by starting it once, as rheo's own user.
type runtimeFinder struct {
	config Runtimes
	// reach is an error where functions' users cannot pass through to a file; nil: they can.
	reach func(path string) error

	asking sync.Mutex // held while interpreters are asked: one at a time, and seldom; taken before mu

	mu    sync.Mutex
	found map[string]foundRuntime // by runtime name
}

type foundRuntime struct {
	interpreter interpreter
	err         error
	until       time.Time // then it is looked for again
}

// Found interpreters are believed for long, missing ones shortly: somebody will
// install one and try again.
const (
	foundFor   = 10 * time.Minute
	missingFor = 5 * time.Second
	askTimeout = 10 * time.Second
)

// An interpreter is a language runtime of the machine.
type interpreter struct {
	path    string   // of the executable, with no links
	version string   // such as "20.20.2"
	paths   []string // files and directories that it needs; some may not exist
	client  string   // the public runtime client's entry, or directory of jars; empty: ours
}

var languageOf = regexp.MustCompile(`^(provided|nodejs|python|java)(.*)$`)

// find returns how to start fn; a *RuntimeError if this machine cannot.
func (f *runtimeFinder) find(ctx context.Context, fn *Function, at places) (*launch, error) {
	m := languageOf.FindStringSubmatch(fn.Runtime)
	if m == nil {
		return nil, &RuntimeError{fn.Runtime, "it is none that rheo knows to start", "Use provided.al2023 with an executable named bootstrap, nodejs*, python3* or java*."}
	}
	switch language, version := m[1], m[2]; language {
	case "provided":
		if version != ".al2023" && version != ".al2" {
			return nil, &RuntimeError{fn.Runtime, "there is no such runtime", "Use provided.al2023."}
		}
		// argv is chosen by the caller, who knows which bootstrap exists.
		return &launch{name: "AWS_Lambda_" + fn.Runtime}, nil
	case "nodejs":
		node, err := f.lookup(ctx, fn.Runtime, func(ctx context.Context) (interpreter, error) { return f.node(ctx, fn.Runtime, version) })
		if err != nil {
			return nil, err
		}
		return nodeLaunch(fn, node, at), nil
	case "python":
		python, err := f.lookup(ctx, fn.Runtime, func(ctx context.Context) (interpreter, error) { return f.python(ctx, fn.Runtime, version) })
		if err != nil {
			return nil, err
		}
		return pythonLaunch(fn, python, at), nil
	default:
		java, err := f.lookup(ctx, fn.Runtime, func(ctx context.Context) (interpreter, error) { return f.java(ctx, fn.Runtime, version) })
		if err != nil {
			return nil, err
		}
		return javaLaunch(fn, java, at), nil
	}
}

func (f *runtimeFinder) lookup(ctx context.Context, name string, find func(context.Context) (interpreter, error)) (interpreter, error) {
	if known, ok := f.known(name); ok {
		return known.interpreter, known.err
	}
	f.asking.Lock()
	defer f.asking.Unlock()
	if known, ok := f.known(name); ok { // another asked meanwhile
		return known.interpreter, known.err
	}
	i, err := find(ctx)
	if ctx.Err() != nil {
		return i, ctx.Err()
	}
	until := time.Now().Add(foundFor)
	if err != nil {
		until = time.Now().Add(missingFor)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.found) > 100 {
		clear(f.found) // names come from users
	}
	f.found[name] = foundRuntime{i, err, until}
	return i, err
}

func (f *runtimeFinder) known(name string) (foundRuntime, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found, ok := f.found[name]
	return found, ok && time.Now().Before(found.until)
}

// candidates are the executables of the given names, in the configured directories
// first (in the directory itself and its bin), then on the path.
func (f *runtimeFinder) candidates(names ...string) []string {
	var found []string
	seen := map[string]bool{}
	add := func(path string) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && !seen[path] {
			seen[path] = true
			found = append(found, path)
		}
	}
	for _, dir := range f.config.Dirs {
		for _, name := range names {
			add(filepath.Join(dir, name))
			add(filepath.Join(dir, "bin", name))
		}
	}
	path := f.config.Path
	if path == "" {
		path = os.Getenv("PATH")
	}
	for _, name := range names {
		for _, dir := range filepath.SplitList(path) {
			if filepath.IsAbs(dir) {
				add(filepath.Join(dir, name))
			}
		}
	}
	return found
}

func (f *runtimeFinder) reaches(path string) error {
	if f.reach == nil {
		return nil
	}
	return f.reach(path)
}

// ask starts an executable and returns what it writes.
func ask(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("%s: %w %.200s", path, err, line)
	}
	return string(out), nil
}

// tried collects what was found of other versions, for the error.
type tried []string

func (t *tried) add(path, version string, err error) {
	if err != nil {
		*t = append(*t, err.Error())
	} else {
		*t = append(*t, fmt.Sprintf("%s is %s", path, version))
	}
}

func (t tried) String() string {
	if len(t) == 0 {
		return "none was found"
	}
	return strings.Join(t, "; ")
}

// node finds Node.js of the runtime's major version ("20.x").
func (f *runtimeFinder) node(ctx context.Context, name, version string) (interpreter, error) {
	major, ok := strings.CutSuffix(version, ".x")
	if _, err := strconv.Atoi(major); !ok || err != nil {
		return interpreter{}, &RuntimeError{name, "there is no such runtime", "Names are like nodejs20.x."}
	}
	var others tried
	for _, path := range f.candidates("node"+major, "node", "nodejs") {
		out, err := ask(ctx, path, "-p", `process.execPath + "\n" + process.versions.node`)
		real, got, ok := strings.Cut(strings.TrimSpace(out), "\n")
		if err == nil && !ok {
			err = fmt.Errorf("%s does not say its version", path)
		}
		if err != nil || !strings.HasPrefix(got, major+".") {
			others.add(path, "Node.js "+got, err)
			continue
		}
		if err := f.reaches(real); err != nil {
			others.add(path, "", err)
			continue
		}
		i := interpreter{path: real, version: got, paths: []string{real}}
		modules := filepath.Join(filepath.Dir(filepath.Dir(real)), "lib/node_modules")
		switch i.client = firstFile(joinIf(f.config.NodeClient, "bin/index.mjs"), filepath.Join(modules, "aws-lambda-ric/bin/index.mjs")); {
		case f.config.NodeClient == "" && i.client != "":
			i.paths = append(i.paths, modules)
		case f.config.NodeClient != "":
			if !strings.HasPrefix(i.client, f.config.NodeClient) {
				return interpreter{}, &RuntimeError{name, "no aws-lambda-ric is in " + f.config.NodeClient, "Install it there (npm install aws-lambda-ric), or leave it out of the configuration to use rheo's own client."}
			}
			i.paths = append(i.paths, f.config.NodeClient)
		}
		return i, nil
	}
	return interpreter{}, &RuntimeError{name, fmt.Sprintf("it needs Node.js %s, and %s", major, others),
		fmt.Sprintf("Install Node.js %s, and put it on the path or name its directory in the configuration.", major)}
}

func nodeLaunch(fn *Function, node interpreter, at places) *launch {
	l := &launch{expose: node.paths, name: "AWS_Lambda_" + fn.Runtime}
	l.argv = []string{node.path}
	// As Lambda does: what is left of the memory when the runtime itself is deducted.
	l.argv = append(l.argv, fmt.Sprintf("--max-old-space-size=%d", max(fn.MemoryMiB*9/10, 64)), fmt.Sprintf("--max-semi-space-size=%d", max(fn.MemoryMiB/20, 1)))
	if node.client != "" {
		l.argv = append(l.argv, node.client, fn.Handler)
	} else {
		l.argv = append(l.argv, filepath.Join(at.runtimeDir, "node.mjs"), fn.Handler)
	}
	l.env = []string{"NODE_PATH=" + strings.Join([]string{
		filepath.Join(at.optDir, "nodejs/node_modules"), filepath.Join(at.runtimeDir, "node_modules"), at.runtimeDir, at.taskRoot}, ":")}
	return l
}

// python finds Python of the runtime's version ("3.12").
func (f *runtimeFinder) python(ctx context.Context, name, version string) (interpreter, error) {
	if !regexp.MustCompile(`^3\.\d+$`).MatchString(version) {
		return interpreter{}, &RuntimeError{name, "there is no such runtime", "Names are like python3.12."}
	}
	// Where it is, of which version, whether it has AWS's client, and where its library is.
	const say = `import sys, sysconfig, importlib.util as u
print(sys.executable, sys.version.split()[0], bool(u.find_spec("awslambdaric")), sys.prefix, sys.base_prefix, *sorted(set(sysconfig.get_paths()[n] for n in ("stdlib", "platstdlib", "purelib", "platlib"))), sep="\n")`
	var others tried
	for _, path := range f.candidates("python"+version, "python3", "python") {
		out, err := ask(ctx, path, "-c", say)
		said := strings.Split(strings.TrimSpace(out), "\n")
		if err == nil && len(said) < 6 {
			err = fmt.Errorf("%s does not say its version", path)
		}
		if err != nil {
			others.add(path, "", err)
			continue
		}
		executable, got := said[0], said[1]
		if got != version && !strings.HasPrefix(got, version+".") {
			others.add(path, "Python "+got, nil)
			continue
		}
		if err := f.reaches(executable); err != nil {
			others.add(path, "", err)
			continue
		}
		i := interpreter{path: executable, version: got, paths: append([]string{executable}, said[5:]...)}
		for _, prefix := range said[3:5] {
			i.paths = append(i.paths, filepath.Join(prefix, "pyvenv.cfg"))
			libraries, _ := filepath.Glob(filepath.Join(prefix, "lib/libpython*"))
			i.paths = append(i.paths, libraries...)
			// Of a virtual environment the library is its own, and that which it is made of.
			i.paths = append(i.paths, filepath.Join(prefix, "lib/python"+version))
		}
		switch {
		case f.config.PythonClient != "":
			if firstFile(filepath.Join(f.config.PythonClient, "awslambdaric/__init__.py")) == "" {
				return interpreter{}, &RuntimeError{name, "no awslambdaric is in " + f.config.PythonClient, "Install it there (pip install --target), or leave it out of the configuration to use rheo's own client."}
			}
			i.client = f.config.PythonClient
			i.paths = append(i.paths, f.config.PythonClient)
		case said[2] == "True":
			i.client = "-"
		}
		return i, nil
	}
	return interpreter{}, &RuntimeError{name, fmt.Sprintf("it needs Python %s, and %s", version, others),
		fmt.Sprintf("Install Python %s, and put it on the path or name its directory in the configuration.", version)}
}

func pythonLaunch(fn *Function, python interpreter, at places) *launch {
	l := &launch{expose: python.paths, name: "AWS_Lambda_" + fn.Runtime}
	l.env = []string{"PYTHONPATH=" + at.runtimeDir, "PYTHONDONTWRITEBYTECODE=1"}
	switch python.client {
	case "":
		l.argv = []string{python.path, filepath.Join(at.runtimeDir, "python.py"), fn.Handler}
	default:
		if python.client != "-" {
			l.env[0] += ":" + python.client
		}
		l.argv = []string{python.path, "-m", "awslambdaric", fn.Handler}
	}
	return l
}

// java finds a Java of the runtime's major version ("17", "8.al2") and the public
// runtime client's jars: its native and serialising parts are not ours to rewrite.
func (f *runtimeFinder) java(ctx context.Context, name, version string) (interpreter, error) {
	major := strings.TrimSuffix(version, ".al2")
	if _, err := strconv.Atoi(major); err != nil {
		return interpreter{}, &RuntimeError{name, "there is no such runtime", "Names are like java21."}
	}
	paths := f.candidates("java")
	if home := os.Getenv("JAVA_HOME"); home != "" {
		paths = append(paths, filepath.Join(home, "bin/java"))
	}
	installed, _ := filepath.Glob("/usr/lib/jvm/*/bin/java")
	paths = append(paths, installed...)
	var others tried
	seen := map[string]bool{}
	for _, path := range paths {
		out, err := ask(ctx, path, "-XshowSettings:properties", "-version")
		home, got := property(out, "java.home"), property(out, "java.version")
		if err == nil && (home == "" || got == "") {
			err = errors.New(path + " does not say its version")
		}
		if seen[home] {
			continue
		}
		seen[home] = true
		if err != nil || !strings.HasPrefix(strings.TrimPrefix(got, "1."), major) {
			others.add(path, "Java "+got, err)
			continue
		}
		if err := f.reaches(home); err != nil {
			others.add(path, "", err)
			continue
		}
		i := interpreter{path: filepath.Join(home, "bin/java"), version: got, paths: []string{home}}
		for _, dir := range append([]string{f.config.JavaClient}, f.config.Dirs...) {
			if jars, _ := filepath.Glob(filepath.Join(dir, "aws-lambda-java-runtime-interface-client-*.jar")); dir != "" && len(jars) > 0 {
				i.client = dir
				i.paths = append(i.paths, dir)
				return i, nil
			}
		}
		return interpreter{}, &RuntimeError{name, "the runtime client com.amazonaws:aws-lambda-java-runtime-interface-client is in none of the configured directories",
			"Fetch it with what it needs (mvn dependency:copy-dependencies) into a directory, and name that in the configuration."}
	}
	return interpreter{}, &RuntimeError{name, fmt.Sprintf("it needs Java %s, and %s", major, others),
		fmt.Sprintf("Install Java %s, and put it on the path or name its directory in the configuration.", major)}
}

func javaLaunch(fn *Function, java interpreter, at places) *launch {
	l := &launch{expose: java.paths, name: "AWS_Lambda_" + fn.Runtime}
	l.argv = []string{java.path,
		fmt.Sprintf("-XX:MaxHeapSize=%dk", fn.MemoryMiB*1024*7/10),
		"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true",
		"-cp", strings.Join([]string{filepath.Join(java.client, "*"), at.taskRoot, filepath.Join(at.taskRoot, "lib/*"), filepath.Join(at.optDir, "java/lib/*")}, ":"),
		"com.amazonaws.services.lambda.runtime.api.client.AWSLambda", fn.Handler}
	return l
}

// property is the value of "name = value" in what java prints of its settings.
func property(out, name string) string {
	for line := range strings.Lines(out) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func joinIf(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

func firstFile(paths ...string) string {
	for _, p := range paths {
		if p == "" {
			continue
		}
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p
		}
	}
	return ""
}
