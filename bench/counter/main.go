// Command counter is the function of the rows of Lambda: invoked with a batch of a
// stream it counts the records, and answers how many it has seen; with anything else it
// answers that.
package main

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	counted := 0 // by this instance, which has one invocation at a time
	lambda.Start(func(_ context.Context, event json.RawMessage) (any, error) {
		if !bytes.HasPrefix(event, []byte(`{"Records"`)) {
			return event, nil
		}
		var batch events.KinesisEvent
		if err := json.Unmarshal(event, &batch); err != nil {
			return nil, err
		}
		counted += len(batch.Records)
		return counted, nil
	})
}
