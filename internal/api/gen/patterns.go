package main

import (
	"fmt"
	"regexp"
	"strings"
)

// The models' patterns are Java's. Most mean the same to Go's regexp; \uXXXX is
// translated; the others, which have look-around or possessive quantifiers,
// stand here as what a value must match and what it must not.
var overrides = map[string]struct{ match, not string }{
	`^(?!\s*$).+`:                               {`.+`, `\s*`},
	`^(?=^\$)(?=^\S+$).*$`:                      {`\$\S*`, ``},
	`[0-9A-Za-z\.\-_]*(?<!\.)`:                  {`[0-9A-Za-z.\-_]*`, `.*\.`},
	`\p{Print}+`:                                {`[\x20-\x7E]+`, ``},
	`(?!^[0-9]+$)([a-zA-Z0-9-_]+)`:              {`[a-zA-Z0-9\-_]+`, `[0-9]+`},
	`((?!^\d+$)^[0-9a-zA-Z-_]+$)`:               {`[a-zA-Z0-9\-_]+`, `[0-9]+`},
	`^(?!aws:)[\p{L}\p{Z}\p{N}_.:\/=+\-@%]*$`:   {`[\p{L}\p{Z}\p{N}_.:/=+\-@%]*`, `aws:.*`},
	`^(?!(.*[.\/\\]|aws:)).*$`:                  {`.*`, `.*[./\\].*|aws:.*`},
	`(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)`: {`[_a-zA-Z0-9][^$]*`, `system\..*`},
	`^(?![0-9_])\w+$|^_\w*[a-zA-Z0-9]\w*$`:      {`[a-zA-Z]\w*|_\w*[a-zA-Z0-9]\w*`, ``},
	`^(?![\.:])([\w.]+(::))?[A-Z]\w*$`:          {`([\w.]+::)?[A-Z]\w*`, `[.:].*`},
	`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`: {`[a-z0-9][a-z0-9-]{1,61}[a-z0-9]`, `.*--.*`},
	`arn:aws:kinesisanalytics:[a-z]{2}-[a-z]+-\d{1}+:\d{12}+:application/[a-zA-Z0-9_.-]{1,128}`: {
		`arn:aws:kinesisanalytics:[a-z]{2}-[a-z]+-\d+:(\d{12})+:application/[a-zA-Z0-9_.-]{1,128}`, ``},
	`jdbc:(redshift|postgresql)://((?!-)[A-Za-z0-9-]{1,63}(?<!-)\.)+(redshift(-serverless)?)\.([a-zA-Z0-9\.\-]+):\d{1,5}/[a-zA-Z0-9_$-]+`: {
		`jdbc:(redshift|postgresql)://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+redshift(-serverless)?\.[a-zA-Z0-9.\-]+:\d{1,5}/[a-zA-Z0-9_$-]+`, ``},
	`(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})(:((?!\d+$)[0-9a-zA-Z-_]+))?`: {
		`(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d:)?(\d{12}:)?(function:)?[a-zA-Z0-9\-_]{1,64}(:\d*[a-zA-Z\-_][0-9a-zA-Z\-_]*)?`, ``},
}

// Shapes of members that AWS reserves, by package. Clients send them back as
// they had them from AWS or from another server, and a service that ignores them
// must not refuse them for their looks: they have no constraints.
var ignored = map[string][]string{
	"kinesis": {"StreamId"},
}

// Lists whose limit is in AWS's documentation and not in the model, by package.
// The service refuses those that are longer, in its own words; a codec need not
// keep more of them than it takes to see that.
var keeps = map[string]map[string]int64{
	"cloudwatch": {"MetricData": 1000, "EntityMetricDataList": 2, "MetricDataQueries": 500, "Values": 150, "Counts": 150},
}

var (
	surrogates = strings.NewReplacer(`\uD800\uDC00-\uDBFF\uDFFF`, `\x{10000}-\x{10FFFF}`)
	unicode    = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)
)

// translate returns what to compile for a model's pattern: match is empty if
// the pattern itself will do. Both are to match a whole value.
func translate(pattern string) (match, not string, err error) {
	if o, ok := overrides[pattern]; ok {
		match, not = o.match, o.not
	} else if strings.Contains(pattern, `\u`) {
		match = unicode.ReplaceAllString(surrogates.Replace(pattern), `\x{$1}`)
	}
	for _, p := range []string{match, not, pattern} {
		if p == "" || p == pattern && match != "" {
			continue
		}
		if _, err := regexp.Compile(`^(?:` + p + `)$`); err != nil {
			return "", "", fmt.Errorf("pattern %q needs a line in patterns.go: %w", pattern, err)
		}
	}
	return match, not, nil
}
