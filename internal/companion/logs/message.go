package logs

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"sync"
)

// A message is what a destination gets: events of one stream.
type message struct {
	MessageType         string         `json:"messageType"`
	Owner               string         `json:"owner"`
	LogGroup            string         `json:"logGroup"`
	LogStream           string         `json:"logStream"`
	SubscriptionFilters []string       `json:"subscriptionFilters"`
	LogEvents           []messageEvent `json:"logEvents"`
}

type messageEvent struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

const (
	dataMessage    = "DATA_MESSAGE"
	controlMessage = "CONTROL_MESSAGE"
)

var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// compress is the message as it is delivered: gzip of JSON.
func (m *message) compress() ([]byte, error) {
	var b bytes.Buffer
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	z.Reset(&b)
	e := json.NewEncoder(z)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// forFunction is a compressed message as a function gets it.
func forFunction(compressed []byte) ([]byte, error) {
	type awslogs struct {
		Data string `json:"data"`
	}
	return json.Marshal(struct {
		AWSLogs awslogs `json:"awslogs"`
	}{awslogs{base64.StdEncoding.EncodeToString(compressed)}})
}
