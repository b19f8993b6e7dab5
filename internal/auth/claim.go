package auth

import (
	"net/http"
	"net/url"
	"strings"
)

const algorithm = "AWS4-HMAC-SHA256"

// authorizationBytesMax bounds the Authorization header, and with it the error that echoes it.
const authorizationBytesMax = 8 << 10

// A Claim is what a request says about its sender, before any of it is proven.
type Claim struct {
	AccessKey string
	Region    string
	Service   string // signing name

	presigned     bool
	algorithm     string
	credential    string // as sent: key/date/region/service/aws4_request
	scopeDate     string
	terminator    string
	signedHeaders string
	signature     string
	date          string // X-Amz-Date, or the Date header
	expires       string // X-Amz-Expires; only when presigned
	token         string // X-Amz-Security-Token
	payload       string // X-Amz-Content-Sha256
	query         []param
}

// Parse reads the claim out of the headers, or out of the query of a presigned
// request. Alongside an error it returns what could be read, so that the service
// named in the scope can still choose the form of the answer.
func Parse(r *http.Request) (Claim, error) {
	var c Claim
	if r.URL.RawQuery != "" {
		query, err := parseQuery(r.URL.RawQuery)
		if err != nil {
			return c, err
		}
		c.query = query
		c.presigned = c.has("X-Amz-Algorithm")
	}
	header := r.Header["Authorization"]
	switch {
	case c.presigned && len(header) > 0:
		return c, errBoth
	case c.presigned:
		return c, c.parseQueryParams()
	case len(header) == 0:
		return c, errMissing
	case len(header) > 1:
		return c, incomplete("The request has %d Authorization headers; it must have one.", len(header))
	}
	return c, c.parseHeader(header[0], r.Header)
}

func (c *Claim) parseHeader(authorization string, h http.Header) error {
	authorization = strings.TrimSpace(authorization)
	if !strings.HasPrefix(authorization, "AWS4-") {
		return errMissing
	}
	if len(authorization) > authorizationBytesMax {
		return incomplete("The Authorization header is longer than %d bytes.", authorizationBytesMax)
	}
	var params string
	c.algorithm, params, _ = strings.Cut(authorization, " ")
	for params != "" {
		// Clients part the parameters by comma and space, by comma alone, or by space alone.
		pair := params
		if i := strings.IndexAny(params, ", \t"); i >= 0 {
			pair, params = params[:i], params[i+1:]
		} else {
			params = ""
		}
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return incomplete("'%s' not a valid key=value pair (missing equal-sign) in Authorization header: '%s'.", pair, authorization)
		}
		switch name {
		case "Credential":
			c.credential = value
		case "SignedHeaders":
			c.signedHeaders = value
		case "Signature":
			c.signature = value
		}
	}
	c.splitCredential()
	c.date = headerValue(h, "X-Amz-Date")
	if c.date == "" {
		c.date = headerValue(h, "Date")
	}
	c.token = headerValue(h, "X-Amz-Security-Token")
	c.payload = headerValue(h, "X-Amz-Content-Sha256")

	var lacks strings.Builder
	for _, p := range [...]struct{ name, value string }{
		{"Credential", c.credential}, {"Signature", c.signature}, {"SignedHeaders", c.signedHeaders},
	} {
		if p.value == "" {
			lacks.WriteString("Authorization header requires '" + p.name + "' parameter. ")
		}
	}
	if c.date == "" {
		lacks.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if lacks.Len() > 0 {
		return incomplete("%sAuthorization=%s", lacks.String(), authorization)
	}
	return nil
}

func (c *Claim) parseQueryParams() error {
	var lacks strings.Builder
	for _, p := range [...]struct {
		name     string
		to       *string
		required bool
	}{
		{"X-Amz-Algorithm", &c.algorithm, true},
		{"X-Amz-Credential", &c.credential, true},
		{"X-Amz-Signature", &c.signature, true},
		{"X-Amz-SignedHeaders", &c.signedHeaders, true},
		{"X-Amz-Date", &c.date, true},
		{"X-Amz-Expires", &c.expires, false},
		{"X-Amz-Security-Token", &c.token, false},
		{"X-Amz-Content-Sha256", &c.payload, false},
	} {
		n := 0
		for _, q := range c.query {
			if q.name == p.name {
				*p.to = q.value
				n++
			}
		}
		if n > 1 {
			return incomplete("AWS query-string parameters must include '%s' only once. Re-examine the query-string parameters.", p.name)
		}
		if p.required && *p.to == "" {
			lacks.WriteString("AWS query-string parameters must include '" + p.name + "'. ")
		}
	}
	c.splitCredential()
	if lacks.Len() > 0 {
		return incomplete("%sRe-examine the query-string parameters.", lacks.String())
	}
	return nil
}

// splitCredential fills the five parts of the credential, or none.
func (c *Claim) splitCredential() {
	if strings.Count(c.credential, "/") != 4 {
		return
	}
	c.AccessKey, c.scopeDate, _ = strings.Cut(c.credential, "/")
	c.scopeDate, c.Region, _ = strings.Cut(c.scopeDate, "/")
	c.Region, c.Service, _ = strings.Cut(c.Region, "/")
	c.Service, c.terminator, _ = strings.Cut(c.Service, "/")
}

func (c *Claim) has(name string) bool {
	for _, p := range c.query {
		if p.name == name {
			return true
		}
	}
	return false
}

// headerValue joins the values of a header that should come once; h is keyed canonically.
func headerValue(h http.Header, name string) string {
	switch v := h[name]; len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	default:
		return strings.Join(v, ",")
	}
}

// A param is one decoded parameter of the query string.
type param struct{ name, value string }

// parseQuery decodes a query as the services read it: + is a space, ; is no
// separator. What is signed is so what is acted upon.
func parseQuery(raw string) ([]param, error) {
	var query []param
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, malformedQuery
		}
		query = append(query, param{name, value})
	}
	return query, nil
}
