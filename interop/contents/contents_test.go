package contents

import (
	"crypto/md5"
	"math/big"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// field is a length-delimited field, short enough for one byte of length.
func field(number byte, value string) string {
	return string([]byte{number<<3 | 2, byte(len(value))}) + value
}

func number(field, n byte) string { return string([]byte{field << 3, n}) }

func aggregate(body string) []byte {
	sum := md5.Sum([]byte(body))
	return slices.Concat(magic, []byte(body), sum[:])
}

func TestUserRecords(t *testing.T) {
	everything := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
	// The MD5 of "a" is 0cc1..., of "b" 92eb...
	half := new(big.Int).Rsh(everything, 1)
	two := field(1, "a") + field(1, "b") + field(2, "7") +
		field(3, number(1, 0)+field(3, "x")) + field(3, number(1, 1)+field(3, "y")) + field(3, number(1, 1)+number(2, 0)+field(3, "z"))
	tests := []struct {
		name string
		data []byte
		last *big.Int // of the shard's hash range, which begins at 0
		want []Record
	}{
		{"plain", []byte("hello"), everything, []Record{{Key: "p", Data: "hello"}}},
		{"magic alone", magic, everything, []Record{{Key: "p", Data: string(magic)}}},
		{"wrong sum", append(aggregate(two)[:len(two)+4], make([]byte, 16)...), everything,
			[]Record{{Key: "p", Data: string(append(aggregate(two)[:len(two)+4], make([]byte, 16)...))}}},
		{"aggregate", aggregate(two), everything, []Record{
			{Key: "a", Data: "x"}, {Position: Position{Sub: 1}, Key: "b", Data: "y"}, {Position: Position{Sub: 2}, Key: "b", Data: "z"}}},
		{"aggregate with one of another shard", aggregate(two), half, []Record{
			{Key: "a", Data: "x", Dropped: true}, {Position: Position{Sub: 1}, Key: "b", Data: "y", Stray: true, Dropped: true},
			{Position: Position{Sub: 2}, Key: "b", Data: "z", Dropped: true}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := userRecords(types.Record{SequenceNumber: aws.String("1"), PartitionKey: aws.String("p"), Data: test.data}, new(big.Int), test.last)
			if err != nil {
				t.Fatal(err)
			}
			for i := range test.want {
				test.want[i].Sequence = "1"
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
		})
	}
	for _, bad := range []string{field(3, number(1, 0)+field(3, "x")), field(1, "a") + "\x1a\x7f", "\x0d1234"} {
		if _, err := userRecords(types.Record{SequenceNumber: aws.String("1"), PartitionKey: aws.String("p"), Data: aggregate(bad)}, new(big.Int), everything); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestPositions(t *testing.T) {
	inOrder := []Position{{"9", 0}, {"10", 0}, {"10", 1}, {"10", 10}, {"11", 0}}
	for i, p := range inOrder {
		for j, q := range inOrder {
			if got, want := p.Compare(q), min(max(i-j, -1), 1); got != want {
				t.Errorf("%v to %v is %d, want %d", p, q, got, want)
			}
		}
	}
}
