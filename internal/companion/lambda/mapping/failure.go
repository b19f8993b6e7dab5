package mapping

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
)

// Conditions under which records are given up.
const (
	retriesExhausted = "RetryAttemptsExhausted"
	recordTooOld     = "RecordAgeExceeded"
)

// Failure is records that were given up, as an on-failure destination is told of them.
type Failure struct {
	mapping string
	record  failureRecord
	key     string
	event   []byte
}

// failureRecord is the document, its members in Lambda's order.
type failureRecord struct {
	RequestContext struct {
		RequestID              string `json:"requestId"`
		FunctionARN            string `json:"functionArn"`
		Condition              string `json:"condition"`
		ApproximateInvokeCount int    `json:"approximateInvokeCount"`
	} `json:"requestContext"`
	ResponseContext  *responseContext `json:"responseContext,omitempty"`
	Version          string           `json:"version"`
	Timestamp        string           `json:"timestamp"`
	KinesisBatchInfo batchInfo        `json:"KinesisBatchInfo"`
	Payload          string           `json:"payload,omitempty"`
}

// responseContext is what the last invocation answered; its functionError is null where
// the function itself said which records failed.
type responseContext struct {
	StatusCode      int     `json:"statusCode"`
	ExecutedVersion string  `json:"executedVersion"`
	FunctionError   *string `json:"functionError"`
}

type batchInfo struct {
	ShardID        ShardID        `json:"shardId"`
	StartSequence  SequenceNumber `json:"startSequenceNumber"`
	EndSequence    SequenceNumber `json:"endSequenceNumber"`
	ArrivalOfFirst string         `json:"approximateArrivalOfFirstRecord"`
	ArrivalOfLast  string         `json:"approximateArrivalOfLastRecord"`
	BatchSize      int            `json:"batchSize"`
	StreamARN      string         `json:"streamArn"`
}

const failureTime = "2006-01-02T15:04:05.000Z"

// MappingUUID names the mapping whose records they were.
func (f *Failure) MappingUUID() string { return f.mapping }

// Document is what queues and topics are sent: where the records are, not the records.
func (f *Failure) Document() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(&f.record); err != nil {
		panic("cannot encode an on-failure record: " + err.Error()) // it is strings and numbers
	}
	return bytes.TrimSpace(b.Bytes())
}

// Object is what buckets are sent: the document, with the event as a string, and the key
// aws/lambda/<UUID>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<random UUID>. Both stay the same when it is sent again.
func (f *Failure) Object() (key string, body []byte) {
	whole := *f
	whole.record.Payload = string(f.event)
	return f.key, whole.Document()
}

// newFailure tells of records that were given up now. last is the last invocation of them,
// after which they were; nil if that was not what decided. first and end are the first and last
// record, even where the invocation had none.
func newFailure(cfg *Config, shard ShardID, condition string, first, end *Record, size, invokes int, last *Result, requestID string, event []byte) *Failure {
	now := time.Now().UTC()
	f := &Failure{mapping: cfg.UUID, event: event, key: fmt.Sprintf("aws/lambda/%s/%s/%s-%s", cfg.UUID, shard, now.Format("2006/01/02/2006-01-02T15.04.05"), newUUID())}
	r := &f.record
	if r.RequestContext.RequestID = requestID; requestID == "" {
		r.RequestContext.RequestID = newUUID() // it never was invoked
	}
	r.RequestContext.FunctionARN = cfg.FunctionARN
	r.RequestContext.Condition = condition
	r.RequestContext.ApproximateInvokeCount = invokes
	if last != nil {
		r.ResponseContext = &responseContext{StatusCode: last.StatusCode, ExecutedVersion: last.ExecutedVersion}
		if last.FunctionError != "" {
			r.ResponseContext.FunctionError = &last.FunctionError
		}
	}
	r.Version = "1.0"
	r.Timestamp = now.Format(failureTime)
	r.KinesisBatchInfo = batchInfo{
		ShardID:        shard,
		StartSequence:  first.SequenceNumber,
		EndSequence:    end.SequenceNumber,
		ArrivalOfFirst: first.Arrival.UTC().Format(failureTime),
		ArrivalOfLast:  end.Arrival.UTC().Format(failureTime),
		BatchSize:      size,
		StreamARN:      cfg.StreamARN,
	}
	return f
}

// newUUID is a random UUID (version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
