// Command lambda runs servers whose functions are local processes, and has functions in
// Go, Node.js and Python consume one stream, each by a mapping of its own: while it is
// written to, a shard is split and two are merged, and the server is asked to end and
// started again, then killed and started again. One record is poison.
//
// Functions tell what they handle by a stream each, so that what they told is there
// when their invocation is answered (see bootstrap/ and handlers/). At the end that is
// compared with what is in the stream, see check.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	var c config
	flag.StringVar(&c.rheo, "rheo", "", "binary of the servers")
	flag.StringVar(&c.bootstrap, "bootstrap", "", "the function in Go")
	flag.StringVar(&c.boto, "boto", "", "folder with the SDK for Python")
	flag.StringVar(&c.modules, "modules", "", "folder with the SDK for JavaScript")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	if err := run(ctx, c); err != nil {
		fmt.Println("MISMATCH", err)
		os.Exit(1)
	}
}

type config struct{ rheo, bootstrap, boto, modules string }
