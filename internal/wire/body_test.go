package wire

import (
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// TestValueBytes: items of many small values are counted for what they take once
// they are read, up to what the codec reads at all; a record is its bytes.
func TestValueBytes(t *testing.T) {
	for _, tt := range []struct {
		service *api.Service
		body    string
		want    int64
	}{
		{kinesis.Service, `{"Data": "` + strings.Repeat("{", 1000) + `"}`, 0},
		{dynamodb.Service, ``, 0},
		{dynamodb.Service, `{"TableName": "t", "Item": {"k": {"S": "a"}}}`, 3 * 150},
		{dynamodb.Service, strings.Repeat("{", 2*maxElements), maxElements * 150},
	} {
		if got := valueBytes(tt.service, []byte(tt.body)); got != tt.want {
			t.Errorf("%s, %.40s: %d, want %d", tt.service.Name, tt.body, got, tt.want)
		}
	}
}
