package expr

import (
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api/dynamodb"
)

// TestMessagesAreShort: a message does not say the whole of a long request again.
func TestMessagesAreShort(t *testing.T) {
	long := strings.Repeat("é", 1<<20)
	value := map[string]dynamodb.AttributeValue{long: {S: &long}}
	duplicates := map[string]dynamodb.AttributeValue{":s": {SS: []string{long, long}}}
	for what, try := range map[string]func() error{
		"name":       func() error { _, err := NewParams(map[string]string{long: "a"}, nil); return err },
		"value":      func() error { _, err := NewParams(nil, value); return err },
		"duplicates": func() error { _, err := NewParams(nil, duplicates); return err },
	} {
		err := try()
		if err == nil || len(err.Error()) > messageBytesMax+100 || !strings.HasPrefix(err.Error(), "ValidationException: ExpressionAttribute") {
			t.Errorf("%s: %.200v", what, err)
		}
	}
}
