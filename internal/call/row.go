package call

// A Row is what the model does not say of an operation.
type Row struct {
	Op string
	// Action is the IAM action that must be allowed; the service's name and the
	// operation's if empty.
	Action   string
	Resource Resource
	// Also are actions that must be allowed too when the input has what they are for.
	Also []Dependent
	// PerAccount and PerStream are how many calls a second AWS lets an account make
	// in a region, and how many of them for one stream; 0 is no limit of this kind.
	// Limits on shards and records are the service's own.
	PerAccount, PerStream float64
	// BodyBytesMax is the largest body of a request, as it is sent, where AWS has a
	// limit for the operation; 0 is that of wire. Only where the path names the
	// operation can it be larger than that.
	BodyBytesMax int64
	Event        Event
}

// A Resource is the kind of thing that an operation's action is allowed on, and
// so which member of its input names it.
type Resource uint8

const (
	Everything       Resource = iota // "*": the operation is on no particular thing
	OnStream                         // StreamName or StreamARN
	OnConsumer                       // ConsumerARN, or StreamARN with ConsumerName
	OnResourceARN                    // ResourceARN: a stream or a consumer
	OnIterator                       // the stream that is sealed in ShardIterator, and StreamARN
	OnChannel                        // ChannelARN or ChannelName
	OnQueue                          // QueueARN or QueueName
	OnTable                          // TableName, which may be an ARN
	OnTables                         // the tables of RequestItems or TransactItems
	OnBucket                         // Bucket
	OnObject                         // Bucket and Key
	OnObjects                        // Bucket and each of Keys
	OnLogGroup                       // LogGroupName, or LogGroupIdentifier, which may be an ARN
	OnFunction                       // FunctionName, which may be an ARN, and Qualifier
	OnMapping                        // the event source mapping UUID
	OnLambdaResource                 // Resource: the ARN of a function or a mapping
)

// A Dependent is a further action, needed if the member With of the input is there.
type Dependent struct{ Action, With string }

// An Event is how a call is audited, in CloudTrail's terms.
type Event uint8

const (
	ManagementRead Event = iota
	ManagementWrite
	DataRead // only where data events are asked for
	DataWrite
)
