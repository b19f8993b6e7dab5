//go:build linux

package process

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// surroundings are what an instance's environment says beside its function.
type surroundings struct {
	places
	tempDir     string
	api         string // host:port of its Runtime API
	endpoint    string // URL; empty: none
	proxy       string // URL of the way out; empty: none
	caFile      string // the configured CA alone; empty: none
	caBundle    string // that and the system's
	stream      string // log stream
	credentials Credentials
	launch      *launch
}

// environment is all that an instance's process finds in its environment: what
// Lambda sets, the user's variables over that, and the reserved ones over those.
// Nothing of rheo's own environment is in it.
func environment(fn *Function, s surroundings) []string {
	env := map[string]string{
		"PATH": strings.Join([]string{"/usr/local/bin", "/usr/bin", "/bin", filepath.Join(s.optDir, "bin")}, ":"),
		"LD_LIBRARY_PATH": strings.Join([]string{s.runtimeDir, filepath.Join(s.runtimeDir, "lib"),
			s.taskRoot, filepath.Join(s.taskRoot, "lib"), filepath.Join(s.optDir, "lib")}, ":"),
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
		"HOME":                            s.tempDir,
		"TMPDIR":                          s.tempDir,
		"AWS_XRAY_CONTEXT_MISSING":        "LOG_ERROR",
		"AWS_EC2_METADATA_DISABLED":       "true",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_FUNCTION_NAME":        fn.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     fn.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(fn.MemoryMiB),
	}
	for _, kv := range s.launch.env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	if s.endpoint != "" {
		env["AWS_ENDPOINT_URL"] = s.endpoint
	}
	if s.caFile != "" {
		env["NODE_EXTRA_CA_CERTS"] = s.caFile
		env["AWS_CA_BUNDLE"] = s.caBundle
		env["SSL_CERT_FILE"] = s.caBundle
		env["REQUESTS_CA_BUNDLE"] = s.caBundle
	}
	if s.proxy != "" {
		for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
			env[name] = s.proxy
		}
		env["NO_PROXY"] = noProxy(s)
		env["no_proxy"] = env["NO_PROXY"]
		env["NODE_USE_ENV_PROXY"] = "1"
	}
	for k, v := range fn.Env {
		if !reserved[k] && k != "" && !strings.ContainsAny(k, "=\x00") && !strings.ContainsRune(v, 0) {
			env[k] = v
		}
	}
	maps.Copy(env, map[string]string{
		"_HANDLER":                       fn.Handler,
		"AWS_LAMBDA_RUNTIME_API":         s.api,
		"LAMBDA_TASK_ROOT":               s.taskRoot,
		"LAMBDA_RUNTIME_DIR":             s.runtimeDir,
		"AWS_LAMBDA_LOG_GROUP_NAME":      fn.logGroup(),
		"AWS_LAMBDA_LOG_STREAM_NAME":     s.stream,
		"AWS_REGION":                     fn.Region,
		"AWS_DEFAULT_REGION":             fn.Region,
		"AWS_EXECUTION_ENV":              s.launch.name,
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
	})
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": s.credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY": s.credentials.SecretAccessKey, "AWS_SESSION_TOKEN": s.credentials.SessionToken,
	} {
		if v != "" {
			env[k] = v
		}
	}
	list := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// noProxy names what an instance reaches without the way out: itself and rheo.
func noProxy(s surroundings) string {
	list := "127.0.0.1,localhost"
	if _, host, ok := strings.Cut(s.endpoint, "://"); ok {
		host, _, _ = strings.Cut(host, "/")
		if i := strings.LastIndexByte(host, ':'); i > 0 {
			host = host[:i]
		}
		list += "," + strings.Trim(host, "[]")
	}
	return list
}
