// Package metrics asks CloudWatch for what a client library has put there of its own
// accord. That a library logs no failure of a put is little; what shows that metrics work is
// to find them.
package metrics

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Total is the sum of the last hour of a metric that has the given names of dimensions,
// whatever their values. It is an error if there is no such metric, or nothing in it.
func Total(ctx context.Context, client *cloudwatch.Client, namespace, name string, dimensions ...string) (sum float64, err error) {
	found := 0
	pages := cloudwatch.NewListMetricsPaginator(client, &cloudwatch.ListMetricsInput{Namespace: &namespace, MetricName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, fmt.Errorf("cannot list metrics of %s: %w", namespace, err)
		}
		for _, m := range page.Metrics {
			if !has(m.Dimensions, dimensions) {
				continue
			}
			found++
			now := time.Now()
			out, err := client.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{Namespace: &namespace, MetricName: &name, Dimensions: m.Dimensions,
				StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now.Add(time.Hour)), Period: aws.Int32(7200), Statistics: []types.Statistic{types.StatisticSum}})
			if err != nil {
				return 0, fmt.Errorf("cannot read metric %s of %s: %w", name, namespace, err)
			}
			for _, point := range out.Datapoints {
				sum += *point.Sum
			}
		}
	}
	if sum == 0 {
		return 0, fmt.Errorf("CloudWatch has %d metrics %s with dimensions %q of %s, and nothing in them", found, name, dimensions, namespace)
	}
	return sum, nil
}

func has(dimensions []types.Dimension, names []string) bool {
	for _, d := range dimensions {
		if !slices.Contains(names, *d.Name) {
			return false
		}
	}
	return len(dimensions) == len(names)
}
