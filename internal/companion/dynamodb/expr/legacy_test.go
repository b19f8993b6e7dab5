package expr

import (
	"encoding/json"
	"testing"

	"github.com/rheostream/rheo/internal/api/dynamodb"
)

func TestExpected(t *testing.T) {
	for text, want := range map[string]bool{
		`{"leaseKey": {"Exists": false}}`:                                                                     false,
		`{"absent": {"Exists": false}}`:                                                                       true,
		`{"leaseCounter": {"Value": {"N": "7"}}}`:                                                             true,
		`{"leaseCounter": {"Value": {"N": "8"}}}`:                                                             false,
		`{"leaseCounter": {"Value": {"N": "7.00"}, "Exists": true}}`:                                          true,
		`{"leaseCounter": {"Value": {"S": "7"}}}`:                                                             false,
		`{"leaseCounter": {"Value": {"N": "7"}}, "leaseOwner": {"Value": {"S": "worker-1"}}}`:                 true,
		`{"leaseCounter": {"Value": {"N": "7"}}, "leaseOwner": {"Value": {"S": "worker-2"}}}`:                 false,
		`{"leaseCounter": {"ComparisonOperator": "GE", "Value": {"N": "7"}}}`:                                 true,
		`{"leaseCounter": {"ComparisonOperator": "LT", "AttributeValueList": [{"N": "7"}]}}`:                  false,
		`{"leaseCounter": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"N": "7"}, {"N": "8"}]}}`: true,
		`{"leaseCounter": {"ComparisonOperator": "IN", "AttributeValueList": [{"N": "1"}, {"N": "7"}]}}`:      true,
		`{"leaseKey": {"ComparisonOperator": "BEGINS_WITH", "AttributeValueList": [{"S": "shard"}]}}`:         true,
		`{"leaseKey": {"ComparisonOperator": "CONTAINS", "AttributeValueList": [{"S": "Id-"}]}}`:              true,
		`{"parents": {"ComparisonOperator": "CONTAINS", "AttributeValueList": [{"S": "a"}]}}`:                 true,
		`{"parents": {"ComparisonOperator": "NOT_CONTAINS", "AttributeValueList": [{"S": "a"}]}}`:             false,
		`{"absent": {"ComparisonOperator": "NOT_CONTAINS", "AttributeValueList": [{"S": "a"}]}}`:              false, // unlike NE
		`{"leaseCounter": {"ComparisonOperator": "NOT_CONTAINS", "AttributeValueList": [{"S": "a"}]}}`:        true,
		`{"parents": {"ComparisonOperator": "EQ", "AttributeValueList": [{"SS": ["b", "a"]}]}}`:               true,
		`{"leaseOwner": {"ComparisonOperator": "NE", "AttributeValueList": [{"S": "x"}]}}`:                    true,
		`{"leaseOwner": {"ComparisonOperator": "NULL"}}`:                                                      false,
		`{"leaseOwner": {"ComparisonOperator": "NOT_NULL"}}`:                                                  true,
		`{"none": {"ComparisonOperator": "NOT_NULL"}}`:                                                        true, // of type NULL, but there
	} {
		var in map[string]dynamodb.ExpectedAttributeValue
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		c, err := Expected(in, "")
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := c.Match(itemOf(t, lease)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	either := map[string]dynamodb.ExpectedAttributeValue{"leaseKey": {Exists: new(bool)}, "absent": {Exists: new(bool)}}
	if c, err := Expected(either, dynamodb.ConditionalOperatorOr); err != nil || !c.Match(itemOf(t, lease)) {
		t.Errorf("OR: %v", err)
	}
	if c, err := Expected(either, dynamodb.ConditionalOperatorAnd); err != nil || c.Match(itemOf(t, lease)) {
		t.Errorf("AND: %v", err)
	}
	if c, err := Expected(nil, ""); err != nil || !c.Match(nil) {
		t.Errorf("none: %v", err)
	}
}

func TestExpectedMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": {}}`:               "Value must be provided when Exists is null for Attribute: a",
		`{"a": {"Exists": true}}`: "Value must be provided when Exists is true for Attribute: a",
		`{"a": {"Exists": false, "Value": {"S": "x"}}}`:                                                "Value cannot be used when Exists is false for Attribute: a",
		`{"a": {"AttributeValueList": [{"S": "x"}]}}`:                                                  "AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
		`{"a": {"Exists": true, "ComparisonOperator": "NULL"}}`:                                        "Exists and ComparisonOperator cannot be used together for Attribute: a",
		`{"a": {"ComparisonOperator": "EQ", "Value": {"S": "x"}, "AttributeValueList": [{"S": "x"}]}}`: "Value and AttributeValueList cannot be used together for Attribute: a",
		`{"a": {"ComparisonOperator": "EQ"}}`:                                                          "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
		`{"a": {"ComparisonOperator": "EQ", "AttributeValueList": []}}`:                                "Invalid number of argument(s) for the EQ ComparisonOperator",
		`{"a": {"ComparisonOperator": "NULL", "Value": {"S": "x"}}}`:                                   "Invalid number of argument(s) for the NULL ComparisonOperator",
		`{"a": {"ComparisonOperator": "LT", "Value": {"BOOL": true}}}`:                                 "ComparisonOperator LT is not valid for BOOL AttributeValue type",
		`{"a": {"ComparisonOperator": "IN", "AttributeValueList": [{"S": "x"}, {"N": "1"}]}}`:          "AttributeValues inside AttributeValueList must be of same type",
	} {
		var in map[string]dynamodb.ExpectedAttributeValue
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		if _, err := Expected(in, ""); err == nil || err.Error() != "ValidationException: "+badValues+want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestAttributeUpdates(t *testing.T) {
	const before = `{"n": {"N": "7"}, "s": {"S": "old"}, "ss": {"SS": ["a", "b"]}, "l": {"L": [{"S": "0"}]}}`
	for text, want := range map[string]string{
		`{"a.b": {"Action": "PUT", "Value": {"S": "x"}}}`:           `{"a.b": {"S": "x"}, "n": {"N": "7"}, "s": {"S": "old"}, "ss": {"SS": ["a", "b"]}, "l": {"L": [{"S": "0"}]}}`,
		`{"n": {"Value": {"S": "x"}}}`:                              `{"n": {"S": "x"}, "s": {"S": "old"}, "ss": {"SS": ["a", "b"]}, "l": {"L": [{"S": "0"}]}}`,
		`{"n": {"Action": "ADD", "Value": {"N": "-0.5"}}}`:          `{"n": {"N": "6.5"}, "s": {"S": "old"}, "ss": {"SS": ["a", "b"]}, "l": {"L": [{"S": "0"}]}}`,
		`{"ss": {"Action": "ADD", "Value": {"SS": ["c"]}}}`:         `{"n": {"N": "7"}, "s": {"S": "old"}, "ss": {"SS": ["a", "b", "c"]}, "l": {"L": [{"S": "0"}]}}`,
		`{"l": {"Action": "ADD", "Value": {"L": [{"S": "1"}]}}}`:    `{"n": {"N": "7"}, "s": {"S": "old"}, "ss": {"SS": ["a", "b"]}, "l": {"L": [{"S": "0"}, {"S": "1"}]}}`,
		`{"ss": {"Action": "DELETE", "Value": {"SS": ["a", "c"]}}}`: `{"n": {"N": "7"}, "s": {"S": "old"}, "ss": {"SS": ["b"]}, "l": {"L": [{"S": "0"}]}}`,
		`{"ss": {"Action": "DELETE"}, "zz": {"Action": "DELETE"}}`:  `{"n": {"N": "7"}, "s": {"S": "old"}, "l": {"L": [{"S": "0"}]}}`,
		`{"n": {"Action": "ADD", "Value": {"SS": ["c"]}}}`:          "ValidationException: Type mismatch for attribute to update",
		`{"n": {"Action": "PUT"}}`:                                  "ValidationException: " + badValues + "Only DELETE action is allowed when no attribute value is specified",
		`{"n": {"Action": "DELETE", "Value": {"N": "1"}}}`:          "ValidationException: " + badValues + "DELETE action with value is not supported for the type N",
		`{"n": {"Action": "ADD", "Value": {"S": "1"}}}`:             "ValidationException: " + badValues + "ADD action is not supported for the type S",
	} {
		var in map[string]dynamodb.AttributeValueUpdate
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		u, err := AttributeUpdates(in)
		got := ""
		if err == nil {
			it, applyErr := u.Apply(itemOf(t, before), nil)
			got, err = show(it.Item), applyErr
		}
		if err != nil {
			got = err.Error()
		} else {
			want = show(itemOf(t, want))
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
