package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// checkMetrics is whether the agent's metrics arrived under the Kinesis Agent's names, and do
// not tell of more records than the streams have.
func checkMetrics(ctx context.Context, client *cloudwatch.Client, taken int) error {
	namespace := aws.String("AWSKinesisAgent")
	names := map[string]bool{}
	pages := cloudwatch.NewListMetricsPaginator(client, &cloudwatch.ListMetricsInput{Namespace: namespace})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, m := range page.Metrics {
			for _, d := range m.Dimensions {
				names[*m.MetricName+" of "+*d.Name+" "+*d.Value] = true
			}
		}
	}
	var errs []error
	sum := 0.0
	for _, stream := range []string{wideStream, slowStream} {
		destination := "KinesisStream:" + stream
		for _, name := range []string{"BytesSent", "RecordsSent", "RecordSendAttempts", "RecordSendErrors", "ServiceErrors"} {
			if what := name + " of Destination " + destination; !names[what] {
				errs = append(errs, fmt.Errorf("CloudWatch has no %s", what))
			}
		}
		out, err := client.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
			Namespace: namespace, MetricName: aws.String("RecordsSent"), Dimensions: []types.Dimension{{Name: aws.String("Destination"), Value: &destination}},
			StartTime: aws.Time(time.Now().Add(-time.Hour)), EndTime: aws.Time(time.Now().Add(time.Minute)), Period: aws.Int32(60), Statistics: []types.Statistic{types.StatisticSum}})
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for _, p := range out.Datapoints {
			sum += *p.Sum
		}
	}
	if sum <= 0 || sum > float64(taken) {
		errs = append(errs, fmt.Errorf("RecordsSent is %.0f, and there are %d records", sum, taken))
	}
	fmt.Printf("CloudWatch has %d of the agent's metrics; RecordsSent is %.0f of %d, the rest was not told before kills\n", len(names), sum, taken)
	return errors.Join(errs...)
}
