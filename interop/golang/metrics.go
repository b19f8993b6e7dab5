package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// measure does with CloudWatch what the KCL does, and reads it again; the SDK
// speaks CBOR, and compresses requests of more than 10 KiB.
func measure(ctx context.Context, cfg aws.Config) {
	cw := cloudwatch.NewFromConfig(cfg)
	const namespace = "interop-go"
	now := time.Now().Truncate(time.Minute)
	put := func(data ...types.MetricDatum) {
		if _, err := cw.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String(namespace), MetricData: data}); err != nil {
			fail("PutMetricData: %v", err)
		}
	}
	dimensions := []types.Dimension{{Name: aws.String("Operation"), Value: aws.String("ProcessTask")}, {Name: aws.String("ShardId"), Value: aws.String("shardId-000000000000")}}
	put(types.MetricDatum{MetricName: aws.String("Time"), Dimensions: dimensions, Unit: types.StandardUnitMilliseconds, Timestamp: &now,
		StatisticValues: &types.StatisticSet{SampleCount: aws.Float64(4), Sum: aws.Float64(100), Minimum: aws.Float64(10), Maximum: aws.Float64(60)}},
		types.MetricDatum{MetricName: aws.String("Time"), Dimensions: dimensions, Unit: types.StandardUnitMilliseconds, Timestamp: &now, Value: aws.Float64(20)})
	var many []types.MetricDatum
	const metrics = 700
	for i := range metrics {
		many = append(many, types.MetricDatum{MetricName: aws.String(fmt.Sprintf("many-%03d", i)), Timestamp: &now, Values: []float64{1, 2, 3, 4}, Counts: []float64{97, 1, 1, 1}})
	}
	put(many...)

	stats := must(cw.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String(namespace), MetricName: aws.String("Time"), Dimensions: dimensions,
		StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now.Add(time.Hour)), Period: aws.Int32(60),
		Statistics: []types.Statistic{types.StatisticAverage, types.StatisticMaximum, types.StatisticSampleCount}}))
	equal("datapoints", len(stats.Datapoints), 1)
	d := stats.Datapoints[0]
	equal("average", *d.Average, 24)
	equal("maximum", *d.Maximum, 60)
	equal("samples", *d.SampleCount, 5)
	equal("unit", d.Unit, types.StandardUnitMilliseconds)
	equal("time of a datapoint", d.Timestamp.Equal(now), true)

	query := func(id, name, stat string) types.MetricDataQuery {
		return types.MetricDataQuery{Id: aws.String(id), MetricStat: &types.MetricStat{Period: aws.Int32(60), Stat: aws.String(stat),
			Metric: &types.Metric{Namespace: aws.String(namespace), MetricName: aws.String(name)}}}
	}
	got := map[string]float64{}
	pages := cloudwatch.NewGetMetricDataPaginator(cw, &cloudwatch.GetMetricDataInput{StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now.Add(time.Hour)), MaxDatapoints: aws.Int32(1),
		MetricDataQueries: []types.MetricDataQuery{query("p97", "many-001", "p97"), query("p99", "many-699", "p99"), query("sum", "many-350", "Sum")}})
	for pages.HasMorePages() {
		for _, r := range must(pages.NextPage(ctx)).MetricDataResults {
			for i, v := range r.Values {
				equal("time of "+*r.Id, r.Timestamps[i].Equal(now), true)
				got[*r.Id] += v
			}
		}
	}
	equal("statistics of metrics that were put compressed", fmt.Sprint(got), fmt.Sprint(map[string]float64{"p97": 1, "p99": 3, "sum": 106}))

	listed := 0
	list := cloudwatch.NewListMetricsPaginator(cw, &cloudwatch.ListMetricsInput{Namespace: aws.String(namespace), RecentlyActive: types.RecentlyActivePt3h})
	for list.HasMorePages() {
		listed += len(must(list.NextPage(ctx)).Metrics)
	}
	equal("metrics that are listed", listed, metrics+1)

	_, err := cw.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("AWS/Kinesis"), MetricData: many[:1]})
	var invalid *types.InvalidParameterValueException
	if !errors.As(err, &invalid) {
		fail("metrics were put into AWS/Kinesis: %v", err)
	}
	who := must(sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
	equal("ARN of the caller", aws.ToString(who.Arn), "arn:aws:iam::"+aws.ToString(who.Account)+":root")
	fmt.Println("metrics: put in CBOR, and compressed; statistics, percentiles, pages; who am I")
}
