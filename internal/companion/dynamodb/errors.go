package dynamodb

import (
	"errors"
	"strings"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// The errors of DynamoDB, in its words where a public source shows them.

const badValues = "One or more parameter values were invalid: "

// messageBytesMax is how long a message may be that shows something of the request.
const messageBytesMax = 4096

func validation(format string, args ...any) *api.Error {
	e := api.Errorf("ValidationException", format, args...)
	e.Message = item.Clip(e.Message, messageBytesMax)
	return e
}

func limitExceeded(format string, args ...any) *api.Error {
	return api.Errorf("LimitExceededException", format, args...)
}

func inUse(format string, args ...any) *api.Error {
	return api.Errorf("ResourceInUseException", format, args...)
}

func throttled(message string) *api.Error {
	return &api.Error{Code: "ThrottlingException", Message: message}
}

// noTable is the answer of operations on items, and noTableNamed that of those on tables.
func noTable() *api.Error {
	return api.Errorf("ResourceNotFoundException", "Requested resource not found")
}

func noTableNamed(name string) *api.Error {
	return api.Errorf("ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
}

func unsupported(what string) *api.Error {
	return validation("%s not in the part of DynamoDB that rheo serves for clients of Kinesis.", what)
}

// conditionFailed shows the item, if it is not nil.
func conditionFailed(shown item.Item) *api.Error {
	e := api.Errorf("ConditionalCheckFailedException", "The conditional request failed")
	if shown != nil {
		e.Fields = map[string]any{"Item": shown.API()}
	}
	return e
}

// tableNotFound gives an error the code that operations on backups have for it.
func tableNotFound(err error) error {
	var e *api.Error
	if errors.As(err, &e) && e.Code == "ResourceNotFoundException" {
		name := strings.TrimSuffix(strings.TrimPrefix(e.Message, "Requested resource not found: Table: "), " not found")
		return api.Errorf("TableNotFoundException", "Table not found: %s", name)
	}
	return err
}
