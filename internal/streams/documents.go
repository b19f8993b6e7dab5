package streams

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/shardlog"
)

// What Data Streams keeps in the catalog. All times are ms since 1970.
//
//	kinesis/stream/<account>/<region>/<name>      streamDoc
//	kinesis/shard/<stream id>/<index, 10 digits>  shardDoc
//	kinesis/staged/<stream id>/...                shardDocs on their way to kinesis/shard/<stream id>/
//	kinesis/consumer/<stream id>/<name>           consumerDoc
//	kinesis/account/<account>/<region>            accountDoc
//	kinesis/tokenkeys                             tokenKeysDoc
const (
	streamPrefix   = "kinesis/stream/"
	shardPrefix    = "kinesis/shard/"
	stagedPrefix   = "kinesis/staged/"
	consumerPrefix = "kinesis/consumer/"
	accountPrefix  = "kinesis/account/"
	tokenKeysKey   = "kinesis/tokenkeys"
)

type streamDoc struct {
	// ID is drawn at creation and never used again, so that a stream re-created
	// under its name shares nothing with its predecessor.
	ID      string
	Account string
	Region  string
	Name    string
	Created int64
	Status  kinesis.StreamStatus
	// Due is when the transition that Status or Reshard announces may happen; 0 for none.
	Due             int64 `json:",omitempty"`
	Mode            kinesis.StreamMode
	RetentionHours  int32
	MaxRecordKiB    int32
	WarmMiBps       int32                              `json:",omitempty"`
	Distribution    kinesis.RecordDistributionStrategy `json:",omitempty"`
	Monitoring      []kinesis.MetricsName              `json:",omitempty"`
	Tags            map[string]string                  `json:",omitempty"`
	Policy          string                             `json:",omitempty"`
	InitialShards   int                                // how many shards CREATING makes
	NextShard       uint32                             // index of the next shard; never re-used
	Reshard         *reshardDoc                        `json:",omitempty"`
	CountUpdates    []int64                            `json:",omitempty"` // UpdateShardCount calls of the last 24 h
	ModeUpdates     []int64                            `json:",omitempty"` // mode switches of the last 24 h
	PeakBytesPerSec int64                              `json:",omitempty"` // on-demand: highest minute of the last 30 days
	PeakAt          int64                              `json:",omitempty"`
}

// reshardDoc is what a stream in UPDATING is on the way to: one split, one
// merge, or a number of shards reached by rounds of splits and merges.
type reshardDoc struct {
	Split  *splitDoc `json:",omitempty"`
	Merge  *mergeDoc `json:",omitempty"`
	Target int       `json:",omitempty"`
	Hot    []uint32  `json:",omitempty"` // on-demand: shards to split in the middle
	// Peak is how many shards are open at most on the way to Target: what the
	// account's quota has to have room for.
	Peak int `json:",omitempty"`
}

type splitDoc struct {
	Shard uint32
	At    hashKey // first hash key of the second child
}

type mergeDoc struct{ Left, Right uint32 } // in hash order

type shardState string

const (
	// An OPEN shard takes records.
	shardOpen shardState = "OPEN"
	// A PENDING shard is a child whose parents are SEALING: it exists, but clients do not see it.
	shardPending shardState = "PENDING"
	// A SEALING shard is about to get its END marker: it is a parent of PENDING children.
	shardSealing shardState = "SEALING"
	// A CLOSED shard is read only. It goes when its last record has expired.
	shardClosed shardState = "CLOSED"
)

type shardDoc struct {
	Index    uint32
	Created  int64
	Start    hashKey
	End      hashKey
	State    shardState
	Parent   *uint32 `json:",omitempty"`
	Adjacent *uint32 `json:",omitempty"` // second parent, after a merge
	Closed   int64   `json:",omitempty"`
}

type consumerDoc struct {
	StreamARN string
	Name      string
	Created   int64
	Status    kinesis.ConsumerStatus
	Due       int64             `json:",omitempty"`
	Tags      map[string]string `json:",omitempty"`
	Policy    string            `json:",omitempty"`
}

type accountDoc struct {
	// Serial changes with every stream created, deleted or resharded, so that
	// two calls that each fit the account's quotas cannot both succeed when together they do not.
	Serial int64
	// Advantage is the on-demand billing commitment (MinimumThroughputBillingCommitment).
	AdvantageSince int64 `json:",omitempty"`
	AdvantageEnd   int64 `json:",omitempty"`
}

type tokenKeysDoc struct {
	Current  tokenKeyDoc
	Previous *tokenKeyDoc `json:",omitempty"`
}

type tokenKeyDoc struct {
	ID   uint32
	Key  []byte // 32 bytes
	Made int64
}

func streamKey(account, region, name string) string {
	return streamPrefix + account + "/" + region + "/" + name
}

func (d *streamDoc) key() string { return streamKey(d.Account, d.Region, d.Name) }

func (d *streamDoc) arn() string { return streamARN(d.Account, d.Region, d.Name) }

func shardKey(streamID string, index uint32) string {
	return fmt.Sprintf("%s%010d", shardTree(streamID), index)
}

func stagedKey(streamID string, index uint32) string {
	return fmt.Sprintf("%s%010d", stagedTree(streamID), index)
}

func consumerKey(streamID, name string) string { return consumerTree(streamID) + name }

// Trees hold all documents of one kind that a stream has.
func shardTree(streamID string) string    { return shardPrefix + streamID + "/" }
func stagedTree(streamID string) string   { return stagedPrefix + streamID + "/" }
func consumerTree(streamID string) string { return consumerPrefix + streamID + "/" }

func accountKey(account, region string) string { return accountPrefix + account + "/" + region }

// logID is the name of a shard's log.
func logID(streamID string, index uint32) shardlog.ID {
	return shardlog.ID(fmt.Sprintf("%s%d", logPrefix(streamID), index))
}

func isLogID(id shardlog.ID) bool { return strings.HasPrefix(string(id), "kinesis/") }

// logPrefix begins the names of all logs of a stream.
func logPrefix(streamID string) string { return "kinesis/" + streamID + "/" }

// shardID is the name that clients know a shard by.
func shardID(index uint32) string { return fmt.Sprintf("shardId-%012d", index) }

// parseShardID reads "shardId-000000000007", with any number of leading zeros.
func parseShardID(s string) (uint32, bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 || i+1 == len(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 32)
	if err != nil || n > 1<<31-1 || s[:i] != "shardId" {
		return 0, false
	}
	return uint32(n), true
}

// partition is the ARN partition of a region.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

func streamARN(account, region, name string) string {
	return "arn:" + partition(region) + ":kinesis:" + region + ":" + account + ":stream/" + name
}

func (d *consumerDoc) arn() string {
	return d.StreamARN + "/consumer/" + d.Name + ":" + strconv.FormatInt(d.Created/1000, 10)
}

// encode makes a document for the catalog; the documents above always encode.
func encode(doc any) json.RawMessage {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return b
}
