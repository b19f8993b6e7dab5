package expr

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// values are an item, or placeholders, as the API has them: {"a": {"S": "x"}}.
func values(t testing.TB, text string) map[string]dynamodb.AttributeValue {
	t.Helper()
	if text == "" {
		return nil
	}
	var m map[string]dynamodb.AttributeValue
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func itemOf(t testing.TB, text string) item.Item {
	t.Helper()
	it, err := item.ItemFromAPI(values(t, text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return it
}

func params(t testing.TB, names map[string]string, vals string) *Params {
	t.Helper()
	p, err := NewParams(names, values(t, vals))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lease is an item as the KCL writes it, and a nested one beside.
const lease = `{
	"leaseKey": {"S": "shardId-000000000001"}, "leaseCounter": {"N": "7"}, "leaseOwner": {"S": "worker-1"},
	"parents": {"SS": ["a", "b"]}, "counts": {"NS": ["1", "2.50"]}, "bytes0": {"B": "AAEC"}, "on": {"BOOL": true}, "none": {"NULL": true},
	"doc": {"M": {"list": {"L": [{"N": "1"}, {"S": "two"}, {"M": {"deep": {"S": "x"}}}]}, "a.b": {"S": "dotted"}}},
	"keys": {"BS": ["AA==", "AQ=="]}}`

var leaseNames = map[string]string{"#o": "leaseOwner", "#n": "none", "#d": "doc", "#l": "list", "#ab": "a.b", "#k": "keys", "#on": "on"}

const leaseValues = `{":w": {"S": "worker-1"}, ":x": {"S": "x"}, ":7": {"N": "7.0"}, ":8": {"N": "8"}, ":1": {"N": "1"}, ":t": {"BOOL": true},
	":a": {"S": "a"}, ":ss": {"SS": ["b", "a"]}, ":S": {"S": "S"}, ":M": {"S": "M"}, ":shard": {"S": "shardId-"}, ":raw": {"B": "AAE="},
	":20": {"N": "20"}, ":2": {"N": "2"}, ":25": {"N": "2.5"}, ":null": {"NULL": true}, ":dot": {"S": "dotted"}, ":two": {"S": "two"}}`

func TestConditions(t *testing.T) {
	it := itemOf(t, lease)
	for text, want := range map[string]bool{
		"leaseCounter = :7":                                   true, // 7.0 is 7
		"leaseCounter <> :7":                                  false,
		"leaseCounter < :8":                                   true,
		"leaseCounter > :8":                                   false,
		"leaseCounter >= :7 AND leaseCounter <= :7":           true,
		"leaseCounter = :w":                                   false, // types differ
		"leaseCounter <> :w":                                  true,
		"leaseCounter < :w OR leaseCounter >= :w":             false,
		"absent = :7":                                         false,
		"absent <> :7":                                        true,
		"absent < :7":                                         false,
		"NOT absent < :7":                                     true,
		"#o = :w":                                             true,
		":w = #o":                                             true,
		"attribute_exists(#o)":                                true,
		"attribute_not_exists(#o)":                            false,
		"attribute_exists (leaseKey) AND #o = :x":             false,
		"attribute_not_exists(absent) OR #o = :x":             true,
		"attribute_exists(#d.#l[2].deep)":                     true,
		"attribute_exists(#d.#l[3])":                          false,
		"#d.#ab = :dot":                                       true,
		"#d.#l[1] = :two":                                     true,
		"#d.#l[0] = :1":                                       true,
		"#n = :null":                                          true,
		"#on = :t":                                            true,
		"parents = :ss":                                       true, // a set has no order
		"contains(parents, :a)":                               true,
		"contains(parents, :x)":                               false,
		"contains(counts, :25)":                               true,
		"contains(#k, :raw)":                                  false,
		"contains(#d.#l, :two)":                               true,
		"contains(#o, :x)":                                    false,
		"begins_with(leaseKey, :shard)":                       true,
		"begins_with(leaseCounter, :shard)":                   false,
		"begins_with(bytes0, :raw)":                           true,
		"attribute_type(leaseKey, :S)":                        true,
		"attribute_type(#d, :M)":                              true,
		"attribute_type(absent, :M)":                          false,
		"size(leaseKey) = :20":                                true,
		"size(parents) = :2":                                  true,
		"size(#d) >= :2":                                      true,
		"size(absent) = :2":                                   false,
		"size(#on) = :2":                                      false,
		"leaseCounter BETWEEN :1 AND :8":                      true,
		"leaseCounter between :8 and :20":                     false,
		"leaseCounter IN (:1, :7)":                            true,
		"leaseCounter in (:1)":                                false,
		"absent IN (:1)":                                      false,
		"NOT leaseCounter = :7 OR #o = :w":                    true, // NOT binds tighter than OR
		"NOT (leaseCounter = :7 OR #o = :w)":                  false,
		"#o = :w OR #o = :x AND #o = :x":                      true, // and so does AND
		"(#o = :w OR #o = :x) AND #o = :x":                    false,
		"NOT NOT #o = :w":                                     true,
		"(leaseCounter) = (:7)":                               true,
		"leaseCounter=:7 and(not(absent=:7))":                 true,
		":7 = :7":                                             true,
		"leaseCounter BETWEEN :1 AND :8 AND #o = :w":          true,
		"contains(leaseKey, #o) OR attribute_exists(parents)": true,
	} {
		p := params(t, leaseNames, leaseValues)
		c, err := p.Condition("ConditionExpression", text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := c.Match(it); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestConditionMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       `The expression can not be empty;`,
		" \n":                                    `The expression can not be empty;`,
		"a":                                      `Syntax error; token: "<EOF>", near: "a"`,
		"a = ":                                   `Syntax error; token: "<EOF>", near: "="`,
		"a == :1":                                `Syntax error; token: "=", near: "== :1"`,
		"a = :1 b":                               `Syntax error; token: "b", near: ":1 b"`,
		"a = :1 AND":                             `Syntax error; token: "<EOF>", near: "AND"`,
		"a AND a = :1":                           `Syntax error; token: "AND", near: "a AND a"`,
		"a = :1 AND b":                           `Syntax error; token: "<EOF>", near: "b"`,
		"(a = :1":                                `Syntax error; token: "<EOF>", near: ":1"`,
		"a.1 = :1":                               `Syntax error; token: "1", near: ".1 ="`,
		"a[b] = :1":                              `Syntax error; token: "b", near: "[b]"`,
		"a[99999999999] = :1":                    `Syntax error; token: "99999999999", near: "[99999999999]"`,
		"a = é":                                  `Syntax error; token: "é", near: "= é"`,
		"NOT a":                                  `Syntax error; token: "<EOF>", near: "a"`,
		"a IN :1":                                `Syntax error; token: ":1", near: "IN :1"`,
		"a BETWEEN :1 OR :2":                     `Syntax error; token: "OR", near: ":1 OR :2"`,
		"and = :1":                               `Syntax error; token: "and", near: "and ="`,
		"((a = :1))":                             `The expression has redundant parentheses;`,
		"a = ((:1))":                             `The expression has redundant parentheses;`,
		"nosuch(a)":                              `Invalid function name; function: nosuch`,
		"if_not_exists(a, :1) = :1":              `The function is not allowed in a condition expression; function: if_not_exists`,
		"a" + strings.Repeat(".a", 32) + " = :1": `The document path has too many nesting levels; nesting levels: 33`,
		"a[00] = :1":                             `Syntax error; token: "0", near: "00]"`,
		"a BETWEEN :1 AND a":                     `The first operand must be distinct from the remaining operands for this operator or function; operator: BETWEEN, first operand: [a]`,
		"a BETWEEN b AND :ss":                    `Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: SS`,
		":ss BETWEEN a AND b":                    `Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: SS`,
		"a IN (:1, a)":                           `The first operand must be distinct from the remaining operands for this operator or function; operator: IN, first operand: [a]`,
		"size(a)":                                `The function is not allowed to be used this way in an expression; function: size`,
		"a = :1 AND size(a)":                     `The function is not allowed to be used this way in an expression; function: size`,
		"contains(a, :x) = :t":                   `The function is not allowed to be used this way in an expression; function: contains`,
		"size(contains(a, :x)) = :1":             `The function is not allowed to be used this way in an expression; function: contains`,
		"name = :1":                              `Attribute name is a reserved keyword; reserved keyword: name`,
		"a.Size = :1":                            `Attribute name is a reserved keyword; reserved keyword: Size`,
		"#zz = :1":                               `An expression attribute name used in the document path is not defined; attribute name: #zz`,
		"a = :zz":                                `An expression attribute value used in expression is not defined; attribute value: :zz`,
		"attribute_exists(a, b)":                 `Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2`,
		"attribute_exists(:1)":                   `Operator or function requires a document path; operator or function: attribute_exists`,
		"begins_with(a, :1)":                     `Incorrect operand type for operator or function; operator or function: begins_with, operand type: N`,
		"begins_with(a, size(b))":                `Incorrect operand type for operator or function; operator or function: begins_with, operand type: N`,
		"size(:1) = :1":                          `Incorrect operand type for operator or function; operator or function: size, operand type: N`,
		"a < :ss":                                `Incorrect operand type for operator or function; operator or function: <, operand type: SS`,
		"attribute_type(a, :1)":                  `Incorrect operand type for operator or function; operator or function: attribute_type, operand type: N`,
		"attribute_type(a, b)":                   `Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}`,
		"attribute_type(a, :x)":                  `Invalid attribute type name found; type: x, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}`,
		"a = a":                                  `The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]`,
		"#d.#l[1] <> #d.#l[1]":                   `The first operand must be distinct from the remaining operands for this operator or function; operator: <>, first operand: [doc, list, [1]]`,
		"a BETWEEN :8 AND :1":                    `The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:8}, upper bound operand: AttributeValue: {N:1}`,
		"a BETWEEN :1 AND :x":                    `The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {S:x}`,
		strings.Repeat("a", 4097):                `Expression size has exceeded the maximum allowed size; expression size: 4097`,
		strings.Repeat("a=:1 OR ", 200) + "a=:1": `The expression contains too many operators; operator count: 301`,
	} {
		p := params(t, leaseNames, leaseValues)
		_, err := p.Condition("FilterExpression", text)
		if want = "ValidationException: Invalid FilterExpression: " + want; err == nil || err.Error() != want {
			t.Errorf("%.50q:\n\t%v, want\n\t%s", text, err, want)
		}
	}
}

func TestParams(t *testing.T) {
	for _, tt := range []struct {
		names  map[string]string
		values string
		want   string
	}{
		{names: map[string]string{}, want: "ExpressionAttributeNames must not be empty"},
		{values: `{}`, want: "ExpressionAttributeValues must not be empty"},
		{names: map[string]string{"a": "b"}, want: `ExpressionAttributeNames contains invalid key: Syntax error; key: "a"`},
		{values: `{"a": {"S": "b"}}`, want: `ExpressionAttributeValues contains invalid key: Syntax error; key: "a"`},
		{values: `{":a": {}}`, want: `ExpressionAttributeValues contains invalid value: Supplied AttributeValue is empty, must contain exactly one of the supported datatypes for key :a`},
		{values: `{":a": {"N": "x"}}`, want: `ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a numeric value: x for key :a`},
		{names: map[string]string{"#a": "b", "#b": "c"}, want: `Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #b}`},
		{values: `{":a": {"S": "b"}}`, want: `Value provided in ExpressionAttributeValues unused in expressions: keys: {:a}`},
	} {
		p, err := NewParams(tt.names, values(t, tt.values))
		if err == nil {
			err = p.Unused()
		}
		if !api.IsCode(err, "ValidationException") || !strings.HasSuffix(err.Error(), ": "+tt.want) {
			t.Errorf("%v %s: %v", tt.names, tt.values, err)
		}
	}
}
