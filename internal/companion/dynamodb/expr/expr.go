// Package expr is DynamoDB's expression language: conditions and filters, updates,
// projections and key conditions on items. The dialect from before expressions
// (Expected, AttributeUpdates, KeyConditions, QueryFilter, AttributesToGet) is
// read into the same trees, so that both mean the same by construction.
//
//	condition   operand comparator operand | operand BETWEEN operand AND operand
//	            | operand IN ( operand, ... ) | function ( operand, ... )
//	            | condition AND|OR condition | NOT condition | ( condition )
//	update      SET path = operand [+|- operand], ... REMOVE path, ...
//	            ADD path :value, ... DELETE path :value, ...
//	path        name|#name [ .name | .#name | [index] ]...
//	operand     path | :value | function ( operand, ... ) | ( operand )
//
// An expression is parsed with the placeholders of its request ([Params]), is
// checked as far as it can be without an item, and then is read-only. What is
// wrong with it is a ValidationException in DynamoDB's words.
package expr

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// Bounds of expressions, as DynamoDB has them.
const (
	bytesMax            = 4096
	placeholderBytesMax = 255
	operatorsMax        = 300
	operandsMax         = 100     // of IN
	paramsMax           = 2 << 20 // bytes of names and values
)

// Params are the placeholders of a request's expressions, and which of them were used.
type Params struct {
	names      map[string]string
	values     map[string]item.Value
	usedNames  map[string]bool
	usedValues map[string]bool
}

// NewParams checks placeholders. Nil maps are none; empty ones are a mistake.
func NewParams(names map[string]string, values map[string]dynamodb.AttributeValue) (*Params, error) {
	p := &Params{names: names, values: make(map[string]item.Value, len(values)),
		usedNames: map[string]bool{}, usedValues: map[string]bool{}}
	if names != nil && len(names) == 0 {
		return nil, invalid("ExpressionAttributeNames must not be empty")
	}
	if values != nil && len(values) == 0 {
		return nil, invalid("ExpressionAttributeValues must not be empty")
	}
	size := 0
	for _, key := range sorted(names) {
		name := names[key]
		size += len(key) + len(name)
		switch {
		case !isPlaceholder(key, '#'):
			return nil, invalid("ExpressionAttributeNames contains invalid key: Syntax error; key: \"%s\"", item.Clip(key, placeholderBytesMax))
		case name == "":
			return nil, invalid("ExpressionAttributeNames contains invalid value: Empty attribute name for key %s", key)
		case len(name) >= 64<<10:
			return nil, invalid("ExpressionAttributeNames contains invalid value: Attribute name is too large for key %s", key)
		}
	}
	for _, key := range sorted(values) {
		if !isPlaceholder(key, ':') {
			return nil, invalid("ExpressionAttributeValues contains invalid key: Syntax error; key: \"%s\"", item.Clip(key, placeholderBytesMax))
		}
		av := values[key]
		v, err := item.FromAPI(&av)
		if err != nil {
			return nil, invalid("ExpressionAttributeValues contains invalid value: %s for key %s", err, key)
		}
		p.values[key] = v
		size += len(key) + v.Size()
	}
	if size > paramsMax {
		return nil, invalid("The size of the expression attribute names and values has exceeded the maximum allowed size; size: %d", size)
	}
	return p, nil
}

// isPlaceholder: the sign, then letters, digits and underscores.
func isPlaceholder(key string, sign byte) bool {
	if len(key) < 2 || key[0] != sign || len(key) > placeholderBytesMax {
		return false
	}
	for i := 1; i < len(key); i++ {
		if !isNamePart(key[i]) {
			return false
		}
	}
	return true
}

// Unused tells of placeholders that no expression has used.
func (p *Params) Unused() error {
	unused := func(kind string, keys []string, used map[string]bool) error {
		keys = slices.DeleteFunc(keys, func(key string) bool { return used[key] })
		if len(keys) == 0 {
			return nil
		}
		return invalid("Value provided in ExpressionAttribute%s unused in expressions: keys: {%s}", kind, strings.Join(keys, ", "))
	}
	if err := unused("Names", sorted(p.names), p.usedNames); err != nil {
		return err
	}
	return unused("Values", sorted(p.values), p.usedValues)
}

func (p *Params) name(placeholder string) (string, error) {
	name, ok := p.names[placeholder]
	if !ok {
		return "", fmt.Errorf("An expression attribute name used in the document path is not defined; attribute name: %s", placeholder)
	}
	p.usedNames[placeholder] = true
	return name, nil
}

func (p *Params) value(placeholder string) (item.Value, error) {
	v, ok := p.values[placeholder]
	if !ok {
		return v, fmt.Errorf("An expression attribute value used in expression is not defined; attribute value: %s", placeholder)
	}
	p.usedValues[placeholder] = true
	return v, nil
}

// messageBytesMax is how long a message may be that shows something of the request.
const messageBytesMax = 4096

func invalid(format string, args ...any) *api.Error {
	e := api.Errorf("ValidationException", format, args...)
	e.Message = item.Clip(e.Message, messageBytesMax)
	return e
}

// inExpression says in which of a request's expressions a mistake is.
func inExpression(kind string, err error) error {
	if err == nil {
		return nil
	}
	return invalid("Invalid %s: %s", kind, err)
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
