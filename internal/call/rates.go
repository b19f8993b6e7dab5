package call

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/rheostream/rheo/internal/api"
)

// Limits scales AWS's limits: 1 is AWS's own, 2 twice as much, Off none at all.
type Limits float64

// AWS has the limits exactly as AWS has them.
const AWS Limits = 1

// Off has no limits.
var Off = Limits(math.Inf(1))

// ParseLimits reads "aws", "off", or "x" and a factor: "x2", "x0.5".
func ParseLimits(s string) (Limits, error) {
	switch s {
	case "aws", "":
		return AWS, nil
	case "off":
		return Off, nil
	}
	if n, ok := strings.CutPrefix(s, "x"); ok {
		if f, err := strconv.ParseFloat(n, 64); err == nil && f > 0 && f <= 1e6 {
			return Limits(f), nil
		}
	}
	return 0, fmt.Errorf("limits %q are none of aws, off, x2, x0.5 (a factor above 0 and up to 1000000)", s)
}

// String is what ParseLimits reads.
func (l Limits) String() string {
	switch l {
	case AWS:
		return "aws"
	case Off:
		return "off"
	}
	return "x" + strconv.FormatFloat(float64(l), 'g', -1, 64)
}

// rateKeysMax bounds the token buckets of all accounts, regions, operations and streams.
const rateKeysMax = 1 << 16

// A rateKey is what a rate is kept for; stream is empty for the account's.
type rateKey struct {
	op                      *api.Op
	account, region, stream string
}

// rates are token buckets: a second's worth of calls may come at once.
type rates struct {
	max     int
	mu      sync.Mutex
	buckets map[rateKey]*rate.Limiter // under mu
}

func newRates(max int) *rates { return &rates{max: max, buckets: make(map[rateKey]*rate.Limiter)} }

func (r *rates) allow(key rateKey, perSecond float64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.buckets[key]
	if b == nil {
		if len(r.buckets) >= r.max {
			r.forget(now)
		}
		b = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
		r.buckets[key] = b
	}
	return b.AllowN(now, 1)
}

// forget drops the buckets that are full again, which loses nothing; if a flood
// of names keeps all in use it drops one in two.
func (r *rates) forget(now time.Time) {
	for key, b := range r.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(r.buckets, key)
		}
	}
	if len(r.buckets) >= r.max {
		n := 0
		for key := range r.buckets {
			if n++; n%2 == 0 {
				delete(r.buckets, key)
			}
		}
	}
}

// charge takes a call from the operation's rates, or says that there are too many.
func (c *Calls) charge(caller *api.Caller, op *api.Op, o *operation, in any, now time.Time) error {
	if c.Limits == Off || o.row.PerAccount == 0 && o.row.PerStream == 0 {
		return nil
	}
	factor := float64(c.Limits)
	key := rateKey{op: op, account: caller.Account, region: caller.Region}
	if r := o.row.PerAccount; r > 0 && !c.rates.allow(key, r*factor, now) {
		return api.Errorf(o.throttled, "Rate exceeded for account %s.", caller.Account)
	}
	if r := o.row.PerStream; r > 0 {
		if key.stream = o.stream.of(in); key.stream != "" && !c.rates.allow(key, r*factor, now) {
			return api.Errorf(o.throttled, "Rate exceeded for stream %s under account %s.", key.stream, caller.Account)
		}
	}
	return nil
}

// A streamField says where an operation's input names a stream: the indices of
// its fields, by name before by ARN.
type streamField []int

func findStreamField(op *api.Op) streamField {
	t := reflect.TypeOf(op.NewInput()).Elem()
	var fields streamField
	for _, name := range [...]string{"StreamName", "StreamARN", "ConsumerARN", "ResourceARN"} {
		if f, ok := t.FieldByName(name); ok && f.Type == reflect.TypeFor[*string]() {
			fields = append(fields, f.Index[0])
		}
	}
	return fields
}

// of is the name of the stream that in is about, empty if it names none.
func (f streamField) of(in any) string {
	v := reflect.ValueOf(in).Elem()
	for _, i := range f {
		if s, _ := v.Field(i).Interface().(*string); s != nil && *s != "" {
			return streamOf(*s)
		}
	}
	return ""
}

// streamOf is the stream of a name or of an ARN of it or of its consumer:
// arn:aws:kinesis:R:A:stream/NAME/consumer/C:1.
func streamOf(name string) string {
	if _, after, ok := strings.Cut(name, ":stream/"); ok {
		name, _, _ = strings.Cut(after, "/")
	}
	return name
}
