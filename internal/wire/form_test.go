package wire

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/cloudwatch"
)

// TestForms: what is read of the parameters of a form.
func TestForms(t *testing.T) {
	op := cloudwatch.Service.Op("PutMetricData")
	many := func(n, values int) string {
		var b strings.Builder
		b.WriteString("Action=PutMetricData&Namespace=app")
		for i := 1; i <= n; i++ {
			fmt.Fprintf(&b, "&MetricData.member.%d.MetricName=m", i)
			for j := 1; j <= values; j++ {
				fmt.Fprintf(&b, "&MetricData.member.%d.Values.member.%d=%d", i, j, j)
			}
		}
		return b.String()
	}
	for _, tt := range []struct {
		name, query, body string
		want              string // namespace, data, values of the last, or the error's code
	}{
		{"nothing", "", "", "- 0"},
		{"escapes", "", "Namespace=a%2Fb+c&MetricData.member.1.MetricName=m;n", "a/b c 1 m;n 0"},
		{"the first of a name counts", "Namespace=c", "Namespace=a&Namespace=b", "a 0"},
		{"in the URI", "Namespace=c&MetricData.member.1.MetricName=m", "", "c 1 m 0"},
		{"numbers in any order, wherever they begin", "", "Namespace=a&MetricData.member.7.MetricName=y&MetricData.member.3.MetricName=x", "a 2 y 0"},
		{"a bad escape", "", "Namespace=%zz", "MalformedQueryString"},
		{"more parameters than net/url takes", "", many(200, 100), "app 200 m 100"},
		{"one datum more than are taken, of many", "", many(3000, 0), "app 1001 m 0"},
		{"one value more than are taken, of many", "", many(1, 3000), "app 1 m 151"},
		{"too many nodes", "", "Namespace=a&x." + strings.Join(numbers(maxElements), "&x."), "SerializationException"},
		{"too deep", "", strings.Repeat("a.", 500) + "=1", "SerializationException"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := new(cloudwatch.PutMetricDataInput)
			got := ""
			err := Query{}.Decode(op, httptest.NewRequest("POST", "/?"+tt.query, nil), []byte(tt.body), in)
			if e, ok := err.(*api.Error); ok {
				got = e.Code
			} else {
				got = "-"
				if in.Namespace != nil {
					got = *in.Namespace
				}
				got = fmt.Sprint(got, " ", len(in.MetricData))
				if n := len(in.MetricData); n > 0 {
					got = fmt.Sprint(got, " ", *in.MetricData[n-1].MetricName, " ", len(in.MetricData[n-1].Values))
				}
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func numbers(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return list
}

// TestFormBytes: the nodes of a form's names are counted for, whatever they are.
func TestFormBytes(t *testing.T) {
	for _, tt := range []struct {
		codec       Codec
		body, query string
		want        int64
	}{
		{json10, "a.b.c&d", "", 0},
		{Query{}, "", "", 160},
		{Query{}, "Action=x&a.b.1=c", "d.e=1", 5 * 160},
		{Query{}, strings.Repeat(".", 2*maxElements), "", maxElements * 160},
	} {
		if got := formBytes(tt.codec, []byte(tt.body), tt.query); got != tt.want {
			t.Errorf("%.40s: %d, want %d", tt.body, got, tt.want)
		}
	}
}
