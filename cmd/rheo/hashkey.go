package main

import (
	"crypto/md5"
	"fmt"
	"math/big"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// hashSpace is 2^128, the number of hash keys.
var hashSpace = new(big.Int).Lsh(big.NewInt(1), 128)

// hashOf is the hash key of a partition key: its MD5 as a number.
func hashOf(partitionKey string) *big.Int {
	sum := md5.Sum([]byte(partitionKey))
	return new(big.Int).SetBytes(sum[:])
}

func parseHash(s string) (*big.Int, error) {
	h, ok := new(big.Int).SetString(s, 10)
	if !ok || h.Sign() < 0 || h.Cmp(hashSpace) >= 0 {
		return nil, fmt.Errorf("%q is not a hash key: a decimal number from 0 to 2^128-1", s)
	}
	return h, nil
}

// A hashRange is what a shard owns of the hash keys, both ends included.
type hashRange struct{ first, last *big.Int }

func rangeOf(r *types.HashKeyRange) (hashRange, error) {
	if r == nil {
		return hashRange{}, fmt.Errorf("the server named a shard without a hash key range")
	}
	first, err := parseHash(aws.ToString(r.StartingHashKey))
	if err != nil {
		return hashRange{}, err
	}
	last, err := parseHash(aws.ToString(r.EndingHashKey))
	return hashRange{first, last}, err
}

func (r hashRange) holds(h *big.Int) bool { return r.first.Cmp(h) <= 0 && h.Cmp(r.last) <= 0 }

func (r hashRange) size() *big.Int {
	n := new(big.Int).Sub(r.last, r.first)
	return n.Add(n, big.NewInt(1))
}

// share is the range's part of all hash keys, 0 to 1.
func (r hashRange) share() float64 { return fraction(r.size()) }

func fraction(h *big.Int) float64 {
	f, _ := new(big.Rat).SetFrac(h, hashSpace).Float64()
	return f
}

// bar draws the range as a part of n characters; a shard, however small, has one.
func (r hashRange) bar(n int, full, empty string) string {
	from := min(int(fraction(r.first)*float64(n)+0.5), n-1)
	to := max(int(fraction(new(big.Int).Add(r.last, big.NewInt(1)))*float64(n)+0.5), from+1)
	return strings.Repeat(empty, from) + strings.Repeat(full, to-from) + strings.Repeat(empty, n-to)
}

// middle is where a split makes two halves: the first hash key of the second.
func (r hashRange) middle() *big.Int {
	m := new(big.Int).Rsh(r.size(), 1)
	return m.Add(m, r.first)
}

// shardID completes a shard's number to its id: 3 is shardId-000000000003.
func shardID(s string) string {
	if s != "" && len(s) <= 12 && strings.Trim(s, "0123456789") == "" {
		return "shardId-" + strings.Repeat("0", 12-len(s)) + s
	}
	return s
}

// shardNumber is the short form of an id, for people.
func shardNumber(id string) string {
	n := strings.TrimLeft(strings.TrimPrefix(id, "shardId-"), "0")
	if n == "" {
		return "0"
	}
	return n
}
