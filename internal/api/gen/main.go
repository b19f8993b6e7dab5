// Command gen writes the Go side of an AWS API from its model.
//
//	go run ./gen -package kinesis models/kinesis/2013-12-02/service-2.json
//
// It makes a package beside api with four files: types.go (a struct per
// structure), enums.go (a string type per enumeration), shapes.go (the tables
// that the codecs walk) and operations.go (the table of operations). What it
// makes depends on the model only; there is nothing to set per service but, in
// patterns.go, the patterns that Go's regexp does not take and what is ignored.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	pkg := flag.String("package", "", "name of the package to write")
	out := flag.String("out", "", "directory to write to (default: the package's name)")
	flag.Parse()
	if *pkg == "" || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if *out == "" {
		*out = *pkg
	}
	if err := run(flag.Arg(0), *pkg, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(model, pkg, out string) error {
	files, err := Generate(model, pkg)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(out, name), content, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// Generate makes the files of package pkg from the model in a file.
func Generate(path, pkg string) (map[string][]byte, error) {
	m, err := readModel(path)
	if err != nil {
		return nil, err
	}
	if err := m.resolve(pkg); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	files := map[string][]byte{}
	for name, write := range map[string]func(*source, *Model){
		"types.go": writeTypes, "enums.go": writeEnums, "shapes.go": writeShapes, "operations.go": writeOperations,
	} {
		src := &source{}
		if name == "types.go" {
			src.story = fmt.Sprintf("// Package %s is the API of %s as AWS's model has it: types, constraints and\n// operations. A service implements the operations as methods, see [api.Op].\n", pkg, m.Metadata.ServiceFullName)
		}
		write(src, m)
		if files[name], err = src.format(pkg); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	return files, nil
}
