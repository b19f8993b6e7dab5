package call

// Lambda are the rows of the operations that companion/lambda has. The rates are
// those of the developer guide's quotas: 100 a second for GetFunction and GetPolicy
// each, 15 a second for all others of the control plane together, which here each
// has by itself. Invoke has no rate of its own: the concurrency limits it.
//
// CreateFunction and UpdateFunctionCode take a deployment package of 50 MB in base64.
var Lambda = []Row{
	{Op: "AddPermission", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "CreateAlias", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "CreateEventSourceMapping", PerAccount: 15, Event: ManagementWrite, Also: []Dependent{{"lambda:TagResource", "Tags"}}},
	{Op: "CreateFunction", Resource: OnFunction, PerAccount: 15, BodyBytesMax: 70167211, Event: ManagementWrite,
		Also: []Dependent{{"iam:PassRole", "Role"}, {"lambda:TagResource", "Tags"}}},
	{Op: "DeleteAlias", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "DeleteEventSourceMapping", Resource: OnMapping, PerAccount: 15, Event: ManagementWrite},
	{Op: "DeleteFunction", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "DeleteFunctionConcurrency", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "DeleteFunctionEventInvokeConfig", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "GetAccountSettings", PerAccount: 15, Event: ManagementRead},
	{Op: "GetAlias", Resource: OnFunction, PerAccount: 15, Event: ManagementRead},
	{Op: "GetEventSourceMapping", Resource: OnMapping, PerAccount: 15, Event: ManagementRead},
	{Op: "GetFunction", Resource: OnFunction, PerAccount: 100, Event: ManagementRead},
	{Op: "GetFunctionConcurrency", Resource: OnFunction, PerAccount: 15, Event: ManagementRead},
	{Op: "GetFunctionConfiguration", Resource: OnFunction, PerAccount: 100, Event: ManagementRead},
	{Op: "GetFunctionEventInvokeConfig", Resource: OnFunction, PerAccount: 15, Event: ManagementRead},
	{Op: "GetPolicy", Resource: OnFunction, PerAccount: 100, Event: ManagementRead},
	{Op: "Invoke", Action: "lambda:InvokeFunction", Resource: OnFunction, Event: DataWrite},
	{Op: "ListAliases", Resource: OnFunction, PerAccount: 15, Event: ManagementRead},
	{Op: "ListEventSourceMappings", PerAccount: 15, Event: ManagementRead},
	{Op: "ListFunctionEventInvokeConfigs", Resource: OnFunction, PerAccount: 15, Event: ManagementRead},
	{Op: "ListFunctions", PerAccount: 15, Event: ManagementRead},
	{Op: "ListTags", Resource: OnLambdaResource, PerAccount: 15, Event: ManagementRead},
	{Op: "ListVersionsByFunction", Resource: OnFunction, PerAccount: 15, Event: ManagementRead},
	{Op: "PublishVersion", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "PutFunctionConcurrency", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "PutFunctionEventInvokeConfig", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "RemovePermission", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "TagResource", Resource: OnLambdaResource, PerAccount: 15, Event: ManagementWrite},
	{Op: "UntagResource", Resource: OnLambdaResource, PerAccount: 15, Event: ManagementWrite},
	{Op: "UpdateAlias", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
	{Op: "UpdateEventSourceMapping", Resource: OnMapping, PerAccount: 15, Event: ManagementWrite},
	{Op: "UpdateFunctionCode", Resource: OnFunction, PerAccount: 15, BodyBytesMax: 70167211, Event: ManagementWrite},
	{Op: "UpdateFunctionConfiguration", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite,
		Also: []Dependent{{"iam:PassRole", "Role"}}},
	{Op: "UpdateFunctionEventInvokeConfig", Resource: OnFunction, PerAccount: 15, Event: ManagementWrite},
}
