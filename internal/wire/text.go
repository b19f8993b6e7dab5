package wire

import (
	"encoding/base64"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rheostream/rheo/internal/api"
)

// How scalars stand in text: in headers, URIs, queries, XML, and timestamps in JSON.

// year5000 is the time above which a number of seconds is taken for milliseconds,
// and one of milliseconds for microseconds: Java SDKs with CBOR switched off send
// AT_TIMESTAMP a thousand times too large.
const year5000 = 95617584000

// secondsTime is the time of a number of seconds since 1970.
func secondsTime(s float64) (time.Time, bool) {
	if math.IsNaN(s) || math.Abs(s) > year5000*1e6 {
		return time.Time{}, false
	}
	for math.Abs(s) > year5000 {
		s /= 1000
	}
	whole := math.Floor(s)
	// Clients send milliseconds; a float64 of this size holds microseconds.
	micros := math.Round((s - whole) * 1e6)
	return time.Unix(int64(whole), int64(micros)*1000).UTC(), true
}

// millisTime is the time of a number of milliseconds since 1970.
func millisTime(ms float64) (time.Time, bool) {
	if math.IsNaN(ms) || math.Abs(ms) > year5000*1e6 {
		return time.Time{}, false
	}
	if math.Abs(ms) > year5000*1e3 {
		ms /= 1000
	}
	return time.UnixMilli(int64(ms)).UTC(), true
}

// timeFormat is the format of a timestamp member where the protocol's usual one is usual.
func timeFormat(m *api.Member, s *api.Shape, usual api.TimeFormat) api.TimeFormat {
	if m != nil && m.Time != api.ProtocolTime {
		return m.Time
	}
	if s.Time != api.ProtocolTime {
		return s.Time
	}
	return usual
}

// appendTime writes t in a format, to the millisecond.
func appendTime(dst []byte, t time.Time, f api.TimeFormat) []byte {
	t = t.UTC()
	switch f {
	case api.ISO8601:
		if t.Nanosecond() < 1e6 {
			return t.AppendFormat(dst, "2006-01-02T15:04:05Z")
		}
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	case api.RFC822:
		return t.AppendFormat(dst, http.TimeFormat)
	}
	return appendSeconds(dst, t)
}

// appendSeconds writes t as seconds since 1970 with up to three decimals.
func appendSeconds(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		dst, ms = append(dst, '-'), -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	if f := ms % 1000; f != 0 {
		dst = append(dst, '.', byte('0'+f/100))
		if f%100 != 0 {
			dst = append(dst, byte('0'+f/10%10))
			if f%10 != 0 {
				dst = append(dst, byte('0'+f%10))
			}
		}
	}
	return dst
}

// parseTime reads a timestamp in any of the formats: which one it is can be seen.
func parseTime(text string) (time.Time, bool) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		return secondsTime(s)
	}
	for _, layout := range []string{time.RFC3339Nano, http.TimeFormat, time.RFC1123Z, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// setText sets v, a scalar of shape s, from text.
func setText(s *api.Shape, v reflect.Value, text string) error {
	bad := func() error {
		return serialization("'%s' can not be converted to %s", clip(text), typeName(s))
	}
	if s.Kind == api.Blob {
		b, err := decodeBase64([]byte(text))
		if err == nil {
			v.SetBytes(b)
		}
		return err
	}
	v = settle(v)
	switch s.Kind {
	case api.String:
		if !utf8.ValidString(text) {
			return bad()
		}
		v.SetString(text)
	case api.Integer, api.Long:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return bad()
		}
		v.SetInt(n)
	case api.Float, api.Double:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return bad()
		}
		v.SetFloat(f)
	case api.Boolean:
		switch strings.ToLower(text) {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return bad()
		}
	case api.Timestamp:
		t, ok := parseTime(text)
		if !ok {
			return bad()
		}
		v.Set(reflect.ValueOf(t))
	default:
		return bad()
	}
	return nil
}

// text is a scalar of shape s as text.
func text(s *api.Shape, v reflect.Value, f api.TimeFormat) string {
	switch v = indirect(v); s.Kind {
	case api.String:
		return v.String()
	case api.Integer, api.Long:
		return strconv.FormatInt(v.Int(), 10)
	case api.Float, api.Double:
		return formatFloat(v.Float(), v.Type().Bits())
	case api.Boolean:
		return strconv.FormatBool(v.Bool())
	case api.Timestamp:
		return string(appendTime(nil, v.Interface().(time.Time), f))
	case api.Blob:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	}
	return ""
}

func formatFloat(f float64, bits int) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}

// typeName is what AWS's messages call a shape's type, with its article.
func typeName(s *api.Shape) string {
	switch s.Kind {
	case api.Integer:
		return "an Integer"
	case api.Long:
		return "a Long"
	case api.Float:
		return "a Float"
	case api.Double:
		return "a Double"
	case api.Boolean:
		return "a Boolean"
	case api.Blob:
		return "a Blob"
	case api.Timestamp:
		return "a Timestamp"
	}
	return "a String"
}

// decodeBase64 decodes a blob's text, and says what is wrong with it as AWS does.
func decodeBase64(src []byte) ([]byte, error) {
	dst := make([]byte, base64.StdEncoding.DecodedLen(len(src)))
	n, err := strictBase64.Decode(dst, src)
	if err == nil && len(src)%4 == 0 && !hasNewline(src) {
		return dst[:n], nil
	}
	why := "Invalid last non-pad Base64 character dectected"
	if len(src)%4 != 0 {
		why = "Base64 encoded length is expected a multiple of 4 bytes but found: " + strconv.Itoa(len(src))
	} else {
		for i, c := range src {
			if !base64Byte(c) || c == '=' && i+1 < len(src) && src[i+1] != '=' {
				why = "Invalid Base64 character: '" + string(rune(c)) + "'"
				break
			}
		}
	}
	return nil, serialization("'%s' can not be converted to a Blob: %s", clip(string(src)), why)
}

var strictBase64 = base64.StdEncoding.Strict()

func base64Byte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '='
}

func hasNewline(b []byte) bool {
	for _, c := range b {
		if c == '\n' || c == '\r' {
			return true
		}
	}
	return false
}

// clip keeps what a message echoes to a size that is fit for a message.
func clip(s string) string {
	const most = 1024
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
