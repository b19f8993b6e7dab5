package call

// S3 are the rows of the operations that companion/s3 has. There are no rates: what
// limits objects are the disk, the quota and the memory of their index. The source of
// a copy is another object, on which s3:GetObject must be allowed.
var S3 = []Row{
	{Op: "AbortMultipartUpload", Resource: OnObject, Event: DataWrite},
	{Op: "CompleteMultipartUpload", Action: "s3:PutObject", Resource: OnObject, Event: DataWrite},
	{Op: "CopyObject", Action: "s3:PutObject", Resource: OnObject, Event: DataWrite, Also: []Dependent{{"s3:GetObject", "CopySource"}}},
	{Op: "CreateBucket", Resource: OnBucket, Event: ManagementWrite},
	{Op: "CreateMultipartUpload", Action: "s3:PutObject", Resource: OnObject, Event: DataWrite},
	{Op: "DeleteBucket", Resource: OnBucket, Event: ManagementWrite},
	{Op: "DeleteObject", Resource: OnObject, Event: DataWrite},
	{Op: "DeleteObjects", Action: "s3:DeleteObject", Resource: OnObjects, Event: DataWrite},
	{Op: "GetBucketLocation", Resource: OnBucket, Event: ManagementRead},
	{Op: "GetBucketVersioning", Resource: OnBucket, Event: ManagementRead},
	{Op: "GetObject", Resource: OnObject, Event: DataRead},
	{Op: "HeadBucket", Action: "s3:ListBucket", Resource: OnBucket, Event: ManagementRead},
	{Op: "HeadObject", Action: "s3:GetObject", Resource: OnObject, Event: DataRead},
	{Op: "ListBuckets", Action: "s3:ListAllMyBuckets", Event: ManagementRead},
	{Op: "ListMultipartUploads", Action: "s3:ListBucketMultipartUploads", Resource: OnBucket, Event: ManagementRead},
	{Op: "ListObjects", Action: "s3:ListBucket", Resource: OnBucket, Event: DataRead},
	{Op: "ListObjectsV2", Action: "s3:ListBucket", Resource: OnBucket, Event: DataRead},
	{Op: "ListParts", Action: "s3:ListMultipartUploadParts", Resource: OnObject, Event: DataRead},
	{Op: "PutObject", Resource: OnObject, Event: DataWrite},
	{Op: "UploadPart", Action: "s3:PutObject", Resource: OnObject, Event: DataWrite},
	{Op: "UploadPartCopy", Action: "s3:PutObject", Resource: OnObject, Event: DataWrite, Also: []Dependent{{"s3:GetObject", "CopySource"}}},
}
