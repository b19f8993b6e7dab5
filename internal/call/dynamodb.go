package call

// DynamoDB are the rows of the operations that companion/dynamodb has. There are
// no rates: what limits tables are their memory and the log. The actions on the
// items of a batch or a transaction are allowed on each of its tables.
var DynamoDB = []Row{
	{Op: "BatchGetItem", Resource: OnTables, Event: DataRead},
	{Op: "BatchWriteItem", Resource: OnTables, Event: DataWrite},
	{Op: "CreateTable", Resource: OnTable, Event: ManagementWrite, Also: []Dependent{{"dynamodb:TagResource", "Tags"}}},
	{Op: "DeleteItem", Resource: OnTable, Event: DataWrite},
	{Op: "DeleteTable", Resource: OnTable, Event: ManagementWrite},
	{Op: "DescribeContinuousBackups", Resource: OnTable, Event: ManagementRead},
	{Op: "DescribeEndpoints", Event: ManagementRead},
	{Op: "DescribeLimits", Event: ManagementRead},
	{Op: "DescribeTable", Resource: OnTable, Event: ManagementRead},
	{Op: "DescribeTimeToLive", Resource: OnTable, Event: ManagementRead},
	{Op: "GetItem", Resource: OnTable, Event: DataRead},
	{Op: "ListTables", Event: ManagementRead},
	{Op: "ListTagsOfResource", Resource: OnResourceARN, Event: ManagementRead},
	{Op: "PutItem", Resource: OnTable, Event: DataWrite},
	{Op: "Query", Resource: OnTable, Event: DataRead},
	{Op: "Scan", Resource: OnTable, Event: DataRead},
	{Op: "TagResource", Resource: OnResourceARN, Event: ManagementWrite},
	{Op: "TransactGetItems", Action: "dynamodb:GetItem", Resource: OnTables, Event: DataRead},
	{Op: "TransactWriteItems", Action: "dynamodb:PutItem", Resource: OnTables, Event: DataWrite},
	{Op: "UntagResource", Resource: OnResourceARN, Event: ManagementWrite},
	{Op: "UpdateContinuousBackups", Resource: OnTable, Event: ManagementWrite},
	{Op: "UpdateItem", Resource: OnTable, Event: DataWrite},
	{Op: "UpdateTable", Resource: OnTable, Event: ManagementWrite},
	{Op: "UpdateTimeToLive", Resource: OnTable, Event: ManagementWrite},
}
