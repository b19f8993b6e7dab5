// Command load compares rheo with the limit of its machine and with two emulators.
//
// Every row is run in rounds, one server after the other in each round, each on
// an empty folder, so that what else the machine does falls on all alike. A
// request is encoded and signed before the clock starts. The result is the
// median of the rounds.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bench is the configuration of a run and what it has found.
type bench struct {
	limitBinary, rheoBinary, peersDir string
	sdkLoopBinary, counterBinary      string
	kclDir                            string
	keysFile                          string
	workDir                           string
	least                             time.Duration // each row runs at least this long
	idle                              time.Duration // before the RSS of an idle server is read
	wrap                              int64         // bytes of the limit's journal
	coldBytes                         int64
	killBytes                         int64
	rounds                            int
	servers                           map[kind]bool

	running atomic.Pointer[server] // the last one started, to be ended with us
	results results
	rss     map[kind]float64 // highest after a load row of this round, MB
	notes   []string
}

func main() {
	b := &bench{results: results{}}
	out := flag.String("out", "out", "folder of streams.json and, below data.tmp, of the servers' files")
	flag.StringVar(&b.limitBinary, "limit", "out/bin.tmp/limit", "binary of the limit server")
	flag.StringVar(&b.rheoBinary, "rheo", "out/bin.tmp/rheo", "binary of rheo")
	flag.StringVar(&b.sdkLoopBinary, "sdkloop", "out/bin.tmp/sdkloop", "binary of the loop that the agent is compared with")
	flag.StringVar(&b.counterBinary, "counter", "out/bin.tmp/counter", "the function in Go")
	flag.StringVar(&b.peersDir, "peers", "peers", "folder where npm ci was run")
	flag.StringVar(&b.kclDir, "kcl", "out/kcl.tmp", "folder of the built consumer of the Kinesis Client Library")
	flag.DurationVar(&b.least, "least", 30*time.Second, "measure each row for at least this long")
	flag.DurationVar(&b.idle, "idle", 30*time.Second, "wait before reading the memory of an idle server")
	flag.Int64Var(&b.wrap, "wrap", 2<<30, "bytes of the limit's journal (a quarter for one-record rows); rows run past its end (0: do not wait for it)")
	flag.Int64Var(&b.coldBytes, "cold", 1<<30, "bytes of records of the cold row")
	flag.Int64Var(&b.killBytes, "kill", 1<<30, "bytes of journal when rheo is killed")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds")
	rowPattern := flag.String("rows", ".", "pattern of the rows to run")
	servers := flag.String("servers", "limit,rheo,kinesis-mock,kinesalite,dynamodb-local", "servers to run")
	flag.Parse()
	b.servers = map[kind]bool{}
	for s := range strings.SplitSeq(*servers, ",") {
		b.servers[kind(s)] = true
	}
	chosen, err := regexp.Compile(*rowPattern)
	if err == nil {
		err = b.run(*out, chosen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(out string, chosen *regexp.Regexp) error {
	b.workDir = filepath.Join(out, "data.tmp")
	if err := os.MkdirAll(b.workDir, 0o700); err != nil {
		return err
	}
	if err := b.writeKeys(); err != nil {
		return err
	}
	b.endServerWithUs()
	rows := allRows()
	fmt.Printf("%d rounds, each row at least %v", b.rounds, b.least)
	if b.wrap > 0 {
		fmt.Printf(" and past one journal wrap (limit: %d MiB)", b.wrap>>20)
	}
	fmt.Println()
	var raw []string
	for round := range b.rounds {
		r, err := measureRaw(b.workDir)
		if err != nil {
			return err
		}
		raw = append(raw, fmt.Sprintf("round %d: %v", round+1, r))
		fmt.Println("raw,", raw[round])
		b.rss = map[kind]float64{}
		for _, row := range rows {
			if !chosen.MatchString(row.name) {
				continue
			}
			for _, k := range append([]kind{limit, rheo, dynamoDBLocal}, peers...) {
				if b.servers[k] {
					b.runOne(row, k, round)
				}
			}
		}
		for k, mb := range b.rss {
			b.results.add(figureRSSLoaded.name, k, mb)
		}
	}
	os.RemoveAll(b.workDir)
	b.results.print(os.Stdout, raw, b.notes)
	return b.results.write(filepath.Join(out, "streams.json"))
}

// runOne runs a row on one server and keeps what it found, a failure included.
func (b *bench) runOne(row row, k kind, round int) {
	run := row.run[k]
	if run == nil {
		return
	}
	dir := filepath.Join(b.workDir, string(k))
	if err := emptyFolder(dir, k == limit); err != nil {
		b.notes = append(b.notes, err.Error())
		return
	}
	unix.Sync() // what the last row left to be written is not this one's burden
	began := time.Now()
	found, note, err := run(b, k, dir)
	if s := b.running.Load(); s != nil {
		s.kill() // where the row failed half-way; no harm otherwise
	}
	fmt.Printf("round %d, %s, %s: ", round+1, row.name, k)
	if err != nil {
		fmt.Printf("FAILED: %v\n", err)
		b.notes = append(b.notes, fmt.Sprintf("%s on %s, round %d: %v", row.name, k, round+1, err))
	} else {
		for _, f := range found {
			fmt.Printf("%s %s, ", format(f.value), f.figure.unit)
		}
		fmt.Printf("%s (%.0f s)\n", note, time.Since(began).Seconds())
	}
	for _, f := range found {
		b.results.add(f.figure.name, k, f.value)
		if f.limit > 0 {
			b.results.add(f.figure.name, limit, f.limit)
		}
	}
}

// emptyFolder removes what the last row left. The limit's journal stays: it is recycled from row to row.
func emptyFolder(dir string, keepJournal bool) error {
	files, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, f := range files {
		if keepJournal && f.Name() == "journal" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

// writeKeys gives rheo the key pair that the generator signs with.
func (b *bench) writeKeys() error {
	b.keysFile = filepath.Join(b.workDir, "keys")
	return os.WriteFile(b.keysFile, []byte(accessKey+":"+secretKey+"\n"), 0o600)
}

func (b *bench) endServerWithUs() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-c
		if s := b.running.Load(); s != nil {
			s.kill()
		}
		os.Exit(1)
	}()
}
