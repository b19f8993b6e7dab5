package dynamodb

import (
	"context"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/dynamodb"
)

// DescribeLimits tells the account's quotas of provisioned throughput: any that
// a table can have, for they throttle nobody.
func (s *Service) DescribeLimits(context.Context, *api.DescribeLimitsInput) (*api.DescribeLimitsOutput, error) {
	most := func() *int64 { return new(int64(unitsMax)) }
	return &api.DescribeLimitsOutput{AccountMaxReadCapacityUnits: most(), AccountMaxWriteCapacityUnits: most(),
		TableMaxReadCapacityUnits: most(), TableMaxWriteCapacityUnits: most()}, nil
}

// DescribeEndpoints tells clients that look for an endpoint the one that they called.
func (s *Service) DescribeEndpoints(ctx context.Context, _ *api.DescribeEndpointsInput) (*api.DescribeEndpointsOutput, error) {
	host := rheo.CallerFrom(ctx).Host
	return &api.DescribeEndpointsOutput{Endpoints: []api.Endpoint{{Address: &host, CachePeriodInMinutes: new(int64(1440))}}}, nil
}
