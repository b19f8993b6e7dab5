package wire

import (
	"bytes"
	"net/url"
	"strings"
)

// Forms are read here and not by net/url, which takes 10,000 parameters at most:
// a PutMetricData of AWS's size has more.

// formParams calls yield with each parameter of a form until it returns false. It
// returns false if something in the form is not escaped as it must be.
func formParams(form string, yield func(name, value string) bool) bool {
	for form != "" {
		var pair string
		pair, form, _ = strings.Cut(form, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return false
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return false
		}
		if !yield(name, value) {
			break
		}
	}
	return true
}

// formAction finds the operation that a form names, and the version of its API.
func formAction(form string) (action, version string) {
	formParams(form, func(name, value string) bool {
		switch {
		case name == "Action" && action == "":
			action = value
		case name == "Version" && version == "":
			version = value
		}
		return action == "" || version == ""
	})
	return action, version
}

// formBytes is about half of what the tree of a form takes beside its text: a node
// for each part of a name, at most.
func formBytes(c Codec, body []byte, query string) int64 {
	if _, ok := c.(Query); !ok {
		return 0
	}
	parts := bytes.Count(body, []byte(".")) + bytes.Count(body, []byte("&")) + strings.Count(query, ".") + strings.Count(query, "&") + 1
	return int64(min(parts, maxElements)) * 160
}
