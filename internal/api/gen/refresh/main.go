// Command refresh replaces the API models by those of the newest botocore on
// PyPI, without their prose:
//
//	go run ./internal/api/gen/refresh [-wheel botocore.whl] internal/api/models
//
// Which services it takes is what directories stand in models. It needs pip to
// download, or the wheel of an earlier download. `go generate ./internal/api`
// then makes the Go side anew.
package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

func main() {
	wheel := flag.String("wheel", "", "botocore's wheel (default: the newest, by pip download)")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*wheel, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "refresh:", err)
		os.Exit(1)
	}
}

func run(wheel, models string) error {
	if wheel == "" {
		dir, err := os.MkdirTemp("", "botocore")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		pip := exec.Command("pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", dir, "botocore")
		pip.Stdout, pip.Stderr = os.Stdout, os.Stderr
		if err := pip.Run(); err != nil {
			return fmt.Errorf("pip download botocore: %w", err)
		}
		found, _ := filepath.Glob(filepath.Join(dir, "botocore-*.whl"))
		if len(found) != 1 {
			return errors.New("pip download botocore left no wheel")
		}
		wheel = found[0]
	}
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer z.Close()
	dirs, err := os.ReadDir(models)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if d.IsDir() {
			if err := refresh(&z.Reader, models, d.Name()); err != nil {
				return fmt.Errorf("%s: %w", d.Name(), err)
			}
		}
	}
	version := strings.TrimSuffix(filepath.Base(wheel), "-py3-none-any.whl")
	return os.WriteFile(filepath.Join(models, "VERSION"), []byte(version+"\n"), 0o666)
}

// refresh takes a service's newest model out of the wheel.
func refresh(z *zip.Reader, models, service string) error {
	var newest *zip.File // API versions sort by date
	for _, f := range z.File {
		if ok, _ := path.Match("botocore/data/"+service+"/*/service-2.json.gz", f.Name); ok && (newest == nil || f.Name > newest.Name) {
			newest = f
		}
	}
	if newest == nil {
		return errors.New("botocore has no such model")
	}
	r, err := newest.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	bare, err := strip(unzipped)
	if err != nil {
		return err
	}
	dir := filepath.Join(models, service, path.Base(path.Dir(newest.Name)))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "service-2.json"), bare, 0o666)
}

// prose are the keys whose strings explain; under "members" the same words are names.
var prose = map[string]bool{
	"documentation": true, "documentationUrl": true, "deprecatedMessage": true, "deprecatedSince": true,
}

// strip copies a model without its prose, one space of indentation a level.
func strip(r io.Reader) ([]byte, error) {
	var out bytes.Buffer
	d := jsontext.NewDecoder(r)
	e := jsontext.NewEncoder(&out, jsontext.WithIndent(" "))
	for {
		if kind, n := d.StackIndex(d.StackDepth()); kind == '{' && n%2 == 0 && d.PeekKind() == '"' {
			name, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String()
			if prose[key] && d.PeekKind() == '"' {
				if err := d.SkipValue(); err != nil {
					return nil, err
				}
				continue
			}
			if err := e.WriteToken(jsontext.String(key)); err != nil {
				return nil, err
			}
			continue
		}
		t, err := d.ReadToken()
		if err == io.EOF {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		if err := e.WriteToken(t); err != nil {
			return nil, err
		}
	}
}
