package pattern_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping/pattern"
)

var constants = &pattern.Constants{
	EventSourceARN:    "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
	Region:            "us-east-2",
	InvokeIdentityARN: "arn:aws:iam::123456789012:role/lambda-role",
}

func record(data string) *pattern.Event {
	return &pattern.Event{
		Constants: constants, ShardID: "shardId-000000000006", PartitionKey: "p-1", SequenceNumber: "4959033827",
		Arrival: "1545084650.987", Data: []byte(data),
	}
}

func TestMatch(t *testing.T) {
	const order = `{"record": 12345, "order": {"type": "buy", "stock": "ANYCO", "quantity": 1000}}`
	for _, test := range []struct {
		pattern, data string
		want          bool
	}{
		// Values.
		{`{"data":{"order":{"type":["buy"]}}}`, order, true},
		{`{"data":{"order":{"type":["sell"]}}}`, order, false},
		{`{"data":{"order":{"type":["sell","buy"]}}}`, order, true},
		{`{"data":{"order":{"type":["Buy"]}}}`, order, false},
		{`{"data":{"order":{"type":["buy"],"stock":["ANYCO"]}}}`, order, true},
		{`{"data":{"order":{"type":["buy"],"stock":["OTHER"]}}}`, order, false},
		{`{"data":{"a":[null]}}`, `{"a":null}`, true},
		{`{"data":{"a":[null]}}`, `{"a":""}`, false},
		{`{"data":{"a":[null]}}`, `{"b":1}`, false},
		{`{"data":{"a":[""]}}`, `{"a":""}`, true},
		{`{"data":{"a":[""]}}`, `{"a":null}`, false},
		{`{"data":{"a":[true]}}`, `{"a":true}`, true},
		{`{"data":{"a":[true]}}`, `{"a":"true"}`, false},
		{`{"data":{"a":[false]}}`, `{"a":false}`, true},
		{`{"data":{"a":["x"]}}`, `{"a":"\u0078"}`, true},
		{`{"data":{"\u0061":["x"]}}`, `{"\u0061":"x"}`, true},
		{`{"data":{"a":["é\n"]}}`, `{"a":"é\n"}`, true},

		// Numbers are compared as they are written.
		{`{"data":{"a":[300]}}`, `{"a":300}`, true},
		{`{"data":{"a":[300]}}`, `{"a":300.0}`, false},
		{`{"data":{"a":[300]}}`, `{"a":3.0e2}`, false},
		{`{"data":{"a":[300]}}`, `{"a":"300"}`, false},
		{`{"data":{"a":["300"]}}`, `{"a":300}`, false},
		{`{"data":{"a":[3.0e2]}}`, `{"a":3.0e2}`, true},

		// Operators.
		{`{"data":{"a":[{"prefix":"us-"}]}}`, `{"a":"us-east-2"}`, true},
		{`{"data":{"a":[{"prefix":"us-"}]}}`, `{"a":"eu-us-"}`, false},
		{`{"data":{"a":[{"prefix":"1"}]}}`, `{"a":12}`, false},
		{`{"data":{"a":[{"suffix":".png"}]}}`, `{"a":"b.png"}`, true},
		{`{"data":{"a":[{"suffix":".png"}]}}`, `{"a":"b.png.gz"}`, false},
		{`{"data":{"a":[{"equals-ignore-case":"alice"}]}}`, `{"a":"ALice"}`, true},
		{`{"data":{"a":[{"equals-ignore-case":"alice"}]}}`, `{"a":"bob"}`, false},
		{`{"data":{"a":[{"anything-but":"x"}]}}`, `{"a":"y"}`, true},
		{`{"data":{"a":[{"anything-but":"x"}]}}`, `{"a":"x"}`, false},
		{`{"data":{"a":[{"anything-but":"x"}]}}`, `{"a":1}`, true},
		{`{"data":{"a":[{"anything-but":""}]}}`, `{"a":null}`, true},
		{`{"data":{"a":[{"anything-but":"x"}]}}`, `{"b":1}`, false},
		{`{"data":{"a":[{"anything-but":["x","y"]}]}}`, `{"a":"y"}`, false},
		{`{"data":{"a":[{"anything-but":["x","y"]}]}}`, `{"a":"z"}`, true},
		{`{"data":{"a":[{"anything-but":[1,2]}]}}`, `{"a":2}`, false},
		{`{"data":{"a":[{"anything-but":[1,2]}]}}`, `{"a":3}`, true},
		{`{"data":{"a":[{"anything-but":3}]}}`, `{"a":3}`, false},
		{`{"data":{"a":[{"anything-but":{"prefix":"us-"}}]}}`, `{"a":"us-east-2"}`, false},
		{`{"data":{"a":[{"anything-but":{"prefix":"us-"}}]}}`, `{"a":"eu-west-1"}`, true},
		{`{"data":{"a":[{"anything-but":{"prefix":["us-","eu-"]}}]}}`, `{"a":"eu-west-1"}`, false},
		{`{"data":{"a":[{"anything-but":{"suffix":".png"}}]}}`, `{"a":"b.png"}`, false},
		{`{"data":{"a":[{"anything-but":{"suffix":".png"}}]}}`, `{"a":"b.gif"}`, true},
		{`{"data":{"a":[{"numeric":["=",100]}]}}`, `{"a":1e2}`, true},
		{`{"data":{"a":[{"numeric":[">",10,"<=",20]}]}}`, `{"a":20.0}`, true},
		{`{"data":{"a":[{"numeric":[">",10,"<=",20]}]}}`, `{"a":10}`, false},
		{`{"data":{"a":[{"numeric":[">=",10,"<",20]}]}}`, `{"a":10}`, true},
		{`{"data":{"a":[{"numeric":[">=",10,"<",20]}]}}`, `{"a":20}`, false},
		{`{"data":{"a":[{"numeric":["<",0]}]}}`, `{"a":-0.5}`, true},
		{`{"data":{"a":[{"numeric":["<",0]}]}}`, `{"a":"-1"}`, false},
		{`{"data":{"a":[{"numeric":[">",0]}]}}`, `{"a":1e999}`, false},
		{`{"data":{"a":["x",{"prefix":"y"},{"numeric":["=",1]}]}}`, `{"a":1.0}`, true},

		// exists looks at leaves.
		{`{"data":{"a":[{"exists":true}]}}`, `{"a":null}`, true},
		{`{"data":{"a":[{"exists":true}]}}`, `{"b":1}`, false},
		{`{"data":{"a":[{"exists":true}]}}`, `{"a":{"b":1}}`, false},
		{`{"data":{"a":[{"exists":false}]}}`, `{"a":{"b":1}}`, true},
		{`{"data":{"a":[{"exists":true}]}}`, `{"a":[]}`, false},
		{`{"data":{"a":[{"exists":false}]}}`, `{"a":[]}`, true},
		{`{"data":{"a":{"b":[{"exists":false}]}}}`, `{"c":1}`, true},
		{`{"data":{"a":{"b":[{"exists":false}]}}}`, `{"a":1}`, true},
		{`{"data":{"a":{"b":[{"exists":false}]}}}`, `{"a":{"b":1}}`, false},
		{`{"data":{"a":{"b":[{"exists":false}]}}}`, `{"a":[{"c":1},{"b":1}]}`, false},
		{`{"data":{"a":{"b":[{"exists":false}]}}}`, `{"a":[{"c":1},{"d":1}]}`, true},
		{`{"data":{"a":[{"exists":false},"x"]}}`, `{"a":"x"}`, true},
		{`{"data":{"a":[{"exists":false},"x"]}}`, `{"a":"y"}`, false},

		// Arrays: one element, the same for all of an object.
		{`{"data":{"a":["x"]}}`, `{"a":["y","x"]}`, true},
		{`{"data":{"a":["x"]}}`, `{"a":["y",["z",["x"]]]}`, true},
		{`{"data":{"a":["x"]}}`, `{"a":["y"]}`, false},
		{`{"data":{"a":["x"]}}`, `{"a":[{"x":"x"}]}`, false},
		{`{"data":{"a":[{"anything-but":"x"}]}}`, `{"a":["x","y"]}`, true},
		{`{"data":{"a":{"b":[1],"c":[2]}}}`, `{"a":[{"b":1,"c":3},{"b":2,"c":2}]}`, false},
		{`{"data":{"a":{"b":[1],"c":[2]}}}`, `{"a":[{"b":1,"c":3},{"b":1,"c":2}]}`, true},
		{`{"data":{"a":{"b":{"c":[1]}}}}`, `{"a":[[{"b":[{"c":0}]}],[{"b":[{"c":[1]}]}]]}`, true},
		{`{"data":{"a":["x"]}}`, `[{"a":"y"},{"a":"x"}]`, true},

		// $or.
		{`{"data":{"$or":[{"a":[1]},{"b":{"c":[2]}}]}}`, `{"b":{"c":2}}`, true},
		{`{"data":{"$or":[{"a":[1]},{"b":{"c":[2]}}]}}`, `{"b":{"c":3}}`, false},
		{`{"data":{"d":[1],"$or":[{"a":[1]},{"b":[2]}]}}`, `{"a":1,"d":2}`, false},
		{`{"$or":[{"partitionKey":["other"]},{"data":{"a":[1]}}]}`, `{"a":1}`, true},
		{`{"$or":[{"partitionKey":["p-1"]},{"data":{"a":[1]}}]}`, `{"a":2}`, true},
		{`{"data":{"$or":[{"a":[1]},{"$or":[{"b":[1]},{"c":[1]}]}]}}`, `{"c":1}`, true},

		// Of members of one name the last counts; what stands around values does not.
		{`{"data":{"a":[1]}}`, `{"a":2,"a":1}`, true},
		{`{"data":{"a":[1]}}`, `{"a":1,"a":2}`, false},
		{`{"data":{"a":[1]}}`, " {\n\t\"x\" : [ 1 , {\"a\":5} , \"]}\\\"\" ] , \"a\" : 1 } \r\n", true},
		{`{"data":{"a":{"b":["x"]}}}`, `{"z":{"b":"y"},"a":{"c":{"b":"y"},"b":"x"}}`, true},

		// The record.
		{`{"partitionKey":["p-1"]}`, "no JSON", true},
		{`{"partitionKey":[{"prefix":"q"}]}`, "no JSON", false},
		{`{"partitionKey":["p-1"],"data":{"a":[1]}}`, "no JSON", false},
		{`{"data":{"a":[{"exists":false}]}}`, "no JSON", false},
		{`{"data":{"a":[{"exists":false}]}}`, "", false},
		{`{"data":{"a":[{"exists":false}]}}`, `{} {}`, false},
		{`{"data":{"a":[{"exists":false}]}}`, "{\"a\":\"\xff\"}", false},
		{`{"data":{"a":[{"exists":false}]}}`, `{}`, true},
		{`{"data":{"a":[1]}}`, `"text"`, false},
		{`{"$or":[{"partitionKey":["p-1"]},{"data":{"a":[1]}}]}`, "no JSON", false},
		{`{"sequenceNumber":["4959033827"]}`, "", true},
		{`{"kinesisSchemaVersion":["1.0"],"eventVersion":["1.0"],"eventName":["aws:kinesis:record"],"eventSource":["aws:kinesis"]}`, "", true},
		{`{"eventID":["shardId-000000000006:4959033827"],"awsRegion":["us-east-2"]}`, "", true},
		{`{"eventSourceARN":[{"suffix":"/lambda-stream"}],"invokeIdentityArn":[{"prefix":"arn:aws:iam::123456789012:"}]}`, "", true},
		{`{"approximateArrivalTimestamp":[{"numeric":[">",1545084650,"<",1545084651]}]}`, "", true},
		{`{"approximateArrivalTimestamp":[1545084650.987]}`, "", true},
		{`{"unknown":["x"]}`, "", false},
		{`{"unknown":[{"exists":false}]}`, "", true},
		{`{"kinesis":{"partitionKey":["p-1"]}}`, "", false},
	} {
		set, err := pattern.Compile([]string{test.pattern}, 5)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err.(*pattern.Error).Reason)
			continue
		}
		if got := set.Match(record(test.data)); got != test.want {
			t.Errorf("%s on %s: %v, want %v", test.pattern, test.data, got, test.want)
		}
	}
}

// TestManyFields: an object of a pattern may have more fields than are looked up at once.
func TestManyFields(t *testing.T) {
	var fields, members []string
	for i := range 40 {
		fields = append(fields, fmt.Sprintf(`"f%d":[%d]`, i, i))
		members = append(members, fmt.Sprintf(`"f%d":%d`, i, i))
	}
	set, err := pattern.Compile([]string{`{"data":{` + strings.Join(fields, ",") + `}}`}, 5)
	if err != nil {
		t.Fatal(err)
	}
	all := `{` + strings.Join(members, ",") + `}`
	if !set.Match(record(all)) {
		t.Error("all fields are there")
	}
	if set.Match(record(strings.Replace(all, `"f33":33`, `"f33":34`, 1))) {
		t.Error("one field differs")
	}
}

// TestSet: one pattern is enough; none lets everything through.
func TestSet(t *testing.T) {
	set, err := pattern.Compile([]string{`{"data":{"a":[1]}}`, `{"data":{"a":[2]}}`}, 5)
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]bool{`{"a":1}`: true, `{"a":2}`: true, `{"a":3}`: false} {
		if set.Match(record(data)) != want {
			t.Errorf("%s: want %v", data, want)
		}
	}
	none, err := pattern.Compile(nil, 5)
	if err != nil || !none.Match(record("x")) || !none.Empty() || !(*pattern.Set)(nil).Match(record("x")) {
		t.Errorf("no patterns: %v", err)
	}
}

func TestInvalid(t *testing.T) {
	for _, p := range []string{
		``, `x`, `"single-string"`, `[{"eventName":["INSERT"]}]`, `null`, `{}`, `{"a":{}}`, `{"a":[]}`, `{"a":"x"}`, `{"a":1}`, `{"a":null}`,
		`{"a":["x"]} {}`, `{"a":["x"]`, `{"a":[["x"]]}`, `{"a":[{}]}`, `{"a":[{"prefix":"a","suffix":"b"}]}`, `{'a':['x']}`,
		`{"data":["x"]}`, `{"data":[{"exists":true}]}`, `{"$or":[{"a":["x"]},{"data":["x"]}]}`,
		`{"a":[{"prefix":1}]}`, `{"a":[{"prefix":["x"]}]}`, `{"a":[{"suffix":null}]}`, `{"a":[{"equals-ignore-case":["x"]}]}`,
		`{"a":[{"exists":"true"}]}`, `{"a":[{"exists":[]}]}`, `{"a":[{"exists":{}}]}`,
		`{"a":[{"anything-but":[]}]}`, `{"a":[{"anything-but":[1,"x"]}]}`, `{"a":[{"anything-but":null}]}`, `{"a":[{"anything-but":[null]}]}`,
		`{"a":[{"anything-but":{"prefix":""}}]}`, `{"a":[{"anything-but":{"prefix":1}}]}`, `{"a":[{"anything-but":{"wildcard":"x*"}}]}`,
		`{"a":[{"anything-but":{}}]}`, `{"a":[{"anything-but":{"prefix":[]}}]}`,
		`{"a":[{"numeric":[]}]}`, `{"a":[{"numeric":">"}]}`, `{"a":[{"numeric":[">"]}]}`, `{"a":[{"numeric":[">","1"]}]}`, `{"a":[{"numeric":["~",1]}]}`,
		`{"a":[{"numeric":["<",1,">",0]}]}`, `{"a":[{"numeric":["=",1,"<",2]}]}`, `{"a":[{"numeric":[">",2,"<",1]}]}`, `{"a":[{"numeric":[">",1,"<",2,"<",3]}]}`,
		`{"a":[{"numeric":[">",1e999]}]}`, `{"a":[{"numeric":[1,">"]}]}`,
		`{"a":[{"wildcard":"x*"}]}`, `{"a":[{"cidr":"10.0.0.0/24"}]}`, `{"a":[{"unknown":1}]}`,
		`{"$or":[]}`, `{"$or":[{"a":[1]}]}`, `{"$or":{"a":[1]}}`, `{"$or":[{"a":[1]},1]}`, `{"$or":[{"a":[1]},{}]}`,
		`{"a":["` + strings.Repeat("x", 4096) + `"]}`,
		strings.Repeat(`{"a":`, 200) + `[1]` + strings.Repeat(`}`, 200),
	} {
		_, err := pattern.Compile([]string{`{"a":["x"]}`, p}, 5)
		var invalid *pattern.Error
		if !errors.As(err, &invalid) || err.Error() != "Invalid filter pattern definition." || !strings.HasPrefix(invalid.Reason, "filter 2: ") {
			t.Errorf("%.100s: %v", p, err)
		}
	}
	many := []string{`{"a":[1]}`, `{"a":[1]}`, `{"a":[1]}`, `{"a":[1]}`, `{"a":[1]}`, `{"a":[1]}`}
	if _, err := pattern.Compile(many, pattern.FiltersDefault); err == nil {
		t.Error("six filters where five may be")
	}
	if _, err := pattern.Compile(many, pattern.FiltersMax); err != nil {
		t.Error(err)
	}
}

// TestAllocations: matching allocates nothing where there are no escapes.
func TestAllocations(t *testing.T) {
	set, data := benchmarked(t)
	e := record(data)
	if n := testing.AllocsPerRun(100, func() { set.Match(e) }); n > 0 && !raced {
		t.Errorf("%v allocations", n)
	}
}

func benchmarked(t testing.TB) (*pattern.Set, string) {
	set, err := pattern.Compile([]string{
		`{"data":{"order":{"type":["sell"],"quantity":[{"numeric":[">",100]}]}}}`,
		`{"data":{"order":{"type":["buy"],"stock":[{"anything-but":["A","B"]}],"flag":[{"exists":false}]},"tags":[{"prefix":"z-"}]}}`,
	}, 5)
	if err != nil {
		t.Fatal(err)
	}
	data := `{"record":12345,"customer":{"name":"A Person","address":{"street":"1 Main St","city":"Anytown"},"since":"2019-01-01"},` +
		`"order":{"type":"buy","stock":"ANYCO","quantity":1000,"lines":[{"n":1,"price":10.5},{"n":2,"price":11.5},{"n":3,"price":12.5}]},` +
		`"tags":["a-1","b-2","c-3","z-4"],"note":"` + strings.Repeat("lorem ipsum ", 40) + `"}`
	return set, data
}

func BenchmarkMatch(b *testing.B) {
	set, data := benchmarked(b)
	e := record(data)
	if !set.Match(e) {
		b.Fatal("no match")
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		set.Match(e)
	}
}
