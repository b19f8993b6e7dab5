package agent

import (
	"regexp"
	"strings"
)

// A logFormat is how lines of a well-known log are taken apart: a group a field.
type logFormat struct {
	pattern *regexp.Regexp
	fields  []string
	dash    bool // a field that is "-" is not there: null
}

// The pieces that the formats are made of.
const (
	logHost   = `(?:[\w-]+(?:\.[\w-]+)*\.?|[\d.]+)`
	logUser   = `[\w.-]+`
	logClock  = `(?:2[0-3]|[01]?\d):[0-5]\d:(?:[0-5]?\d|60)(?:[:.,]\d+)?`
	logMonth  = `(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)`
	logDay    = `(?:0[1-9]|[12]\d|3[01]|[1-9])`
	logWeek   = `(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)`
	logYear   = `[1-9]\d*`
	logNumber = `(?:[+-]?\d+|-)`

	commonLog   = `(` + logHost + `) (` + logUser + `) (` + logUser + `) \[(` + logDay + `/` + logMonth + `/` + logYear + `:` + logClock + `\s[+-]?\d+)\] "([^"]+)" (` + logNumber + `) (` + logNumber + `)`
	combinedLog = commonLog + ` "([^"]+)" "([^"]+)"`
	errorLog    = `\[(` + logWeek + `\s+` + logMonth + `\s+` + logDay + `\s+` + logClock + `\s+` + logYear + `)\] ` +
		`\[(?:(\w+):)?(\w+)\] \[pid (\d+)(?::tid (\d+))?\] \[client (` + logHost + `(?::[1-9]\d*)?)\] (.*)`
	syslogRest = ` (?:<\d+\.\d+> )?(` + logUser + `) ([\w./%-]+)(?:\[([1-9]\d*)\])?: (.*)`
	syslog     = `(` + logMonth + `\s+` + logDay + `\s+` + logClock + `)` + syslogRest
	syslog3339 = `(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))` + syslogRest
)

func wholeLine(pattern string) *regexp.Regexp { return regexp.MustCompile(`\A(?:` + pattern + `)\z`) }

var (
	commonFields = []string{"host", "ident", "authuser", "datetime", "request", "response", "bytes"}
	errorFields  = []string{"timestamp", "module", "severity", "processid", "threadid", "client", "message"}
	syslogFields = []string{"timestamp", "hostname", "program", "processid", "message"}

	logFormats = map[string]logFormat{
		"COMMONAPACHELOG":   {wholeLine(commonLog + `.*`), commonFields, true}, // what a server adds behind is left out
		"COMBINEDAPACHELOG": {wholeLine(combinedLog + `.*`), append(commonFields[:len(commonFields):len(commonFields)], "referer", "agent"), true},
		"APACHEERRORLOG":    {wholeLine(errorLog), errorFields, true},
		"SYSLOG":            {wholeLine(syslog), syslogFields, false},
		"RFC3339SYSLOG":     {wholeLine(syslog3339), syslogFields, false},
	}
)

// logToJSON makes an object of a line's groups. A line that does not match is dropped.
type logToJSON struct {
	logFormat
	layout layout
}

func newLogToJSON(o option, at func(string) value, l layout) (converter, error) {
	if o.logFormat == "" {
		return nil, at("logFormat").errorf("it is missing")
	}
	f := logFormats[o.logFormat]
	if o.matchPattern != nil {
		if o.fields == nil {
			return nil, at("customFieldNames").errorf("it is missing, and matchPattern needs it")
		}
		f.pattern = o.matchPattern
	}
	if o.fields != nil {
		f.fields = o.fields
	}
	if n := f.pattern.NumSubexp(); n != len(f.fields) {
		return nil, at("customFieldNames").errorf("the pattern has %d groups, and there are %d names", n, len(f.fields))
	}
	return logToJSON{f, l}, nil
}

func (c logToJSON) convert(data []byte, _ moment) ([]byte, error) {
	line := strings.TrimSuffix(withoutLF(toUTF8(data)), "\r")
	m := c.pattern.FindStringSubmatchIndex(line)
	if m == nil {
		return nil, errDrop
	}
	o := object{layout: c.layout}
	for i, name := range c.fields {
		start, end := m[2*i+2], m[2*i+3]
		if start < 0 || c.dash && line[start:end] == "-" {
			o.raw(name, null)
			continue
		}
		o.text(name, line[start:end])
	}
	return o.line(), nil
}
