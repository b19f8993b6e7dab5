package call

// Logs are the rows of the operations that companion/logs has, with the rates that
// AWS gives an account in a region.
var Logs = []Row{
	{Op: "CreateLogGroup", Resource: OnLogGroup, PerAccount: 10, Event: ManagementWrite, Also: []Dependent{{"logs:TagResource", "tags"}}},
	{Op: "CreateLogStream", Resource: OnLogGroup, PerAccount: 50, Event: ManagementWrite},
	{Op: "DeleteLogGroup", Resource: OnLogGroup, PerAccount: 10, Event: ManagementWrite},
	{Op: "DeleteLogStream", Resource: OnLogGroup, PerAccount: 15, Event: ManagementWrite},
	{Op: "DeleteRetentionPolicy", Resource: OnLogGroup, PerAccount: 10, Event: ManagementWrite},
	{Op: "DeleteSubscriptionFilter", Resource: OnLogGroup, PerAccount: 10, Event: ManagementWrite},
	{Op: "DescribeLogGroups", PerAccount: 10, Event: ManagementRead},
	{Op: "DescribeLogStreams", Resource: OnLogGroup, PerAccount: 25, Event: ManagementRead},
	{Op: "DescribeSubscriptionFilters", Resource: OnLogGroup, PerAccount: 10, Event: ManagementRead},
	{Op: "FilterLogEvents", Resource: OnLogGroup, PerAccount: 10, Event: DataRead},
	{Op: "GetLogEvents", Resource: OnLogGroup, PerAccount: 25, Event: DataRead},
	{Op: "ListTagsForResource", Resource: OnResourceARN, PerAccount: 10, Event: ManagementRead},
	{Op: "ListTagsLogGroup", Resource: OnLogGroup, PerAccount: 10, Event: ManagementRead},
	{Op: "PutLogEvents", Resource: OnLogGroup, PerAccount: 5000, Event: DataWrite},
	{Op: "PutRetentionPolicy", Resource: OnLogGroup, PerAccount: 10, Event: ManagementWrite},
	{Op: "PutSubscriptionFilter", Resource: OnLogGroup, PerAccount: 10, Event: ManagementWrite,
		Also: []Dependent{{"iam:PassRole", "roleArn"}}},
	{Op: "TagLogGroup", Resource: OnLogGroup, PerAccount: 10, Event: ManagementWrite},
	{Op: "TagResource", Resource: OnResourceARN, PerAccount: 10, Event: ManagementWrite},
	{Op: "TestMetricFilter", PerAccount: 10, Event: DataRead},
	{Op: "UntagLogGroup", Resource: OnLogGroup, PerAccount: 10, Event: ManagementWrite},
	{Op: "UntagResource", Resource: OnResourceARN, PerAccount: 10, Event: ManagementWrite},
}
