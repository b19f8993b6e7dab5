package dynamodb

import (
	"encoding/binary"
	"slices"
	"strings"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// A tableDoc is a table's definition as it stands in commands and snapshots.
// Fields are only ever added.
type tableDoc struct {
	ID      string `json:"id"` // a UUID
	Account string `json:"account"`
	Region  string `json:"region"`
	Name    string `json:"name"`
	Created int64  `json:"created"`         // ms
	Ready   int64  `json:"ready,omitempty"` // ms; until then the table is being updated

	Types   map[string]string `json:"types"` // of key attributes: S, N or B
	Key     keySchema         `json:"key"`
	Indexes []indexDoc        `json:"indexes,omitempty"`

	OnDemand           bool              `json:"onDemand,omitempty"`
	OnDemandSince      int64             `json:"onDemandSince,omitempty"` // ms
	Throughput         throughput        `json:"throughput"`
	Class              string            `json:"class,omitempty"`
	DeletionProtection bool              `json:"deletionProtection,omitempty"`
	TTL                string            `json:"ttl,omitempty"` // attribute; empty: off
	Recovery           bool              `json:"recovery,omitempty"`
	RecoveryDays       int32             `json:"recoveryDays,omitempty"`
	Tags               map[string]string `json:"tags,omitempty"`
}

type keySchema struct {
	Hash  string `json:"hash"`
	Range string `json:"range,omitempty"`
}

func (k keySchema) names() []string {
	if k.Range == "" {
		return []string{k.Hash}
	}
	return []string{k.Hash, k.Range}
}

func (k keySchema) has(name string) bool { return name == k.Hash || name == k.Range && name != "" }

type throughput struct {
	Read  int64 `json:"read"`
	Write int64 `json:"write"`
}

type indexDoc struct {
	Name       string     `json:"name"`
	Local      bool       `json:"local,omitempty"`
	Key        keySchema  `json:"key"`
	Projection string     `json:"projection"` // ALL, KEYS_ONLY, INCLUDE
	Include    []string   `json:"include,omitempty"`
	Created    int64      `json:"created"`
	Throughput throughput `json:"throughput"`
}

// projects are the attributes that the index has of an item; nil: all.
func (d *tableDoc) projects(x *indexDoc) []string {
	if x.Projection == string(api.ProjectionTypeAll) {
		return nil
	}
	names := slices.Concat(d.Key.names(), x.Key.names(), x.Include)
	slices.Sort(names)
	return slices.Compact(names)
}

func (d *tableDoc) index(name string) *indexDoc {
	for i := range d.Indexes {
		if d.Indexes[i].Name == name {
			return &d.Indexes[i]
		}
	}
	return nil
}

// clone copies a definition so that it can be changed.
func (d tableDoc) clone() tableDoc {
	d.Indexes = slices.Clone(d.Indexes)
	types, tags := make(map[string]string, len(d.Types)), make(map[string]string, len(d.Tags))
	for k, v := range d.Types {
		types[k] = v
	}
	for k, v := range d.Tags {
		tags[k] = v
	}
	d.Types, d.Tags = types, tags
	return d
}

func tableKey(account, region, name string) string { return account + "/" + region + "/" + name }

// accountOf is the account of the key of a table or a token.
func accountOf(key string) string {
	account, _, _ := strings.Cut(key, "/")
	return account
}

func (d *tableDoc) key() string { return tableKey(d.Account, d.Region, d.Name) }

func (d *tableDoc) arn() string {
	return "arn:aws:dynamodb:" + d.Region + ":" + d.Account + ":table/" + d.Name
}

// Items and the entries of indexes are kept in the order of their keys:
//
//	table   hash of the partition key u32, big endian | partition key | sort key
//	index   hash of its partition key u32 | partition key | sort key | the item's key in the table
//
// with keys as [item.AppendKey] has them. So partitions stand in the order of
// their hashes, as in DynamoDB, and a segment of a parallel scan is a range.

// keyOf is the key of an item's key attributes; ok is false if it lacks one or
// has one of another type.
func (d *tableDoc) keyOf(k keySchema, it item.Item) (key string, ok bool) {
	hash := it[k.Hash]
	if hash.Type.String() != d.Types[k.Hash] {
		return "", false
	}
	b := partition(hash)
	if k.Range != "" {
		r := it[k.Range]
		if r.Type.String() != d.Types[k.Range] {
			return "", false
		}
		b = item.AppendKey(b, r)
	}
	return string(b), true
}

// partition is what the keys of all items with a partition key begin with.
func partition(hash item.Value) []byte {
	b := item.AppendKey(make([]byte, 4, 64), hash)
	binary.BigEndian.PutUint32(b, hash32(b[4:]))
	return b
}

// hash32 spreads keys: FNV-1a, its upper half mixed once more for the keys that
// differ in their last letters only. It is part of the format.
func hash32(b []byte) uint32 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return uint32(h >> 32)
}

// after is the first key that is greater than all keys that begin with prefix;
// empty if there is none.
func after(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return string(b[:i+1])
		}
	}
	return ""
}
