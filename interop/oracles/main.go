// Command oracles asks rheo and two other DynamoDBs the same and compares what they
// answer: dynalite, whose errors were copied from AWS's answers, and DynamoDB Local,
// AWS's own, whose wording is another. It starts the two itself; rheo is where
// AWS_ENDPOINT_URL says.
//
//	oracles [-only expression] [-rounds 60] [-seed 1] [-words] -dynalite file -local classpath -libraries folder
//
// What is asked is in cases/:
//
//	fixture.json     the item that expressions are about, and what placeholders stand for
//	conditions.txt   an expression a line: as condition of a write, and as filter
//	updates.txt      an expression a line
//	projections.txt  an expression a line: of a read, and of a query
//	keys.txt         an expression a line: key conditions
//	expected.txt     conditions from before expressions, a line each: of a write, and as filter
//	attributes.txt   updates from before expressions
//	values.txt       an attribute's value a line: written and read again
//	*.script         requests, one after the other
//
// and random expressions of the same grammar are added, some of them broken. Answers
// are compared by status, kind of error, and everything in a good answer. The text of
// errors is compared with dynalite's, and where it is about an expression with that of
// DynamoDB Local, whose parser is DynamoDB's own; not for random requests, for which of
// several mistakes is told of is not known. Where the three do not agree,
// differences.txt has to say why, or the program fails; and so it does when something
// there is no longer so.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"
)

//go:embed cases differences.txt
var files embed.FS

func main() {
	dynalite := flag.String("dynalite", "", "dynalite's cli.js; empty: it is not asked")
	local := flag.String("local", "", "class path of DynamoDB Local; empty: it is not asked")
	libraries := flag.String("libraries", "", "folder of DynamoDB Local's native library")
	only := flag.String("only", "", "regular expression of the cases that are asked, as they are printed")
	rounds := flag.Int("rounds", roundsDefault(), "random expressions of each kind")
	words := flag.Bool("words", false, "compare the words of DynamoDB Local's errors, too")
	seed := flag.Uint64("seed", 1, "of the random expressions")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dynalite, *local, *libraries, *only, *rounds, *seed, *words); err != nil {
		fmt.Fprintln(os.Stderr, "oracles:", err)
		os.Exit(1)
	}
}

// roundsDefault is ORACLES_ROUNDS, or so many that it takes well under a minute.
func roundsDefault() int {
	if n, err := strconv.Atoi(os.Getenv("ORACLES_ROUNDS")); err == nil {
		return n
	}
	return 60
}

func run(ctx context.Context, dynalite, local, libraries, only string, rounds int, seed uint64, words bool) (err error) {
	began := time.Now()
	known, err := readDifferences()
	if err != nil {
		return err
	}
	j := &judge{ours: &server{name: "rheo", url: os.Getenv("AWS_ENDPOINT_URL")}, known: known}
	if j.ours.url == "" {
		return errors.New("AWS_ENDPOINT_URL does not say where rheo is")
	}
	if dynalite != "" {
		s, err := startDynalite(ctx, dynalite)
		if err != nil {
			return err
		}
		defer s.stop()
		j.oracles = append(j.oracles, s)
	}
	if local != "" {
		s, err := startLocal(ctx, local, libraries)
		if err != nil {
			return err
		}
		defer s.stop()
		if words {
			s.wordy = func(string) bool { return true }
		}
		j.oracles = append(j.oracles, s)
	}
	suites, err := readSuites(rounds, seed)
	if err != nil {
		return err
	}
	if err := j.only(only); err != nil {
		return err
	}
	for _, s := range suites {
		before := j.asked
		if err := s.run(ctx, j); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("%-12s %5d requests\n", s.name, j.asked-before)
	}
	fmt.Printf("%d requests, %d answers agree, %d differ as known, %d otherwise; %.1f s\n", j.asked, j.agreed, j.expected, j.unknown, time.Since(began).Seconds())
	if j.unknown > 0 {
		return fmt.Errorf("%d answers differ, and differences.txt does not know of it", j.unknown)
	}
	if only == "" {
		return known.unused(j.oracles)
	}
	return nil
}
