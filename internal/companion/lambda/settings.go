package lambda

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	api "github.com/rheostream/rheo/internal/api/lambda"
)

// What Lambda allows of a function, where the model allows more.
const (
	timeoutMax     = 900   // s
	memoryMax      = 10240 // MiB
	storageMax     = 10240 // MiB
	environmentMax = 4096  // bytes of the variables as JSON
	tagsMax        = 50

	timeoutDefault = 3
	memoryDefault  = 128
	storageDefault = 512
)

// settings are the members that CreateFunction and UpdateFunctionConfiguration
// share; what was not given is nil or empty.
type settings struct {
	runtime     api.Runtime
	role        *string
	handler     *string
	description *string
	timeout     *int32
	memory      *int32
	storage     *api.EphemeralStorage
	environment *api.Environment
	deadLetter  *api.DeadLetterConfig
	logging     *api.LoggingConfig

	// What is refused by name.
	vpc         *api.VpcConfig
	kmsKey      *string
	tracing     *api.TracingConfig
	layers      []string
	fileSystems []api.FileSystemConfig
	image       *api.ImageConfig
	snapStart   *api.SnapStart
	capacity    *api.CapacityProviderConfig
	durable     *api.DurableConfig
	runtimeARN  *api.FunctionRuntimeConfig
	accelerator *api.AcceleratorConfig
}

func ofCreate(in *api.CreateFunctionInput) settings {
	return settings{in.Runtime, in.Role, in.Handler, in.Description, in.Timeout, in.MemorySize, in.EphemeralStorage, in.Environment, in.DeadLetterConfig, in.LoggingConfig,
		in.VpcConfig, in.KMSKeyArn, in.TracingConfig, in.Layers, in.FileSystemConfigs, in.ImageConfig, in.SnapStart, in.CapacityProviderConfig, in.DurableConfig, in.RuntimeConfig, in.AcceleratorConfig}
}

func ofUpdate(in *api.UpdateFunctionConfigurationInput) settings {
	return settings{in.Runtime, in.Role, in.Handler, in.Description, in.Timeout, in.MemorySize, in.EphemeralStorage, in.Environment, in.DeadLetterConfig, in.LoggingConfig,
		in.VpcConfig, in.KMSKeyArn, in.TracingConfig, in.Layers, in.FileSystemConfigs, in.ImageConfig, in.SnapStart, in.CapacityProviderConfig, in.DurableConfig, in.RuntimeConfig, in.AcceleratorConfig}
}

// refuse finds members that mean what is not here. Those that ask for nothing are taken.
func (g *settings) refuse() error {
	for _, m := range []struct {
		given       bool
		member, why string
	}{
		{g.vpc != nil && len(g.vpc.SubnetIds)+len(g.vpc.SecurityGroupIds) > 0, "VpcConfig", "functions run on this machine's network"},
		{g.kmsKey != nil && *g.kmsKey != "", "KMSKeyArn", "environments are encrypted with the server's key"},
		{g.tracing != nil && g.tracing.Mode == api.TracingModeActive, "TracingConfig.Mode Active", "there is no X-Ray"},
		{len(g.layers) > 0, "Layers", "put what they have into the package"},
		{len(g.fileSystems) > 0, "FileSystemConfigs", "there are no file systems to mount"},
		{g.image != nil, "ImageConfig", "functions are zip packages"},
		{g.snapStart != nil && g.snapStart.ApplyOn == api.SnapStartApplyOnPublishedVersions, "SnapStart", "there are no snapshots of runtimes"},
		{g.capacity != nil, "CapacityProviderConfig", "there are no managed instances"},
		{g.durable != nil, "DurableConfig", "there are no durable executions"},
		{g.runtimeARN != nil, "RuntimeConfig", "runtimes are those of this machine"},
		{g.accelerator != nil, "AcceleratorConfig", "there are no accelerators"},
	} {
		if m.given {
			return unsupported(m.member, m.why)
		}
	}
	return nil
}

// apply puts what was given into v, or says what is wrong with it.
func (s *Service) apply(g settings, v *versionDoc) error {
	if err := g.refuse(); err != nil {
		return err
	}
	if g.runtime != "" {
		if err := checkRuntime(string(g.runtime)); err != nil {
			return err
		}
		v.Runtime = string(g.runtime)
	}
	setString(&v.Role, g.role)
	setString(&v.Handler, g.handler)
	setString(&v.Description, g.description)
	if v.Runtime == "" || v.Handler == "" {
		return invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	for _, n := range []struct {
		member string
		given  *int32
		max    int32
		to     *int32
	}{
		{"timeout", g.timeout, timeoutMax, &v.Timeout},
		{"memorySize", g.memory, memoryMax, &v.Memory},
	} {
		if n.given != nil {
			if *n.given > n.max {
				return validation("Value '%d' at '%s' failed to satisfy constraint: Member must have value less than or equal to %d", *n.given, n.member, n.max)
			}
			*n.to = *n.given
		}
	}
	if g.storage != nil {
		if *g.storage.Size > storageMax {
			return validation("Value '%d' at 'ephemeralStorage.size' failed to satisfy constraint: Member must have value less than or equal to %d", *g.storage.Size, storageMax)
		}
		v.Storage = *g.storage.Size
	}
	if g.environment != nil {
		if err := s.applyEnvironment(g.environment.Variables, v); err != nil {
			return err
		}
	}
	if g.deadLetter != nil {
		target := ""
		setString(&target, g.deadLetter.TargetArn)
		if target != "" {
			return unsupported("DeadLetterConfig.TargetArn", "there are no queues and topics here; an on-failure destination can be a function or a bucket")
		}
		v.DeadLetter = ""
	}
	if g.logging != nil {
		return applyLogging(g.logging, &v.Logging)
	}
	return nil
}

func setString(to *string, given *string) {
	if given != nil {
		*to = *given
	}
}

// reserved are the variables that Lambda sets itself.
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

func (s *Service) applyEnvironment(vars map[string]string, v *versionDoc) error {
	var mine []string
	for name := range vars {
		if slices.Contains(reserved, name) {
			mine = append(mine, name)
		}
	}
	if len(mine) > 0 {
		slices.Sort(mine)
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(mine, ", "))
	}
	text, err := json.Marshal(vars)
	if err != nil {
		return err
	}
	if vars != nil && len(text) > environmentMax {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %s", text)
	}
	if vars == nil {
		vars = map[string]string{}
	}
	v.Environment, err = seal(s.cfg.Sealer, sealEnvironment, vars)
	return err
}

func applyLogging(g *api.LoggingConfig, d *loggingDoc) error {
	if g.LogFormat != "" {
		d.JSON = g.LogFormat == api.LogFormatJson
	}
	if !d.JSON && (g.ApplicationLogLevel != "" || g.SystemLogLevel != "") {
		return invalid(`LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or change the LogFormat to "JSON" and try again.`)
	}
	if g.LogGroup != nil {
		d.Group = *g.LogGroup
	}
	if !d.JSON {
		d.Application, d.System = "", ""
		return nil
	}
	for _, l := range []struct {
		to    *string
		given string
	}{{&d.Application, string(g.ApplicationLogLevel)}, {&d.System, string(g.SystemLogLevel)}} {
		switch {
		case l.given != "":
			*l.to = l.given
		case *l.to == "":
			*l.to = "INFO"
		}
	}
	return nil
}

// checkRuntime takes the runtimes that there are runtime clients for. Whether this
// machine has them is seen when a function is run.
func checkRuntime(name string) error {
	if name == "provided.al2023" || name == "provided.al2" {
		return nil
	}
	for _, family := range []struct {
		prefix string
		oldest int
	}{{"nodejs", 16}, {"python3.", 8}, {"java", 8}} {
		rest, ok := strings.CutPrefix(name, family.prefix)
		if !ok {
			continue
		}
		if name == "java8" || strings.HasSuffix(name, "-edge") {
			break
		}
		number := rest
		for i := range len(rest) {
			if rest[i] < '0' || rest[i] > '9' {
				number = rest[:i]
				break
			}
		}
		if n, err := strconv.Atoi(number); err == nil && n >= family.oldest {
			return nil
		}
		break
	}
	for _, prefix := range []string{"ruby3.2", "ruby3.3", "ruby3.4", "ruby4", "dotnet"} {
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, "dotnetcore") {
			return invalid("Runtime %s is not in the part of Lambda that rheo serves: provided.al2023, provided.al2, nodejs, python3 and java are.", name)
		}
	}
	return invalid("The runtime parameter of %s is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.", name)
}

// checkArchitecture takes this machine's.
func checkArchitecture(given []api.Architecture) error {
	for _, a := range given {
		if string(a) != architecture() {
			return unsupported("Architectures ["+string(a)+"]", "functions run on this machine, which is "+architecture())
		}
	}
	return nil
}

// checkTags refuses tags that a resource cannot have.
func checkTags(tags map[string]string) error {
	if len(tags) > tagsMax {
		return invalid("Number of tags exceeds resource tag limit.")
	}
	for key := range tags {
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return invalid("Tag keys that begin with aws: are reserved: %s", key)
		}
	}
	return nil
}
