package call

// CloudWatch are the rows of the operations that companion/cloudwatch has, with
// the rates that AWS gives an account in a region.
var CloudWatch = []Row{
	{Op: "GetMetricData", PerAccount: 50, Event: DataRead},
	{Op: "GetMetricStatistics", PerAccount: 400, Event: DataRead},
	{Op: "ListMetrics", PerAccount: 25, Event: DataRead},
	{Op: "PutMetricData", PerAccount: 500, BodyBytesMax: 1 << 20, Event: DataWrite},
}

// STS are the rows of the operations that companion/sts has. Who calls
// GetCallerIdentity needs no permission.
var STS = []Row{
	{Op: "GetCallerIdentity", Event: ManagementRead},
}
