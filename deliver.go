package rheo

import (
	"context"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/call"
	"github.com/rheostream/rheo/internal/companion/logs"
)

// A streamWriter is how services of this process put records into streams: by the
// way that any call takes, for an account.
type streamWriter struct{ calls *call.Calls }

var putRecords = kinesis.Service.Op("PutRecords")

// PutRecords implements [logs.Streams].
func (w streamWriter) PutRecords(ctx context.Context, account, region, streamARN string, records []logs.StreamRecord) (refused []int, err error) {
	caller := &api.Caller{Account: account, Region: region, Principal: "arn:aws:iam::" + account + ":root", RequestID: "subscription-filter"}
	in := &kinesis.PutRecordsInput{StreamARN: &streamARN, Records: make([]kinesis.PutRecordsRequestEntry, len(records))}
	for i := range records {
		in.Records[i] = kinesis.PutRecordsRequestEntry{PartitionKey: &records[i].PartitionKey, Data: records[i].Data}
	}
	out, err := w.calls.Do(ctx, caller, putRecords, in)
	if err != nil {
		return nil, err
	}
	for i, r := range out.(*kinesis.PutRecordsOutput).Records {
		if r.ErrorCode != nil {
			refused = append(refused, i)
		}
	}
	return refused, nil
}
