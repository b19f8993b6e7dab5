package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/rheostream/rheo/interop/daemon"
)

const (
	leaseHolders  = 8
	leaseTable    = "crash-leases"
	metricsSpace  = "crash"
	metricsName   = "calls"
	metricsWindow = 24 * time.Hour // longer than any run
)

// companions are what clients of the library keep beside a stream: leases, whose
// counters their holders raise one by one under the condition of the value before,
// every fifth time together with a copy in one transaction; and a metric of which
// a one is put again and again.
type companions struct {
	began time.Time
	held  [leaseHolders]int // the value that was answered last; each its holder's, and the check's between loads

	ones    atomic.Int64 // metric data that were answered
	unknown atomic.Int64 // and those without an answer

	tables  *dynamodb.Client // without retries: what has no answer is unknown, and stays so
	metrics *cloudwatch.Client
	errors  sync.Map // text of those that the kill does not explain, to how many
}

func newCompanions(ctx context.Context, d *daemon.Daemon) (*companions, error) {
	c := &companions{began: time.Now().Truncate(time.Minute)}
	c.connect(d)
	_, err := c.tables.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String(leaseTable), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("leaseKey"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("leaseKey"), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		return nil, err
	}
	for holder := range leaseHolders {
		for _, key := range []string{leaseKey(holder), copyKey(holder)} {
			_, err := c.tables.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(leaseTable),
				Item: map[string]types.AttributeValue{"leaseKey": text(key), "n": number(0)}})
			if err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func (c *companions) connect(d *daemon.Daemon) {
	keys := credentials.NewStaticCredentialsProvider(daemon.AccessKey, daemon.SecretKey, "")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * leaseHolders}}
	c.tables = dynamodb.New(dynamodb.Options{BaseEndpoint: aws.String(d.URL()), Region: daemon.Region, Credentials: keys, HTTPClient: client, Retryer: aws.NopRetryer{}})
	c.metrics = cloudwatch.New(cloudwatch.Options{BaseEndpoint: aws.String(d.URL()), Region: daemon.Region, Credentials: keys, HTTPClient: client, Retryer: aws.NopRetryer{}})
}

func leaseKey(holder int) string { return "lease-" + strconv.Itoa(holder) }
func copyKey(holder int) string  { return "copy-" + strconv.Itoa(holder) }

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func number(n int) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.Itoa(n)}
}

// load raises leases and puts metrics until the server is gone.
func (c *companions) load(ctx context.Context, dead chan struct{}, all *sync.WaitGroup) {
	for holder := range leaseHolders {
		all.Go(func() {
			for !gone(dead) {
				if err := c.raise(ctx, holder); err != nil {
					c.failed(dead, err)
					return // whether it was raised is for the check to find
				}
				c.held[holder]++
			}
		})
	}
	all.Go(func() {
		for !gone(dead) {
			_, err := c.metrics.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String(metricsSpace),
				MetricData: []cwtypes.MetricDatum{{MetricName: aws.String(metricsName), Value: aws.Float64(1), Unit: cwtypes.StandardUnitCount}}})
			if err != nil {
				c.unknown.Add(1)
				c.failed(dead, err)
				return
			}
			c.ones.Add(1)
		}
	})
}

// raise makes the lease of a holder one more than it was.
func (c *companions) raise(ctx context.Context, holder int) error {
	set := func(key string) *types.Update {
		return &types.Update{TableName: aws.String(leaseTable), Key: map[string]types.AttributeValue{"leaseKey": text(key)},
			UpdateExpression: aws.String("SET n = :next"), ConditionExpression: aws.String("n = :held"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":next": number(c.held[holder] + 1), ":held": number(c.held[holder])}}
	}
	lease := set(leaseKey(holder))
	if c.held[holder]%5 != 0 {
		_, err := c.tables.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: lease.TableName, Key: lease.Key, UpdateExpression: lease.UpdateExpression,
			ConditionExpression: lease.ConditionExpression, ExpressionAttributeValues: lease.ExpressionAttributeValues})
		return err
	}
	// The copy is at the value of five raises ago.
	copied := set(copyKey(holder))
	copied.ConditionExpression = aws.String("n < :next")
	delete(copied.ExpressionAttributeValues, ":held")
	_, err := c.tables.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Update: lease}, {Update: copied}}})
	return err
}

func (c *companions) failed(dead chan struct{}, err error) {
	if gone(dead) {
		return
	}
	n, _ := c.errors.LoadOrStore(err.Error(), new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// check compares leases and metrics with what was answered: a lease may be one
// ahead, by the call that the kill cut off, and is never behind.
func (c *companions) check(ctx context.Context, total *tally) error {
	for holder := range leaseHolders {
		lease, err := c.value(ctx, leaseKey(holder))
		if err != nil {
			return err
		}
		copied, err := c.value(ctx, copyKey(holder))
		if err != nil {
			return err
		}
		held := c.held[holder]
		total.leases += held - total.held[holder]
		// The last raise of 0, 5, 10, ... was that of both.
		want := 0
		if lease > 0 {
			want = (lease-1)/5*5 + 1
		}
		if lease != held && lease != held+1 || copied != want {
			total.leasesLost++
			fmt.Printf("%s was raised to %d, and is %d; its copy is %d, want %d\n", leaseKey(holder), held, lease, copied, want)
		}
		c.held[holder], total.held[holder] = lease, lease
	}
	out, err := c.metrics.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String(metricsSpace), MetricName: aws.String(metricsName), Period: aws.Int32(int32(metricsWindow / time.Second)),
		StartTime: aws.Time(c.began), EndTime: aws.Time(c.began.Add(metricsWindow)), Statistics: []cwtypes.Statistic{cwtypes.StatisticSum},
	})
	if err != nil {
		return err
	}
	sum := 0.0
	for _, p := range out.Datapoints {
		sum += *p.Sum
	}
	total.data = int(c.ones.Load())
	if n := int64(sum); n < c.ones.Load() || n > c.ones.Load()+c.unknown.Load() {
		total.dataLost++
		fmt.Printf("%d metric data were answered and %d were not, and their sum is %d\n", c.ones.Load(), c.unknown.Load(), n)
	}
	c.errors.Range(func(err, n any) bool {
		fmt.Printf("%d calls failed before the kill: %.300s\n", n.(*atomic.Int64).Load(), err)
		return true
	})
	c.errors.Clear()
	return nil
}

func (c *companions) value(ctx context.Context, key string) (int, error) {
	out, err := c.tables.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(leaseTable), ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"leaseKey": text(key)}})
	if err != nil {
		return 0, err
	}
	n, ok := out.Item["n"].(*types.AttributeValueMemberN)
	if !ok {
		return 0, errors.New(key + " is gone")
	}
	return strconv.Atoi(n.Value)
}
