package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// newPrinter is the function that prints a record in one of the forms.
func newPrinter(w io.Writer, form string, s style) (func(userRecord) error, error) {
	switch form {
	case "raw":
		return func(u userRecord) error {
			_, err := w.Write(append(u.data[:len(u.data):len(u.data)], '\n'))
			return err
		}, nil
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return func(u userRecord) error { return e.Encode(document(u)) }, nil
	case "pretty":
		return func(u userRecord) error {
			_, err := io.WriteString(w, pretty(u, s))
			return err
		}, nil
	}
	return nil, fmt.Errorf("output %q is none of raw, json, pretty", form)
}

// recordDocument is a record in the form json. One of Data and DataBase64 is set.
type recordDocument struct {
	Shard           string          `json:"shard"`
	SequenceNumber  string          `json:"sequenceNumber"`
	Sub             *int            `json:"subSequenceNumber,omitempty"`
	Arrival         string          `json:"arrival"`
	Key             string          `json:"key"`
	ExplicitHashKey string          `json:"explicitHashKey,omitempty"`
	Decoded         []string        `json:"decoded,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`       // JSON as it is, text as a string
	DataBase64      []byte          `json:"dataBase64,omitempty"` // what is neither
}

func document(u userRecord) recordDocument {
	d := recordDocument{
		Shard: u.shard, SequenceNumber: u.sequence, Arrival: u.arrival.UTC().Format("2006-01-02T15:04:05.000Z"),
		Key: u.key, ExplicitHashKey: u.hashKey, Decoded: u.undone,
	}
	if u.sub >= 0 {
		d.Sub = &u.sub
	}
	switch {
	case json.Valid(u.data):
		d.Data = u.data
	case utf8.Valid(u.data):
		d.Data, _ = json.Marshal(string(u.data))
	default:
		d.DataBase64 = u.data
	}
	return d
}

// pretty is a line about the record and then its data, indented.
func pretty(u userRecord, s style) string {
	var b strings.Builder
	b.WriteString(s.dim(u.arrival.Local().Format("15:04:05.000") + "  " + shardNumber(u.shard) + "  "))
	b.WriteString(s.bold(visible(u.key)))
	if len(u.undone) > 0 {
		b.WriteString(s.dim("  " + strings.Join(u.undone, " ")))
	}
	if age := time.Since(u.arrival); age > 24*time.Hour {
		b.WriteString(s.dim("  " + u.arrival.Local().Format("2006-01-02")))
	}
	b.WriteString("\n")
	for line := range strings.Lines(shown(u.data, s)) {
		b.WriteString("  " + strings.TrimSuffix(line, "\n") + "\n")
	}
	return b.String()
}

// hexMax is how many bytes of binary data are shown.
const hexMax = 512

func shown(data []byte, s style) string {
	if len(data) == 0 {
		return s.dim("(no data)")
	}
	var indented bytes.Buffer
	if (data[0] == '{' || data[0] == '[') && json.Indent(&indented, data, "", "  ") == nil {
		return s.json(visible(indented.String()))
	}
	if isText(data) {
		return visible(string(data))
	}
	if len(data) > hexMax {
		return hex.Dump(data[:hexMax]) + s.dim(fmt.Sprintf("... %s bytes in all", thousands(len(data))))
	}
	return hex.Dump(data)
}

// isText says whether a person could read data.
func isText(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	control := 0
	for _, r := range string(data) {
		if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' {
			control++
		}
	}
	return control*5 <= len(data)
}
