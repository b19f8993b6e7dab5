package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A judge asks all servers the same and compares what they answer.
type judge struct {
	ours    *server
	oracles []*server
	known   *differences
	chosen  *regexp.Regexp
	asking  string // the oracle that is asked; empty: all

	kinds                            bool // errors are only compared by their kind
	alike                            bool // all have answered the last question as rheo did
	asked, agreed, expected, unknown int
}

func (j *judge) only(pattern string) (err error) {
	j.chosen, err = regexp.Compile(pattern)
	return err
}

// servers are rheo and the oracles that are asked.
func (j *judge) servers() []*server {
	list := []*server{j.ours}
	for _, o := range j.oracles {
		if j.asking == "" || j.asking == o.name {
			list = append(list, o)
		}
	}
	return list
}

// same asks all and tells of those that do not answer as rheo does.
func (j *judge) same(ctx context.Context, operation, input string) error {
	answers, err := j.each(ctx, operation, input)
	if err != nil {
		return err
	}
	if !j.chosen.MatchString(operation + " " + input) {
		j.alike = true
		return nil
	}
	j.asked++
	j.alike = true
	ours := answers[0]
	asked := j.servers()[1:]
	agrees := make([]bool, len(asked))
	for i, o := range asked {
		theirs := answers[i+1]
		if o.name == "local" && !strings.Contains(input, "ReturnConsumedCapacity") {
			theirs.body = unaskedCapacity.ReplaceAll(theirs.body, []byte("{}"))
			answers[i+1] = theirs
		}
		words := o.wordy(operation) || bytes.Contains(theirs.body, []byte("Expression: ")) // DynamoDB Local parses as DynamoDB does
		words = words && !j.kinds
		mine, his := ours.compared(operation, words), theirs.compared(operation, words)
		if o.name == "dynalite" { // whose parser has words of its own
			mine, his = cutSyntaxError(mine), cutSyntaxError(his)
		}
		agrees[i] = mine == his
		j.alike = j.alike && agrees[i]
	}
	for i, o := range asked {
		mine, his := ours.compared(operation, true), answers[i+1].compared(operation, true)
		switch {
		case agrees[i]:
			j.agreed++
		case j.known.has(o.name, operation, input, mine, his, len(asked) < 2 || slices.Contains(agrees, true)):
			j.expected++
		default:
			j.unknown++
			fmt.Printf("%s %s\n  %-8s %s\n  rheo     %s\n", operation, clip(input), o.name, clip(his), clip(mine))
		}
	}
	return nil
}

// unaskedCapacity is what DynamoDB Local answers where there was nothing to delete.
var unaskedCapacity = regexp.MustCompile(`^\{"ConsumedCapacity":\{[^{}]*\}\}$`)

func cutSyntaxError(answer string) string {
	if at := strings.Index(answer, "Syntax error;"); at >= 0 {
		return answer[:at]
	}
	return answer
}

// all has all servers do something, without comparing how they say that they have.
func (j *judge) all(ctx context.Context, operation, input string) error {
	answers, err := j.each(ctx, operation, input)
	if err != nil {
		return err
	}
	for i, a := range answers {
		if a.status != 200 {
			return fmt.Errorf("%s does not do %s %s: %s", j.servers()[i].name, operation, input, a.body)
		}
	}
	return nil
}

// each asks rheo and then the oracles, all at once.
func (j *judge) each(ctx context.Context, operation, input string) ([]reply, error) {
	servers := j.servers()
	answers, errs := make([]reply, len(servers)), make([]error, len(servers))
	var g sync.WaitGroup
	for i, s := range servers {
		g.Go(func() { answers[i], errs[i] = s.ask(ctx, operation, input) })
	}
	g.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s: %s %s: %w", servers[i].name, operation, clip(input), err)
		}
	}
	return answers, nil
}

func clip(s string) string {
	const most = 900
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		return fmt.Sprintf("%s... (%d bytes)", s[:most], len(s))
	}
	return s
}
