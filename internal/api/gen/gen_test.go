package main

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCurrent: what is committed is what the models give now.
func TestCurrent(t *testing.T) {
	directives, err := os.ReadFile("../generate.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^//go:generate go run ./gen -package (\S+) (\S+)$`).FindAllSubmatch(directives, -1)
	if len(lines) == 0 {
		t.Fatal("generate.go generates nothing")
	}
	for _, l := range lines {
		pkg, model := string(l[1]), string(l[2])
		files, err := Generate(filepath.Join("..", model), pkg)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range files {
			have, err := os.ReadFile(filepath.Join("..", pkg, name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(have, want) {
				t.Errorf("%s/%s is not current: run go generate ./internal/api", pkg, name)
			}
		}
	}
}

// TestEveryModel: the generator takes each model that we have, and what it
// makes is Go that compiles.
func TestEveryModel(t *testing.T) {
	models, err := filepath.Glob("../models/*/*/service-2.json")
	if err != nil || len(models) < 19 {
		t.Fatalf("found %d models, want the 19 of the project (%v)", len(models), err)
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "source", nil)
	for _, model := range models {
		service := filepath.Base(filepath.Dir(filepath.Dir(model)))
		t.Run(service, func(t *testing.T) {
			pkg := strings.ReplaceAll(service, "-", "")
			files, err := Generate(model, pkg)
			if err != nil {
				t.Fatal(err)
			}
			var parsed []*ast.File
			for _, name := range slices.Sorted(maps.Keys(files)) {
				f, err := parser.ParseFile(fset, pkg+"/"+name, files[name], 0)
				if err != nil {
					t.Fatal(err)
				}
				parsed = append(parsed, f)
			}
			conf := types.Config{Importer: imports}
			if _, err := conf.Check(pkg, fset, parsed, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTranslate shows how the patterns that Go's regexp does not take are read.
func TestTranslate(t *testing.T) {
	for pattern, values := range map[string]struct{ valid, invalid []string }{
		`^(?!\s*$).+`:                  {[]string{"a", " a"}, []string{" ", ""}},
		`[0-9A-Za-z\.\-_]*(?<!\.)`:     {[]string{"a.b", ""}, []string{"a.", "a/b"}},
		`(?!^[0-9]+$)([a-zA-Z0-9-_]+)`: {[]string{"a1", "1a"}, []string{"12", "a b"}},
		`[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*`: {[]string{"a\tb", "😀"}, []string{"a\nb", "\uFFFE"}},
		`^(?!aws:)[\p{L}\p{Z}\p{N}_.:\/=+\-@%]*$`:                  {[]string{"team", "é"}, []string{"aws:x", "a;b"}},
		`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`:                {[]string{"a-b", "abc"}, []string{"a--b", "-ab", "ab-"}},
	} {
		match, not, err := translate(pattern)
		if err != nil {
			t.Fatal(err)
		}
		ok := func(v string) bool {
			return regexp.MustCompile(`^(?:`+match+`)$`).MatchString(v) &&
				(not == "" || !regexp.MustCompile(`^(?:`+not+`)$`).MatchString(v))
		}
		for _, v := range values.valid {
			if !ok(v) {
				t.Errorf("%s: %q should match", pattern, v)
			}
		}
		for _, v := range values.invalid {
			if ok(v) {
				t.Errorf("%s: %q should not match", pattern, v)
			}
		}
	}
	if _, _, err := translate(`a(?=b)`); err == nil {
		t.Error("an unknown look-ahead was taken")
	}
}
