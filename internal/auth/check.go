package auth

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/api"
)

const basicFormat = "20060102T150405Z"

// presignSecondsMax is the longest life of a presigned request, seven days.
const presignSecondsMax = 7 * 24 * 60 * 60

// Check refuses what can be refused by the headers alone: a date out of range, a
// scope of another service, a part of the request left unsigned. service is the
// signing name of the API that the request was routed to. In open mode only the
// form is checked.
func (v *Verifier) Check(c *Claim, r *http.Request, service string) error {
	date, ok := parseDate(c.date, c.presigned)
	if !ok {
		return incomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", c.date)
	}
	c.date = date.Format(basicFormat) // what the string to sign has, also for a Date header
	if !v.Open() {
		if err := c.checkAge(date, v.now()); err != nil {
			return err
		}
		if err := c.checkSigned(r.Header); err != nil {
			return err
		}
	}
	if c.algorithm != algorithm {
		return incomplete("Unsupported AWS 'algorithm': '%s' (only AWS4-HMAC-SHA256 for now). ", c.algorithm)
	}
	if c.AccessKey == "" {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", c.credential)
	}
	if err := c.checkScope(service, v.Open()); err != nil {
		return err
	}
	if c.Service != "s3" && (strings.HasPrefix(c.payload, "STREAMING-") || c.payload == "UNSIGNED-PAYLOAD") {
		// Only S3 has bodies that are signed in pieces or not at all.
		return invalid("The value '%s' of X-Amz-Content-Sha256 is not supported by this service: it must be the SHA-256 of the body.", c.payload)
	}
	return nil
}

func (c *Claim) checkAge(date, now time.Time) error {
	now = now.UTC()
	if date.After(now.Add(skewMax)) {
		return invalid("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			c.date, now.Add(skewMax).Format(basicFormat), now.Format(basicFormat))
	}
	life, unit := skewMax, "5 min."
	if c.presigned && c.expires != "" {
		seconds, err := strconv.Atoi(c.expires)
		switch {
		case err != nil:
			return incomplete("X-Amz-Expires should be a number")
		case seconds < 1:
			return incomplete("X-Amz-Expires must be greater than 0 seconds")
		case seconds > presignSecondsMax:
			return incomplete("X-Amz-Expires must be less than a week (in seconds) that is 604800")
		}
		life, unit = time.Duration(seconds)*time.Second, c.expires+" sec."
	}
	if date.Before(now.Add(-life)) {
		return invalid("Signature expired: %s is now earlier than %s (%s - %s)",
			c.date, now.Add(-life).Format(basicFormat), now.Format(basicFormat), unit)
	}
	return nil
}

// checkSigned makes sure that nothing we act upon is outside the signature: the
// host and every x-amz-* header, above all the target and the session token.
func (c *Claim) checkSigned(h http.Header) error {
	if !c.signs("host") && !c.signs(":authority") {
		return errHostUnsigned
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-") && !c.signs(strings.ToLower(name)) {
			return invalid("'%s' must be a 'SignedHeader' in the AWS Authorization.", strings.ToLower(name))
		}
	}
	return nil
}

// signs says whether the list of signed headers has name, given in lower case.
func (c *Claim) signs(name string) bool {
	for rest := c.signedHeaders; rest != ""; {
		var signed string
		signed, rest, _ = strings.Cut(rest, ";")
		if strings.EqualFold(signed, name) {
			return true
		}
	}
	return false
}

func (c *Claim) checkScope(service string, open bool) error {
	var wrong strings.Builder
	if !isRegion(c.Region) {
		wrong.WriteString("Credential should be scoped to a valid region, not '" + c.Region + "'. ")
	}
	if c.Service != service {
		wrong.WriteString("Credential should be scoped to correct service: '" + service + "'. ")
	}
	if c.terminator != "aws4_request" {
		wrong.WriteString("Credential should be scoped with a valid terminator: 'aws4_request', not '" + c.terminator + "'. ")
	}
	if c.scopeDate != c.date[:8] && !open {
		wrong.WriteString("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			c.scopeDate + "' != '" + c.date[:8] + "', from '" + c.date + "'.")
	}
	if wrong.Len() > 0 {
		return &api.Error{Code: "InvalidSignatureException", Message: wrong.String()}
	}
	return nil
}

// isRegion accepts what looks like a region's name. Every region is served, so
// the name only has to be safe as part of a key or a path.
func isRegion(s string) bool {
	if s == "" || len(s) > 32 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// parseDate reads an X-Amz-Date, or a Date header, which may also be in one of HTTP's formats.
func parseDate(s string, presigned bool) (time.Time, bool) {
	if t, err := time.Parse(basicFormat, s); err == nil && len(s) == len(basicFormat) {
		return t, true
	}
	if presigned {
		return time.Time{}, false
	}
	t, err := http.ParseTime(s)
	return t.UTC(), err == nil
}
