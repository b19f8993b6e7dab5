package auth

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/api"
)

// s3SkewMax is how far the date of a request may lie from S3's clock, either way.
const s3SkewMax = 15 * time.Minute

// What X-Amz-Content-Sha256 may be beside the hash of the body.
const (
	unsignedPayload         = "UNSIGNED-PAYLOAD"
	signedChunks            = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedChunksTrailer     = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	unsignedChunksTrailer   = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	asymmetricChunks        = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
	asymmetricChunksTrailer = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"
)

// VerifyS3 checks and proves the claim of a request for S3, which [Parse] returned
// with parseErr, and returns the caller and what has to be checked of the body as it
// is read. The body itself is not touched. secure says that the request came over
// TLS: on a plain connection a body must be signed, unless the request is presigned
// or the server open.
//
// There is one way through: whatever the form of the body, header or query, the
// signature of the request is verified before this returns. (Servers that chose
// among handlers by the form of the body, each with a check of its own, have had one
// without.)
func (v *Verifier) VerifyS3(c *Claim, parseErr error, r *http.Request, secure bool) (*api.Caller, *Payload, error) {
	if parseErr != nil {
		return nil, nil, c.s3ParseError(parseErr, r)
	}
	if err := v.checkS3(c, r); err != nil {
		return nil, nil, err
	}
	payload, err := c.s3Payload(r, secure || v.Open())
	if err != nil {
		return nil, nil, err
	}
	if v.Open() {
		return believed(c), payload, nil
	}
	key, err := v.prove(c, r, []byte(payload.signedAs))
	switch err {
	case nil:
	case errUnrecognized:
		return nil, nil, s3Error(http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
	case errToken:
		return nil, nil, s3Error(http.StatusBadRequest, "InvalidToken", "The provided token is malformed or otherwise invalid.")
	default:
		return nil, nil, errS3Mismatch
	}
	payload.key = v.known.get(key, c.scopeDate, c.Region, c.Service)
	return &api.Caller{Account: key.Account, Region: c.Region, AccessKey: key.ID, Principal: key.Principal}, payload, nil
}

func s3Error(status int, code, message string) *api.Error {
	return &api.Error{Code: code, Message: message, Status: status}
}

var (
	errS3Denied   = s3Error(http.StatusForbidden, "AccessDenied", "Access Denied")
	errS3Mismatch = s3Error(http.StatusForbidden, "SignatureDoesNotMatch",
		"The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	errS3Mechanism = s3Error(http.StatusBadRequest, "InvalidRequest",
		"The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
)

// s3ParseError says in S3's words what Parse found wrong.
func (c *Claim) s3ParseError(err error, r *http.Request) error {
	var e *api.Error
	switch {
	case err == errMissing:
		query := r.URL.Query()
		if r.Header.Get("Authorization") != "" || query.Has("AWSAccessKeyId") && query.Has("Signature") {
			return errS3Mechanism // version 2
		}
		return errS3Denied
	case err == errBoth:
		return s3Error(http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "+
			"Signature query string parameter or the Authorization header should be specified")
	case err == malformedQuery:
		return s3Error(http.StatusBadRequest, "InvalidURI", "Couldn't parse the specified URI.")
	case errors.As(err, &e):
		return c.s3Malformed(strings.TrimSpace(e.Message))
	}
	return err
}

// s3Malformed is the error for a header, or a query, that is no signature's.
func (c *Claim) s3Malformed(message string) error {
	if c.presigned {
		return s3Error(http.StatusBadRequest, "AuthorizationQueryParametersError", message)
	}
	return s3Error(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed; "+message)
}

// checkS3 refuses what can be refused by the headers alone. In open mode only the
// form is checked.
func (v *Verifier) checkS3(c *Claim, r *http.Request) error {
	if c.algorithm != algorithm {
		return errS3Mechanism
	}
	if c.AccessKey == "" {
		return c.s3Malformed(`the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`)
	}
	date, ok := parseDate(c.date, c.presigned)
	if !ok {
		return s3Error(http.StatusForbidden, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
	}
	c.date = date.Format(basicFormat)
	switch {
	case !isRegion(c.Region):
		return c.s3Malformed("the region '" + c.Region + "' is wrong")
	case c.Service != "s3":
		return c.s3Malformed(`incorrect service "` + c.Service + `". This endpoint belongs to "s3".`)
	case c.terminator != "aws4_request":
		return c.s3Malformed(`incorrect terminal "` + c.terminator + `". This endpoint uses "aws4_request".`)
	}
	if c.presigned {
		if err := c.checkS3Expires(date, v.now().UTC(), v.Open()); err != nil {
			return err
		}
	}
	if v.Open() {
		return nil
	}
	if now := v.now().UTC(); !c.presigned && (date.Before(now.Add(-s3SkewMax)) || date.After(now.Add(s3SkewMax))) {
		e := s3Error(http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
		e.Fields = map[string]any{"RequestTime": c.date, "ServerTime": now.Format(time.RFC3339),
			"MaxAllowedSkewMilliseconds": strconv.FormatInt(s3SkewMax.Milliseconds(), 10)}
		return e
	}
	if c.scopeDate != c.date[:8] {
		return c.s3Malformed(`Invalid credential date "` + c.scopeDate + `". This date is not the same as X-Amz-Date: "` + c.date[:8] + `".`)
	}
	if err := c.checkSigned(r.Header); err != nil {
		return s3Error(http.StatusForbidden, "AccessDenied", "There were headers present in the request which were not signed")
	}
	return nil
}

// checkS3Expires checks the life of a presigned request, which also in open mode
// has its end: who tries links wants to see it.
func (c *Claim) checkS3Expires(date, now time.Time, open bool) error {
	seconds, err := strconv.Atoi(c.expires)
	switch {
	case c.expires == "":
		return c.s3Malformed("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, " +
			"X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
	case err != nil:
		return c.s3Malformed("X-Amz-Expires should be a number")
	case seconds < 1:
		return c.s3Malformed("X-Amz-Expires must be non-negative")
	case seconds > presignSecondsMax:
		return c.s3Malformed("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	end := date.Add(time.Duration(seconds) * time.Second)
	if now.After(end) {
		e := s3Error(http.StatusForbidden, "AccessDenied", "Request has expired")
		e.Fields = map[string]any{"X-Amz-Expires": c.expires, "Expires": end.Format(time.RFC3339), "ServerTime": now.Format(time.RFC3339)}
		return e
	}
	if !open && date.After(now.Add(s3SkewMax)) {
		return s3Error(http.StatusForbidden, "AccessDenied", "Request is not valid yet")
	}
	return nil
}

// s3Payload finds how the body is signed. unsigned says that it need not be.
func (c *Claim) s3Payload(r *http.Request, unsigned bool) (*Payload, error) {
	// A presigned request names its payload in a header, if at all: the SDKs sign
	// that header then. In the query it is a parameter like others.
	as := headerValue(r.Header, "X-Amz-Content-Sha256")
	if c.presigned && as == "" {
		as = c.payload
	}
	if c.presigned && as == "" {
		as = unsignedPayload
	}
	p := &Payload{signedAs: as, claim: c, decoded: -1, previous: c.signature}
	switch as {
	case "":
		return nil, s3Error(http.StatusBadRequest, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
	case unsignedPayload:
		if !unsigned && !c.presigned && r.ContentLength != 0 {
			return nil, errUnsignedBody
		}
		p.kind = payloadUnsigned
		return p, nil
	case signedChunks:
		p.kind = payloadSignedChunks
	case signedChunksTrailer:
		p.kind, p.trailing = payloadSignedChunks, true
	case unsignedChunksTrailer:
		if !unsigned && !c.presigned {
			return nil, errUnsignedBody
		}
		p.kind, p.trailing = payloadUnsignedChunks, true
	case asymmetricChunks, asymmetricChunksTrailer:
		return nil, errS3Mechanism
	default:
		if n, err := hex.Decode(p.sum[:], []byte(clipHash(as))); err != nil || n != len(p.sum) || len(as) != 2*len(p.sum) {
			return nil, s3Error(http.StatusBadRequest, "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "+
				"STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.")
		}
		p.kind = payloadHashed
		return p, nil
	}
	return p, p.readChunkHeaders(r)
}

func clipHash(s string) string { return s[:min(len(s), 64)] }

var errUnsignedBody = s3Error(http.StatusForbidden, "AccessDenied",
	"A body that is not signed is taken over TLS or with a presigned URL only. Use https, or have the client sign payloads.")

// readChunkHeaders reads what announces a body in chunks.
func (p *Payload) readChunkHeaders(r *http.Request) error {
	length := r.Header.Get("X-Amz-Decoded-Content-Length")
	if length == "" {
		return s3Error(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	}
	var err error
	if p.decoded, err = strconv.ParseInt(length, 10, 64); err != nil || p.decoded < 0 {
		return s3Error(http.StatusBadRequest, "InvalidArgument", "The value of x-amz-decoded-content-length is invalid.")
	}
	if p.trailing {
		p.announced = strings.ToLower(strings.TrimSpace(r.Header.Get("X-Amz-Trailer")))
	}
	return nil
}
