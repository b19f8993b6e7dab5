package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A difference is one that is known: an oracle answers otherwise than rheo, for a
// reason.
type difference struct {
	oracle                string // "both" is any
	alone                 bool   // the other oracle has to answer as rheo does
	operations            []string
	request, theirs, ours *regexp.Regexp
	reason                string
	times                 int // that it was met with
}

type differences struct{ list []*difference }

// readDifferences reads differences.txt.
func readDifferences() (*differences, error) {
	b, err := files.ReadFile("differences.txt")
	if err != nil {
		return nil, err
	}
	k := new(differences)
	for block := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n\n") {
		if strings.HasPrefix(block, "#") || block == "" {
			continue
		}
		d, err := readDifference(strings.Split(block, "\n"))
		if err != nil {
			return nil, fmt.Errorf("differences.txt: %w in\n%s", err, block)
		}
		k.list = append(k.list, d)
	}
	return k, nil
}

// readDifference reads one: whose, of which operations and requests; what each
// answers; and why.
func readDifference(lines []string) (*difference, error) {
	if len(lines) < 4 {
		return nil, fmt.Errorf("no reason")
	}
	d := new(difference)
	whose, rest, ok := strings.Cut(lines[0], " ")
	if !ok {
		return nil, fmt.Errorf("no operation")
	}
	rest, d.alone = strings.CutPrefix(rest, "alone ")
	operations, request, _ := strings.Cut(rest, " ")
	d.oracle, d.operations, d.reason = whose, strings.Split(operations, ","), strings.Join(lines[3:], "\n")
	theirs, ok1 := strings.CutPrefix(lines[1], "  theirs: ")
	ours, ok2 := strings.CutPrefix(lines[2], "  rheo:   ")
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("not what each answers")
	}
	var errs [3]error
	d.request, errs[0] = regexp.Compile(request)
	d.theirs, errs[1] = regexp.Compile("^(?s:" + theirs + ")")
	d.ours, errs[2] = regexp.Compile("^(?s:" + ours + ")")
	return d, errors.Join(errs[:]...)
}

// has says that a difference is known, and counts it. alone: the other oracle answers
// as rheo does.
func (k *differences) has(oracle, operation, input, ours, theirs string, alone bool) bool {
	for _, d := range k.list {
		if (d.oracle == "both" || d.oracle == oracle) && (alone || !d.alone) && slices.Contains(d.operations, operation) &&
			d.request.MatchString(input) && d.ours.MatchString(ours) && d.theirs.MatchString(theirs) {
			d.times++
			return true
		}
	}
	return false
}

// unused says which differences there are no longer.
func (k *differences) unused(asked []*server) error {
	var list []string
	for _, d := range k.list {
		could := slices.ContainsFunc(asked, func(s *server) bool { return d.oracle == s.name || d.oracle == "both" })
		if d.times == 0 && could {
			list = append(list, fmt.Sprintf("%s %s: theirs %s, ours %s", d.oracle, d.operations, d.theirs, d.ours))
		}
	}
	if list != nil {
		return fmt.Errorf("differences.txt has what is not so, or no longer:\n%s", strings.Join(list, "\n"))
	}
	return nil
}
