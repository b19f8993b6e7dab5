// Package javalog reads what Java applications log and says which warnings and
// errors nobody expects. The applications here are configured to log lines like
//
//	15:04:05.123 WARN software.amazon.kinesis.coordinator.Scheduler - message
//
// What follows without a time belongs to the entry before it: a stack trace, or a
// message of several lines.
//
// Expected entries are listed in a file, each with its reason:
//
//	# A comment.
//	kcl3,kcl2 WARN software.amazon.kinesis.Some: regular expression of the message, stack trace included
//	    Why nothing is wrong when this is logged,
//	    in one indented line or more.
//
// The list is a place to hide faults in, so a rule without a reason is an error,
// and so is one with a logger or a level that no entry can have.
package javalog

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// An Entry is one message.
type Entry struct {
	Level, Logger string
	Message       string // its lines
}

func (e Entry) String() string { return e.Level + " " + e.Logger + ": " + e.Message }

var entryLine = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} (TRACE|DEBUG|INFO|WARN|ERROR) +(\S+) - (.*)$`)

const lineBytesMax = 1 << 20

// Read reads a log. Lines before the first entry are entries of their own, without a level.
func Read(r io.Reader) (entries []Entry, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineBytesMax)
	for lines.Scan() {
		m := entryLine.FindStringSubmatch(lines.Text())
		switch {
		case m != nil:
			entries = append(entries, Entry{Level: m[1], Logger: m[2], Message: m[3]})
		case len(entries) == 0 || entries[len(entries)-1].Level == "":
			entries = append(entries, Entry{Message: lines.Text()})
		default:
			entries[len(entries)-1].Message += "\n" + lines.Text()
		}
	}
	return entries, lines.Err()
}

// A Rule says that an entry is expected of some clients.
type Rule struct {
	Clients       []string
	Level, Logger string
	Message       *regexp.Regexp
	Reason        string
}

// A List is all that is expected.
type List []Rule

var ruleLine = regexp.MustCompile(`^(\S+) (WARN|ERROR) ([\w.$]+): (.+)$`)

// ParseList parses the file described above.
func ParseList(text string) (list List, err error) {
	for i, line := range strings.Split(text, "\n") {
		switch indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case indented && len(list) == 0:
			return nil, fmt.Errorf("line %d is a reason for nothing", i+1)
		case indented:
			last := &list[len(list)-1]
			last.Reason = strings.TrimSpace(last.Reason + " " + strings.TrimSpace(line))
		default:
			m := ruleLine.FindStringSubmatch(line)
			if m == nil {
				return nil, fmt.Errorf("line %d is not a rule: %s", i+1, line)
			}
			message, err := regexp.Compile("(?m)" + m[4])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			list = append(list, Rule{Clients: strings.Split(m[1], ","), Level: m[2], Logger: m[3], Message: message})
		}
	}
	for _, rule := range list {
		if rule.Reason == "" {
			return nil, fmt.Errorf("no reason is given for %s %s: %s", rule.Level, rule.Logger, rule.Message)
		}
	}
	return list, nil
}

// Unexpected gives the warnings and errors of a client that no rule expects.
func (l List) Unexpected(client string, entries []Entry) (bad []Entry) {
	for _, e := range entries {
		if (e.Level == "WARN" || e.Level == "ERROR") && !slices.ContainsFunc(l, func(r Rule) bool { return r.expects(client, e) }) {
			bad = append(bad, e)
		}
	}
	return bad
}

func (r Rule) expects(client string, e Entry) bool {
	return slices.Contains(r.Clients, client) && r.Level == e.Level && r.Logger == e.Logger && r.Message.MatchString(e.Message)
}
