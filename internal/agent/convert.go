package agent

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// A converter makes one record of another. errDrop says that there is none; any
// other error, that the record cannot be converted: then it is sent as it was read.
type converter interface {
	convert(data []byte, at moment) ([]byte, error)
}

// A moment is what a converter may know beside the record.
type moment struct {
	now  time.Time
	host []Attribute // of the machine; none if it is not known
}

// An Attribute is something known of the machine, for ADDEC2METADATA: a name and its JSON value.
type Attribute struct {
	Name  string
	Value jsontext.Value
}

var errDrop = errors.New("the record is not to be sent")

// A chain is the dataProcessingOptions of a flow.
type chain []converter

func (c chain) convert(data []byte, at moment) ([]byte, error) {
	for _, one := range c {
		var err error
		if data, err = one.convert(data, at); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// needsHost says whether a converter wants the machine's attributes.
func (c chain) needsHost() bool {
	for _, one := range c {
		if _, ok := one.(hostAdder); ok {
			return true
		}
	}
	return false
}

// hostTTL is how long what is known of the machine is good for; 0: it is not said.
func (c chain) hostTTL() (ttl time.Duration) {
	for _, one := range c {
		if h, ok := one.(hostAdder); ok && h.ttl > 0 {
			ttl = h.ttl
		}
	}
	return ttl
}

// An option is what dataProcessingOptions may have in one of its objects.
type option struct {
	name, logFormat, jsonFormat, delimiter string
	delimiterAt                            value
	matchPattern                           *regexp.Regexp
	fields                                 []string
	noTrim, escapeNewLine                  bool
	timestamp                              bool
	metadata                               jsontext.Value
	metadataTTL                            time.Duration
}

// optionKeys are those of each optionName.
var optionKeys = map[string][]string{
	"SINGLELINE":     {"parseOptions"},
	"CSVTOJSON":      {"customFieldNames", "delimiter", "jsonFormat"},
	"LOGTOJSON":      {"logFormat", "matchPattern", "customFieldNames", "jsonFormat"},
	"ADDMETADATA":    {"metadata", "timestamp", "jsonFormat"},
	"ADDEC2METADATA": {"logFormat", "metadataTTL", "jsonFormat"},
	"ADDBRACKETS":    {},
	"USINGPLUGGIN":   {"className"},
}

var optionFields = []key[option]{
	{"optionName", func(o *option, v value) (err error) {
		o.name, err = v.oneOf("SINGLELINE", "CSVTOJSON", "LOGTOJSON", "ADDMETADATA", "ADDEC2METADATA", "ADDBRACKETS", "USINGPLUGGIN")
		return err
	}},
	{"parseOptions", func(o *option, v value) error {
		items, err := v.list()
		if err != nil {
			return err
		}
		for _, item := range items {
			s, err := item.oneOf("NO_TRIM", "ESCAPE_NEW_LINE")
			if err != nil {
				return err
			}
			o.noTrim = o.noTrim || s == "NO_TRIM"
			o.escapeNewLine = o.escapeNewLine || s == "ESCAPE_NEW_LINE"
		}
		return nil
	}},
	{"customFieldNames", func(o *option, v value) (err error) {
		if o.fields, err = v.texts(); err == nil && len(o.fields) == 0 {
			err = v.errorf("it has no names")
		}
		return err
	}},
	{"delimiter", func(o *option, v value) (err error) { o.delimiterAt = v; o.delimiter, err = v.text(); return err }},
	{"logFormat", func(o *option, v value) (err error) {
		o.logFormat, err = v.oneOf("COMMONAPACHELOG", "COMBINEDAPACHELOG", "APACHEERRORLOG", "SYSLOG", "RFC3339SYSLOG")
		return err
	}},
	{"matchPattern", func(o *option, v value) error {
		s, err := v.text()
		if err == nil {
			o.matchPattern, err = compileWhole(v, "", s)
		}
		return err
	}},
	{"jsonFormat", func(o *option, v value) (err error) {
		o.jsonFormat, err = v.oneOf("COMPACT", "PRETTYPRINT")
		return err
	}},
	{"timestamp", boolean(func(o *option) *bool { return &o.timestamp })},
	{"metadata", func(o *option, v value) error {
		o.metadata = v.raw.Clone()
		if err := o.metadata.Compact(); err != nil {
			return v.errorf("%w", err)
		}
		return nil
	}},
	{"metadataTTL", duration(time.Second, 1, 1<<31-1, func(o *option) *time.Duration { return &o.metadataTTL })},
	{"className", func(o *option, v value) error { _, err := v.text(); return err }},
}

// newConverter makes what one object of dataProcessingOptions asks for.
func newConverter(v value) (name string, c converter, notice string, err error) {
	var o option
	if err := fill(&o, v.raw, v.at, optionFields); err != nil {
		return "", nil, "", err
	}
	at := func(key string) value { return value{at: v.at + "." + key} }
	if o.name == "" {
		return "", nil, "", at("optionName").errorf("it is missing")
	}
	members, err := v.members()
	if err != nil {
		return "", nil, "", err
	}
	for _, m := range members {
		known := m.name == "optionName"
		for _, k := range optionKeys[o.name] {
			known = known || k == m.name
		}
		if !known {
			return "", nil, "", m.errorf("%s has no such key", o.name)
		}
	}
	layout := compactLayout
	if o.jsonFormat == "PRETTYPRINT" {
		layout = prettyLayout
	}
	switch o.name {
	case "SINGLELINE":
		return o.name, singleLine{o.noTrim, o.escapeNewLine}, "", nil
	case "CSVTOJSON":
		if o.fields == nil {
			return "", nil, "", at("customFieldNames").errorf("it is missing")
		}
		if o.delimiter == "" {
			o.delimiter = ","
		}
		delimiter, err := compile(o.delimiterAt, o.delimiter, o.delimiter)
		if err != nil {
			return "", nil, "", err
		}
		return o.name, csvToJSON{o.fields, delimiter, layout}, "", nil
	case "LOGTOJSON":
		c, err := newLogToJSON(o, at, layout)
		return o.name, c, "", err
	case "ADDMETADATA":
		if o.metadata == nil {
			o.metadata = jsontext.Value("null")
		}
		return o.name, metadataAdder{o.metadata, o.timestamp, layout}, "", nil
	case "ADDEC2METADATA":
		return o.name, hostAdder{layout, o.metadataTTL}, "", nil
	case "ADDBRACKETS":
		return o.name, brackets{}, "", nil
	}
	return "", nil, "", at("optionName").errorf("USINGPLUGGIN names a Java class, which cannot be run here")
}

// singleLine joins the lines of a record: each without the white space around it,
// and \\n between them if asked for.
type singleLine struct{ noTrim, escape bool }

func (s singleLine) convert(data []byte, _ moment) ([]byte, error) {
	parts := strings.Split(strings.TrimRight(toUTF8(data), "\n"), "\n")
	var b strings.Builder
	for i, p := range parts {
		if i > 0 && s.escape {
			b.WriteString(`\\n`) // two backslashes, as the Kinesis Agent writes it
		}
		if !s.noTrim {
			p = strings.TrimFunc(p, func(r rune) bool { return r <= ' ' })
		}
		b.WriteString(p)
	}
	b.WriteByte('\n')
	return []byte(b.String()), nil
}

// csvToJSON makes an object of the columns: the delimiter is a regular expression,
// columns without a name are left out, names without a column are null, and so are
// empty columns that nothing stands behind. There is no quoting.
type csvToJSON struct {
	fields    []string
	delimiter *regexp.Regexp
	layout    layout
}

func (c csvToJSON) convert(data []byte, _ moment) ([]byte, error) {
	line := withoutLF(toUTF8(data))
	columns := c.delimiter.Split(line, -1)
	if len(columns) > 1 { // a line without delimiters is one column, if an empty one
		for len(columns) > 0 && columns[len(columns)-1] == "" {
			columns = columns[:len(columns)-1]
		}
	}
	o := object{layout: c.layout}
	for i, name := range c.fields {
		if i < len(columns) {
			o.text(name, columns[i])
		} else {
			o.raw(name, null)
		}
	}
	return o.line(), nil
}

// metadataAdder wraps a record into {"ts","metadata","data"}.
type metadataAdder struct {
	metadata  jsontext.Value
	timestamp bool
	layout    layout
}

func (m metadataAdder) convert(data []byte, at moment) ([]byte, error) {
	o := object{layout: m.layout}
	if m.timestamp {
		o.text("ts", at.now.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	o.raw("metadata", m.metadata)
	o.text("data", withoutLF(toUTF8(data)))
	return o.line(), nil
}

// hostAdder puts what is known of the machine into a record that is a JSON object.
// Where nothing is known, the record stays as it is.
type hostAdder struct {
	layout layout
	ttl    time.Duration // 0: an hour
}

func (h hostAdder) convert(data []byte, at moment) ([]byte, error) {
	if len(at.host) == 0 {
		return data, nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(data))
	raw, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	members, err := value{"record", raw}.members()
	if err != nil {
		return nil, err
	}
	o := object{layout: h.layout}
	put := map[string]bool{}
	for _, m := range members {
		v := m.raw
		for _, a := range at.host {
			if a.Name == m.name {
				v = a.Value // in the place of the record's own, as a map's put does it
			}
		}
		put[m.name] = true
		o.raw(m.name, v)
	}
	for _, a := range at.host {
		if !put[a.Name] {
			o.raw(a.Name, a.Value)
		}
	}
	return o.line(), nil
}

// brackets puts a record, its line feed included, between { and }.
type brackets struct{}

func (brackets) convert(data []byte, _ moment) ([]byte, error) {
	out := make([]byte, 0, len(data)+2)
	return append(append(append(out, '{'), data...), '}'), nil
}

func withoutLF(s string) string { return strings.TrimSuffix(s, "\n") }

// toUTF8 is data as text; what is not UTF-8 is replaced.
func toUTF8(data []byte) string {
	if utf8.Valid(data) {
		return string(data)
	}
	return strings.ToValidUTF8(string(data), "\uFFFD")
}
