package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rheostream/rheo/interop/contents"
)

func TestCheck(t *testing.T) {
	const count = 3000
	put := func() contents.Shard {
		s := contents.Shard{ID: "shardId-000000000000", Packed: 100}
		for i := range count {
			data := fmt.Sprintf("kpl-%d/%d/", i%keys, i/keys)
			s.Records = append(s.Records, contents.Record{Key: fmt.Sprint("kpl-", i%keys), Data: data + strings.Repeat("0", sizeBytes-len(data))})
		}
		return s
	}
	tests := []struct {
		name   string
		change func(s *contents.Shard)
		err    string
	}{
		{"all there", func(s *contents.Shard) {}, ""},
		{"one lost", func(s *contents.Shard) { s.Records = s.Records[1:] }, "2999 of 3000"},
		{"one twice", func(s *contents.Shard) { s.Records[5] = s.Records[4] }, "there twice"},
		{"one more", func(s *contents.Shard) { s.Records[5].Data = "kpl-5/3/" + strings.Repeat("0", sizeBytes) }, "never put"},
		{"cut", func(s *contents.Shard) { s.Records[5].Data = s.Records[5].Data[:50] }, "damaged"},
		{"changed", func(s *contents.Shard) { s.Records[5].Data = s.Records[5].Data[:50] + "1" + s.Records[5].Data[51:] }, "damaged"},
		{"another key", func(s *contents.Shard) { s.Records[5].Key = "kpl-6" }, "not what the producer put"},
		{"in a wrong shard", func(s *contents.Shard) { s.Records[5].Stray = true }, "does not belong"},
		{"not aggregated", func(s *contents.Shard) { s.Packed = count }, "not aggregated"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := put()
			test.change(&s)
			packed, err := check([]contents.Shard{s}, count)
			if (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %d, %v", packed, err)
			}
		})
	}
}
