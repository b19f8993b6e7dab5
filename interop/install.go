package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// What clients are installed with. On Debian as root a missing one is installed,
// elsewhere it is named with the command that does it.
var debianPackages = map[string]string{
	"python3":  "python3 python3-venv",
	"npm":      "nodejs npm",
	"node":     "nodejs npm",
	"mvn":      "maven openjdk-17-jdk-headless",
	"javac":    "openjdk-17-jdk-headless",
	"chromium": "chromium",
}

var aptLock sync.Mutex // apt runs once at a time

func needs(ctx context.Context, tools ...string) error {
	aptLock.Lock()
	defer aptLock.Unlock()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		packages, known := debianPackages[tool]
		if !known {
			return fmt.Errorf("%s is not on the PATH", tool)
		}
		_, debianErr := exec.LookPath("apt-get")
		if os.Geteuid() != 0 || debianErr != nil {
			return fmt.Errorf("%s is not on the PATH; on Debian: sudo apt-get install %s", tool, packages)
		}
		if err := do(ctx, "/", "apt-get", "update", "-qq"); err != nil {
			return err
		}
		args := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, strings.Fields(packages)...)
		if err := do(ctx, "/", "apt-get", args...); err != nil {
			return err
		}
	}
	return nil
}

type commandError struct {
	cmd *exec.Cmd
	out []byte
	err error
}

func (e *commandError) Error() string {
	return fmt.Sprintf("%s: %v\n%s", strings.Join(e.cmd.Args, " "), e.err, bytes.TrimSpace(tail(e.out, 4000)))
}

func do(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return &commandError{cmd, out, err}
	}
	return nil
}

// once runs install unless it has already been run with the same inputs, files
// or folders under the interop folder.
func (h *house) once(name string, inputs []string, install func() error) error {
	sum := sha256.New()
	for _, in := range inputs {
		err := filepath.WalkDir(filepath.Join(h.root, "interop", in), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			fmt.Fprintf(sum, "%s %d\n%s", e.Name(), len(b), b)
			return err
		})
		if err != nil {
			return err
		}
	}
	stamp, want := h.cache(name+".installed"), hex.EncodeToString(sum.Sum(nil))
	if got, err := os.ReadFile(stamp); err == nil && string(got) == want {
		return nil
	}
	if err := install(); err != nil {
		return err
	}
	return os.WriteFile(stamp, []byte(want), 0o644)
}

func installPython(name string) func(context.Context, *house) error {
	return func(ctx context.Context, h *house) error {
		if err := needs(ctx, "python3"); err != nil {
			return err
		}
		return h.once(name, []string{name + "/requirements.txt"}, func() error {
			if err := do(ctx, h.root, "python3", "-m", "venv", "--clear", h.cache(name)); err != nil {
				return err
			}
			return do(ctx, filepath.Join(h.root, "interop", name), h.cache(name, "bin", "pip"), "install", "-q",
				"--disable-pip-version-check", "--no-deps", "-r", "requirements.txt")
		})
	}
}

func installNode(ctx context.Context, h *house) error {
	if err := needs(ctx, "node", "npm"); err != nil {
		return err
	}
	return h.once("js", []string{"js/package-lock.json"}, func() error {
		return do(ctx, filepath.Join(h.root, "interop", "js"), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	})
}

func buildJava(ctx context.Context, h *house) error {
	if err := needs(ctx, "javac", "mvn"); err != nil {
		return err
	}
	return h.once("java", []string{"java/pom.xml", "java/src"}, func() error {
		for _, version := range []string{javaSDK, javaOldSDK} {
			dir := h.cache("java-" + version)
			err := do(ctx, filepath.Join(h.root, "interop", "java"), "mvn", "-q", "-B", "-Dsdk.version="+version,
				"-Dbuild.dir="+dir, "-Dmdep.outputFile="+filepath.Join(dir, "classpath"), "clean", "compile", "dependency:build-classpath")
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func buildRust(ctx context.Context, h *house) error {
	if err := needs(ctx, "cargo"); err != nil {
		return err
	}
	return do(ctx, filepath.Join(h.root, "interop", "rust"), "cargo", "build", "-q", "--locked", "--target-dir", h.cache("rust"))
}

func buildGo(folder string) func(context.Context, *house) error {
	return func(ctx context.Context, h *house) error { return h.goBuild(ctx, folder, "interop-"+folder) }
}

func (h *house) goBuild(ctx context.Context, folder, binary string) error {
	return do(ctx, h.interop(), "go", "build", "-o", h.cache("bin", binary), "./"+folder)
}

func buildBrowser(ctx context.Context, h *house) error {
	if chromium() == "" {
		if err := needs(ctx, "chromium"); err != nil {
			return err
		}
	}
	return buildGo("browser")(ctx, h)
}

// chromium is the browser, under any of the names that it is packaged by.
func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// mavenLock keeps builds apart that have a part in common: the producer library, and the local repository.
var mavenLock sync.Mutex

// buildMaven compiles the Java in a folder into the cache and notes what it depends on.
func (h *house) buildMaven(ctx context.Context, folder, name string, properties ...string) error {
	if err := needs(ctx, "javac", "mvn"); err != nil {
		return err
	}
	mavenLock.Lock()
	defer mavenLock.Unlock()
	return h.once(name, []string{folder + "/pom.xml", folder + "/src"}, func() error {
		args := append([]string{"-q", "-B", "-Dbuild.dir=" + h.cache(name), "-Dmdep.outputFile=" + h.cache(name, "classpath")}, properties...)
		return do(ctx, h.interop(folder), "mvn", append(args, "clean", "compile", "dependency:build-classpath")...)
	})
}

func buildKPL(ctx context.Context, h *house) error {
	if err := h.buildMaven(ctx, "kpl", "kpl"); err != nil {
		return err
	}
	return h.goBuild(ctx, "kpl", "interop-kpl")
}

func buildKCL(name, version string) func(context.Context, *house) error {
	return func(ctx context.Context, h *house) error {
		if !h.leftOut("kpl") {
			if err := h.buildMaven(ctx, "kpl", "kpl"); err != nil {
				return err
			}
		}
		if err := h.buildMaven(ctx, "kcl", "kcl-"+version, "-Dkcl.version="+version); err != nil {
			return err
		}
		return h.goBuild(ctx, "workers", "interop-workers-"+name)
	}
}

// installKCLPython unpacks the package, whose installation would fetch JARs in a way of its own, and has Maven fetch those.
func installKCLPython(ctx context.Context, h *house) error {
	if err := needs(ctx, "python3"); err != nil {
		return err
	}
	dir := h.cache("kclpy")
	err := h.once("kclpy", []string{"kclpy/requirements.txt"}, func() error {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := do(ctx, h.root, "python3", "-m", "venv", filepath.Join(dir, "venv")); err != nil {
			return err
		}
		if err := do(ctx, h.interop("kclpy"), filepath.Join(dir, "venv", "bin", "pip"), "download", "-q", "--disable-pip-version-check",
			"--no-deps", "--no-binary", "amazon-kclpy", "-d", dir, "-r", "requirements.txt"); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(dir, "amazon*.tar.gz"))
		if err != nil || len(archives) != 1 {
			return fmt.Errorf("pip fetched %q (%v), want one archive", archives, err)
		}
		if err := do(ctx, dir, "tar", "-xzf", archives[0]); err != nil {
			return err
		}
		if err := os.Rename(strings.TrimSuffix(archives[0], ".tar.gz"), filepath.Join(dir, "package")); err != nil {
			return err
		}
		return h.daemonJars(ctx, "kclpy", filepath.Join(dir, "package", "pom.xml"))
	})
	if err != nil {
		return err
	}
	return h.goBuild(ctx, "workers", "interop-workers-kclpy")
}

func installKCLNode(ctx context.Context, h *house) error {
	if err := needs(ctx, "node", "npm"); err != nil {
		return err
	}
	err := h.once("kclnode", []string{"kclnode/package-lock.json"}, func() error {
		if err := do(ctx, h.interop("kclnode"), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"); err != nil {
			return err
		}
		return h.daemonJars(ctx, "kclnode", h.interop("kclnode", "node_modules", "aws-kcl", "pom.xml"))
	})
	if err != nil {
		return err
	}
	return h.goBuild(ctx, "workers", "interop-workers-kclnode")
}

// daemonJars fetches the JARs of the multi-language daemon that a package names in a pom of its own, exactly those,
// as the package's own script would.
func (h *house) daemonJars(ctx context.Context, name, pom string) error {
	if err := needs(ctx, "javac", "mvn"); err != nil {
		return err
	}
	mavenLock.Lock()
	defer mavenLock.Unlock()
	b, err := os.ReadFile(pom)
	if err != nil {
		return err
	}
	const version = "<modelVersion>4.0.0</modelVersion>"
	text := string(b)
	if strings.Count(text, version) == 1 { // it is a bare list, without coordinates
		text = strings.Replace(text, version, version+"<groupId>com.rheostream</groupId><artifactId>interop-"+name+"</artifactId><version>1</version>", 1)
	}
	if err := os.MkdirAll(h.cache(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(h.cache(name, "pom.xml"), []byte(text), 0o644); err != nil {
		return err
	}
	jars := h.cache(name, "jars")
	if err := os.RemoveAll(jars); err != nil {
		return err
	}
	return do(ctx, h.cache(name), "mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
		"-DexcludeTransitive=true", "-DoutputDirectory="+jars)
}

// installOracles fetches the DynamoDBs that rheo's is compared with, one by npm and one by Maven.
func installOracles(ctx context.Context, h *house) error {
	if err := needs(ctx, "node", "npm", "javac", "mvn"); err != nil {
		return err
	}
	err := h.once("oracles-npm", []string{"oracles/package-lock.json"}, func() error {
		return do(ctx, h.interop("oracles"), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	})
	if err != nil {
		return err
	}
	mavenLock.Lock()
	defer mavenLock.Unlock()
	err = h.once("oracles-maven", []string{"oracles/pom.xml"}, func() error {
		jars := h.cache("oracles", "jars")
		if err := os.RemoveAll(jars); err != nil {
			return err
		}
		return do(ctx, h.interop("oracles"), "mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
			"-DincludeScope=runtime", "-DoutputDirectory="+jars)
	})
	if err != nil {
		return err
	}
	return h.goBuild(ctx, "oracles", "interop-oracles")
}
