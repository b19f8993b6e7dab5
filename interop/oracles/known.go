package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A difference is one that is known: an oracle answers otherwise than rheo, for a
// reason.
type difference struct {
	oracle, operation string
	request           *regexp.Regexp
	theirs, ours      *regexp.Regexp
	reason            string
	times             int
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

func readDifference(lines []string) (*difference, error) {
	d := new(difference)
	var ok bool
	if d.oracle, d.operation, ok = strings.Cut(lines[0], " "); !ok || len(lines) < 4 {
		return nil, fmt.Errorf("no oracle and operation, what each answers, and a reason")
	}
	d.operation, lines[0] = strings.TrimSpace(d.operation), "request: "
	if operation, request, ok := strings.Cut(d.operation, " "); ok {
		d.operation, lines[0] = operation, "request: "+request
	}
	for i, field := range []struct {
		name string
		re   **regexp.Regexp
	}{{"request: ", &d.request}, {"  theirs: ", &d.theirs}, {"  rheo:   ", &d.ours}} {
		pattern, ok := strings.CutPrefix(lines[i], field.name)
		if !ok {
			return nil, fmt.Errorf("no line %q", field.name)
		}
		var err error
		if *field.re, err = regexp.Compile("^(?s:" + pattern + ")"); err != nil {
			return nil, err
		}
	}
	d.request = regexp.MustCompile(strings.TrimPrefix(lines[0], "request: "))
	d.reason = strings.TrimSpace(strings.Join(lines[3:], "\n"))
	return d, nil
}

// has says that a difference is known, and counts it.
func (k *differences) has(oracle, operation, input, ours, theirs string) bool {
	for _, d := range k.list {
		if (d.oracle == "both" || d.oracle == oracle) && (d.operation == "*" || slices.Contains(strings.Split(d.operation, ","), operation)) &&
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
			list = append(list, fmt.Sprintf("%s %s: theirs %s, ours %s", d.oracle, d.operation, d.theirs, d.ours))
		}
	}
	if list != nil {
		return fmt.Errorf("differences.txt has what is not so, or no longer:\n%s", strings.Join(list, "\n"))
	}
	return nil
}
