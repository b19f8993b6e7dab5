package rheo_test

import (
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rheostream/rheo"
)

// dynamoDB calls an operation over HTTP as the SDKs do.
func dynamoDB(t *testing.T, srv *rheo.Server, operation, body string) (status int, header http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequest("POST", srv.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=key/20261125/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	req.Header.Set("X-Amz-Date", "20261125T000000Z")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// TestDynamoDB: the tables are on the endpoint of the streams, answers and errors
// have their checksum, an item may be as deep as DynamoDB has it, what is not
// served is told so, and all is there after a restart.
func TestDynamoDB(t *testing.T) {
	dir := t.TempDir()
	start := func() *rheo.Server {
		srv, err := rheo.New(rheo.Config{Dir: dir, HTTP1Port: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { srv.Close() })
		return srv
	}
	srv := start()
	deep := func(n int) string {
		return strings.Repeat(`{"L":[`, n) + `{"S":"x"}` + strings.Repeat(`]}`, n)
	}
	batch := func(value string) string {
		return `{"RequestItems":{"leases":[{"PutRequest":{"Item":{"k":{"S":"deep"},"v":` + value + `}}}]}}`
	}
	for _, tt := range []struct {
		operation, body string
		status          int
		want            string // in the answer
	}{
		{"CreateTable", `{"TableName":"leases","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}]}`, 200, `"TableStatus":"CREATING"`},
		{"PutItem", `{"TableName":"leases","Item":{"k":{"S":"a"}},"ConditionExpression":"attribute_not_exists(k)"}`, 200, `{}`},
		{"PutItem", `{"TableName":"leases","Item":{"k":{"S":"a"}},"ConditionExpression":"attribute_not_exists(k)","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`, 400, `"__type":"ConditionalCheckFailedException","message":"The conditional request failed","Item":{"k":{"S":"a"}}`},
		{"BatchWriteItem", batch(deep(32)), 200, `{"UnprocessedItems":{}}`},
		{"BatchWriteItem", batch(deep(33)), 400, `Nesting Levels have exceeded supported limits`},
		{"CreateBackup", `{"TableName":"leases","BackupName":"b"}`, 400, `"__type":"UnknownOperationException","message":"CreateBackup: rheo serves the part of DynamoDB that clients of Kinesis need`},
		{"NoSuch", `{}`, 400, `"__type":"UnknownOperationException"`},
	} {
		status, header, answer := dynamoDB(t, srv, tt.operation, tt.body)
		if status != tt.status || !strings.Contains(answer, tt.want) {
			t.Errorf("%s: %d %s", tt.operation, status, answer)
		}
		if sum := header.Get("X-Amz-Crc32"); sum != fmt.Sprint(crc32.ChecksumIEEE([]byte(answer))) && tt.operation != "NoSuch" {
			t.Errorf("%s: checksum %q of %s", tt.operation, sum, answer)
		}
	}
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, answer := dynamoDB(t, start(), "Scan", `{"TableName":"leases","Select":"COUNT"}`); answer != `{"Count":2,"ScannedCount":2}` {
		t.Errorf("after a restart: %s", answer)
	}
}
