package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// What the options make of records; the results are what the Kinesis Agent's own
// tests and documentation have.
func TestConvert(t *testing.T) {
	common := `{"host":"123.45.67.89","ident":null,"authuser":null,"datetime":"27/Oct/2000:09:27:09 -0400","request":"GET /java/javaResources.html HTTP/1.0","response":"200","bytes":"10450"`
	for _, c := range []struct{ option, data, want string }{
		{`{"optionName": "SINGLELINE"}`, "{\n  \"a\": {\n   \"b\": 1\n  }\n}\n", "{\"a\": {\"b\": 1}}\n"},
		{`{"optionName": "SINGLELINE", "parseOptions": ["NO_TRIM"]}`, "a\n  b \n", "a  b \n"},
		{`{"optionName": "SINGLELINE", "parseOptions": ["ESCAPE_NEW_LINE"]}`, "{\n\"a\": 1\n}\n", `{\\n"a": 1\\n}` + "\n"},

		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c1", "c2", "c3"]}`, "v1, v2,valu\ne3\n", `{"c1":"v1","c2":" v2","c3":"valu\ne3"}` + "\n"},
		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c1", "c2", "c3"]}`, "v1\n", `{"c1":"v1","c2":null,"c3":null}` + "\n"},
		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c1", "c2"]}`, "v1,v2,v3\n", `{"c1":"v1","c2":"v2"}` + "\n"},
		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c1", "c2", "c3"]}`, ",v2,\n", `{"c1":"","c2":"v2","c3":null}` + "\n"},
		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c1", "c2"]}`, "\n", `{"c1":"","c2":null}` + "\n"},
		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c1", "c2"]}`, ",,\n", `{"c1":null,"c2":null}` + "\n"},
		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c1", "c2"], "delimiter": "\\t"}`, "v1\t v2\n", `{"c1":"v1","c2":" v2"}` + "\n"},
		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c1", "c2"], "delimiter": "\\|"}`, "v1|\"v\\2\"\r\n", `{"c1":"v1","c2":"\"v\\2\"\r"}` + "\n"},
		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c"]}`, "\x01\x1f<&>\u00e9\u2028\xff\n", `{"c":"\u0001\u001F<&>` + "\u00e9\u2028\ufffd" + `"}` + "\n"},
		{`{"optionName": "CSVTOJSON", "customFieldNames": ["c1", "c2"], "jsonFormat": "PRETTYPRINT"}`, "a,b\n", "{\n  \"c1\" : \"a\",\n  \"c2\" : \"b\"\n}\n"},

		{`{"optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG"}`,
			`123.45.67.89 - - [27/Oct/2000:09:27:09 -0400] "GET /java/javaResources.html HTTP/1.0" 200 10450` + "\n", common + "}\n"},
		{`{"optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG"}`, // what stands behind is left out
			`123.45.67.89 - - [27/Oct/2000:09:27:09 -0400] "GET /java/javaResources.html HTTP/1.0" 200 10450 "-" "Mozilla/4.6"` + "\n", common + "}\n"},
		{`{"optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG"}`,
			`lj1036.inktomisearch.com frank - [27/Oct/2000:09:27:09 -0400] "GET / HTTP/1.0" 304 -` + "\n",
			`{"host":"lj1036.inktomisearch.com","ident":"frank","authuser":null,"datetime":"27/Oct/2000:09:27:09 -0400","request":"GET / HTTP/1.0","response":"304","bytes":null}` + "\n"},
		{`{"optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG"}`, `123.45.67.89 - - [27/Oct/2000:09:27:09 -0400] "GET / HTTP/1.0" 200` + "\n", "dropped"},
		{`{"optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG"}`,
			`123.45.67.89 - - [27/Oct/2000:09:27:09 -0400] "GET /java/javaResources.html HTTP/1.0" 200 10450 "-" "Mozilla/4.6 [en] (X11; U)" "MORE"` + "\n",
			common + `,"referer":null,"agent":"Mozilla/4.6 [en] (X11; U)"}` + "\n"},
		{`{"optionName": "LOGTOJSON", "logFormat": "APACHEERRORLOG"}`,
			"[Fri Sep 09 10:42:29.902022 2011] [core:error] [pid 35708:tid 4328636416] [client 72.15.99.187] File does not exist: /favicon.ico\n",
			`{"timestamp":"Fri Sep 09 10:42:29.902022 2011","module":"core","severity":"error","processid":"35708","threadid":"4328636416","client":"72.15.99.187","message":"File does not exist: /favicon.ico"}` + "\n"},
		{`{"optionName": "LOGTOJSON", "logFormat": "APACHEERRORLOG"}`,
			"[Fri Sep 09 10:42:29 2011] [error] [pid 35708] [client 72.15.99.187:12345] x\n",
			`{"timestamp":"Fri Sep 09 10:42:29 2011","module":null,"severity":"error","processid":"35708","threadid":null,"client":"72.15.99.187:12345","message":"x"}` + "\n"},
		{`{"optionName": "LOGTOJSON", "logFormat": "SYSLOG"}`, "Mar 12 12:00:08 server2 rcd[308]: Loaded 12 packages in 'x|351' (0.01878 seconds) \n",
			`{"timestamp":"Mar 12 12:00:08","hostname":"server2","program":"rcd","processid":"308","message":"Loaded 12 packages in 'x|351' (0.01878 seconds) "}` + "\n"},
		{`{"optionName": "LOGTOJSON", "logFormat": "SYSLOG"}`, "Mar  2 12:01:02 <4.6> server4 snort: Ports\n",
			`{"timestamp":"Mar  2 12:01:02","hostname":"server4","program":"snort","processid":null,"message":"Ports"}` + "\n"},
		{`{"optionName": "LOGTOJSON", "logFormat": "RFC3339SYSLOG"}`, "2016-03-12T12:00:08.123+01:00 server2 a/b[7]: -\n",
			`{"timestamp":"2016-03-12T12:00:08.123+01:00","hostname":"server2","program":"a/b","processid":"7","message":"-"}` + "\n"},
		{`{"optionName": "LOGTOJSON", "logFormat": "SYSLOG"}`, "no syslog\n", "dropped"},
		{`{"optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG", "matchPattern": "^([\\d.]+) (\\S+) (\\d{3})", "customFieldNames": ["a", "b", "c"]}`,
			"1.2.3.4 - 200\n", `{"a":"1.2.3.4","b":null,"c":"200"}` + "\n"},

		{`{"optionName": "ADDMETADATA", "metadata": {"key": "v\u00e9", "foo": {"bar": [1, 2.0]}}}`, "the \"data\"\n", `{"metadata":{"key":"vé","foo":{"bar":[1,2.0]}},"data":"the \"data\""}` + "\n"},
		{`{"optionName": "ADDMETADATA", "timestamp": "true"}`, "x\n", `{"ts":"2026-11-25T16:00:00.007Z","metadata":null,"data":"x"}` + "\n"},
		{`{"optionName": "ADDMETADATA", "metadata": {"a": [1, {}], "b": []}, "jsonFormat": "PRETTYPRINT"}`, "x", "{\n  \"metadata\" : {\n    \"a\" : [ 1, { } ],\n    \"b\" : [ ]\n  },\n  \"data\" : \"x\"\n}\n"},
		{`{"optionName": "ADDEC2METADATA"}`, `{"x": 1, "region": "mine"}` + "\n", `{"x":1,"region":"eu-west-1","tags":{"name":"web"}}` + "\n"},
		{`{"optionName": "ADDEC2METADATA"}`, "no JSON\n", "failed"},
		{`{"optionName": "ADDBRACKETS"}`, "\"a\":1\n", "{\"a\":1\n}"},
	} {
		raw := jsontext.Value(c.option)
		_, conv, _, err := newConverter(value{"o", raw})
		if err != nil {
			t.Errorf("%s: %v", c.option, err)
			continue
		}
		got, err := chain{conv}.convert([]byte(c.data), moment{
			time.Date(2026, 11, 25, 17, 0, 0, 7e6, time.FixedZone("", 3600)),
			[]Attribute{{"region", jsontext.Value(`"eu-west-1"`)}, {"tags", jsontext.Value(`{"name":"web"}`)}},
		})
		text := string(got)
		switch {
		case errors.Is(err, errDrop):
			text = "dropped"
		case err != nil:
			text = "failed"
		}
		if text != c.want {
			t.Errorf("%s of %q\n got  %q\n want %q", c.option, c.data, text, c.want)
		}
	}
}

// Options apply one after the other.
func TestConvertChain(t *testing.T) {
	s, err := Load(writeConfig(t, `{"flows": [{"filePattern": "/a/b", "kinesisStream": "s", "dataProcessingOptions": [
		{"optionName": "SINGLELINE", "parseOptions": ["NO_TRIM"]}, {"optionName": "CSVTOJSON", "customFieldNames": ["a"]}, {"optionName": "ADDMETADATA", "metadata": 1}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Flows[0].convert.convert([]byte("x\ny\n"), moment{})
	if want := `{"metadata":1,"data":"{\"a\":\"xy\"}"}` + "\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// A machine that says nothing leaves records as they are.
func TestConvertWithoutHost(t *testing.T) {
	if got, err := (hostAdder{}).convert([]byte("x\n"), moment{}); err != nil || string(got) != "x\n" {
		t.Errorf("%q, %v", got, err)
	}
}
