package expr

import (
	"maps"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// show is an item as text, for comparison.
func show(it item.Item) string { return item.Value{Type: item.M, Map: it}.Echo() }

func TestUpdates(t *testing.T) {
	const vals = `{":1": {"N": "1"}, ":x": {"S": "x"}, ":l": {"L": [{"S": "n"}]}, ":empty": {"L": []}, ":ss": {"SS": ["b", "c"]}, ":ns": {"NS": ["1"]},
		":m": {"M": {"k": {"S": "v"}}}, ":half": {"N": "0.5"}, ":ab": {"SS": ["a", "b"]}}`
	const before = `{"n": {"N": "7"}, "s": {"S": "old"}, "l": {"L": [{"S": "0"}, {"S": "1"}, {"S": "2"}]}, "ss": {"SS": ["a", "b"]}, "m": {"M": {"k": {"S": "v"}, "l": {"L": [{"N": "1"}]}}}}`
	for text, want := range map[string]string{
		"SET a = :x":                                        `{"a": {"S": "x"}}`,
		"set a=:x,b=:1":                                     `{"a": {"S": "x"}, "b": {"N": "1"}}`,
		"SET n = n + :1":                                    `{"n": {"N": "8"}}`,
		"SET n = :half - n":                                 `{"n": {"N": "-6.5"}}`,
		"SET n = (n + :half)":                               `{"n": {"N": "7.5"}}`,
		"SET s = n, n = s":                                  `{"s": {"N": "7"}, "n": {"S": "old"}}`, // both as they were
		"SET n = if_not_exists(n, :1) + :1":                 `{"n": {"N": "8"}}`,
		"SET c = if_not_exists(c, :1) + :1":                 `{"c": {"N": "2"}}`,
		"SET l = list_append(l, :l)":                        `{"l": {"L": [{"S": "0"}, {"S": "1"}, {"S": "2"}, {"S": "n"}]}}`,
		"SET l = list_append(:l, l)":                        `{"l": {"L": [{"S": "n"}, {"S": "0"}, {"S": "1"}, {"S": "2"}]}}`,
		"SET a = list_append(if_not_exists(a, :empty), :l)": `{"a": {"L": [{"S": "n"}]}}`,
		"SET l[1] = :x":                                     `{"l": {"L": [{"S": "0"}, {"S": "x"}, {"S": "2"}]}}`,
		"SET l[9] = :x, l[7] = :1":                          `{"l": {"L": [{"S": "0"}, {"S": "1"}, {"S": "2"}, {"N": "1"}, {"S": "x"}]}}`,
		"SET m.k = :x":                                      `{"m": {"M": {"k": {"S": "x"}, "l": {"L": [{"N": "1"}]}}}}`,
		"SET m.z = :m":                                      `{"m": {"M": {"k": {"S": "v"}, "l": {"L": [{"N": "1"}]}, "z": {"M": {"k": {"S": "v"}}}}}}`,
		"SET m.l[0] = m.l[0] + :1":                          `{"m": {"M": {"k": {"S": "v"}, "l": {"L": [{"N": "2"}]}}}}`,
		"REMOVE n":                                          `{"n": {}}`,
		"remove n, s":                                       `{"n": {}, "s": {}}`,
		"REMOVE l[0], l[1]":                                 `{"l": {"L": [{"S": "2"}]}}`, // indices are those of before
		"REMOVE l[1], l[0]":                                 `{"l": {"L": [{"S": "2"}]}}`,
		"REMOVE l[9]":                                       ``,
		"REMOVE absent":                                     ``,
		"REMOVE m.k":                                        `{"m": {"M": {"l": {"L": [{"N": "1"}]}}}}`,
		"SET l[5] = :x REMOVE l[0]":                         `{"l": {"L": [{"S": "1"}, {"S": "2"}, {"S": "x"}]}}`,
		"ADD n :1":                                          `{"n": {"N": "8"}}`,
		"ADD c :1":                                          `{"c": {"N": "1"}}`,
		"ADD ss :ss":                                        `{"ss": {"SS": ["a", "b", "c"]}}`,
		"ADD m.c :1":                                        `{"m": {"M": {"k": {"S": "v"}, "l": {"L": [{"N": "1"}]}, "c": {"N": "1"}}}}`,
		"DELETE ss :ss":                                     `{"ss": {"SS": ["a"]}}`,
		"DELETE ss :ab":                                     `{"ss": {}}`,
		"DELETE c :ss":                                      ``,
		"REMOVE s SET a = :x ADD n :1 DELETE ss :ss": `{"s": {}, "a": {"S": "x"}, "n": {"N": "8"}, "ss": {"SS": ["a"]}}`,
	} {
		p := params(t, nil, vals)
		it := itemOf(t, before)
		u, err := p.Update(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := u.Apply(it, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		expected := itemOf(t, before)
		for name, av := range values(t, want) {
			if v, err := item.FromAPI(&av); err == nil {
				expected[name] = v
			} else {
				delete(expected, name)
			}
		}
		if show(got.Item) != show(expected) {
			t.Errorf("%s:\n\t%s, want\n\t%s", text, show(got.Item), show(expected))
		}
		if show(it) != show(itemOf(t, before)) {
			t.Errorf("%s changed the item it was applied to", text)
		}
	}
}

func TestUpdateMistakes(t *testing.T) {
	const vals = `{":1": {"N": "1"}, ":x": {"S": "x"}, ":l": {"L": [{"S": "n"}]}, ":ss": {"SS": ["b", "c"]}, ":big": {"N": "9e125"}}`
	const before = `{"n": {"N": "7"}, "s": {"S": "old"}, "l": {"L": [{"S": "0"}]}, "big": {"N": "9e125"}}`
	const in = "Invalid UpdateExpression: "
	for text, want := range map[string]string{
		"":                      in + `The expression can not be empty;`,
		"a = :1":                in + `Syntax error; token: "a", near: "a ="`,
		"SET a":                 in + `Syntax error; token: "<EOF>", near: "a"`,
		"SET a = :1,":           in + `Syntax error; token: "<EOF>", near: ","`,
		"SET a = n + n + n":     in + `Syntax error; token: "+", near: "n + n"`,
		"ADD a n":               in + `Syntax error; token: "n", near: "a n"`,
		"SET a = :1 SET b = :1": in + `The "SET" section can only be used once in an update expression;`,
		"SET size = :1":         in + `Attribute name is a reserved keyword; reserved keyword: size`,
		"SET add = :1":          in + `Syntax error; token: "add", near: "SET add ="`,
		"SET a = :1, REMOVE b":  in + `Syntax error; token: "REMOVE", near: ", REMOVE b"`,
		"SET _a = :1":           in + `Syntax error; token: "_", near: "SET _a"`,
		"SET a = ((:1))":        in + `The expression has redundant parentheses;`,
		"SET a = list_append(list_append(:l, :l), :l)": in + `The function is not allowed to be used this way in an expression; function: list_append`,
		"SET a = size":                  in + `Attribute name is a reserved keyword; reserved keyword: size`,
		"SET a = foo(:1)":               in + `Invalid function name; function: foo`,
		"SET a = size(n)":               in + `The function is not allowed in an update expression; function: size`,
		"SET a = #b":                    in + `An expression attribute name used in the document path is not defined; attribute name: #b`,
		"SET #a = :1":                   in + `An expression attribute name used in the document path is not defined; attribute name: #a`,
		"SET a = :zz":                   in + `An expression attribute value used in expression is not defined; attribute value: :zz`,
		"SET a = :1 REMOVE a":           in + `Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]`,
		"SET a.b = :1, a = :1":          in + `Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a]`,
		"SET a.b = :1, a[1] = :1":       in + `Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, [1]]`,
		"ADD a :x":                      in + `Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND`,
		"DELETE a :1":                   in + `Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND`,
		"SET a = :x + :1":               in + `Incorrect operand type for operator or function; operator or function: +, operand type: S`,
		"SET a = list_append(:1, :l)":   in + `Incorrect operand type for operator or function; operator or function: list_append, operand type: N`,
		"SET a = if_not_exists(:1, :1)": in + `Operator or function requires a document path; operator or function: if_not_exists`,
		"SET a = if_not_exists(b, b)":   in + `The first operand must be distinct from the remaining operands for this operator or function; operator: if_not_exists, first operand: [b]`,
		"SET a = list_append(:l)":       in + `Incorrect number of operands for operator or function; operator or function: list_append, number of operands: 1`,
		// With an item.
		"SET a = absent":             `The provided expression refers to an attribute that does not exist in the item`,
		"SET a = absent + :1":        `The provided expression refers to an attribute that does not exist in the item`,
		"SET a = s + :1":             `An operand in the update expression has an incorrect data type`,
		"SET a = list_append(s, :l)": `An operand in the update expression has an incorrect data type`,
		"ADD s :1":                   `An operand in the update expression has an incorrect data type`,
		"DELETE n :ss":               `An operand in the update expression has an incorrect data type`,
		"SET absent.a = :1":          `The document path provided in the update expression is invalid for update`,
		"SET s.a = :1":               `The document path provided in the update expression is invalid for update`,
		"SET n[0] = :1":              `The document path provided in the update expression is invalid for update`,
		"SET l[1].a = :1":            `The document path provided in the update expression is invalid for update`,
		"REMOVE absent.a":            `The document path provided in the update expression is invalid for update`,
		"SET a = big + :big":         `Number overflow. Attempting to store a number with magnitude larger than supported range`,
		"SET a = big + :1":           `Attempting to store more than 38 significant digits in a Number`,
	} {
		p := params(t, nil, vals)
		u, err := p.Update(text)
		if err == nil {
			_, err = u.Apply(itemOf(t, before), nil)
		}
		if err == nil || err.Error() != "ValidationException: "+want {
			t.Errorf("%s:\n\t%v, want\n\t%s", text, err, want)
		}
	}
}

func TestProjections(t *testing.T) {
	const it = `{"a": {"S": "x"}, "b": {"N": "1"}, "m": {"M": {"k": {"S": "v"}, "z": {"S": "w"}}}, "l": {"L": [{"S": "0"}, {"S": "1"}, {"M": {"d": {"S": "y"}, "e": {"S": "y"}}}]}}`
	names := map[string]string{"#m": "m", "#a": "a"}
	for text, want := range map[string]string{
		"a":              `{"a": {"S": "x"}}`,
		"#a,b":           `{"a": {"S": "x"}, "b": {"N": "1"}}`,
		"absent, b":      `{"b": {"N": "1"}}`,
		"absent.deep[1]": `{}`,
		"m.k":            `{"m": {"M": {"k": {"S": "v"}}}}`,
		"#m.nothing":     `{}`,
		"l[1]":           `{"l": {"L": [{"S": "1"}]}}`,
		"l[2].d, l[0]":   `{"l": {"L": [{"S": "0"}, {"M": {"d": {"S": "y"}}}]}}`,
		"l[9], l[2].e":   `{"l": {"L": [{"M": {"e": {"S": "y"}}}]}}`,
		"a.b, b[0]":      `{}`,
	} {
		p := params(t, names, "")
		pr, err := p.Projection(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := pr.Of(itemOf(t, it)); show(got) != show(itemOf(t, want)) {
			t.Errorf("%s: %s, want %s", text, show(got), show(itemOf(t, want)))
		}
	}
	for text, want := range map[string]string{
		"":          `The expression can not be empty;`,
		"a b":       `Syntax error; token: "b", near: "a b"`,
		"a,":        `Syntax error; token: "<EOF>", near: ","`,
		"a, :v":     `Syntax error; token: ":v", near: ", :v"`,
		"a, name":   `Attribute name is a reserved keyword; reserved keyword: name`,
		"#x":        `An expression attribute name used in the document path is not defined; attribute name: #x`,
		"a, #a":     `Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]`,
		"m.k, m[0]": `Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [m, k], path two: [m, [0]]`,
	} {
		p := params(t, names, "")
		_, err := p.Projection(text)
		if want = "ValidationException: Invalid ProjectionExpression: " + want; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestKeyConditions(t *testing.T) {
	const vals = `{":h": {"S": "h"}, ":1": {"N": "1"}, ":2": {"N": "2"}, ":p": {"S": "p"}}`
	names := map[string]string{"#h": "hash"}
	for text, want := range map[string]string{
		"h = :h":                             `h = [{S:h}]`,
		"#h = :h AND r > :1":                 `hash = [{S:h}]; r > [{N:1}]`,
		":1 < r AND :h = h":                  `r > [{N:1}]; h = [{S:h}]`,
		"(h = :h) AND (r BETWEEN :1 AND :2)": `h = [{S:h}]; r BETWEEN [{N:1} {N:2}]`,
		"h = :h and begins_with(r, :p)":      `h = [{S:h}]; r begins_with [{S:p}]`,
	} {
		p := params(t, names, vals)
		list, err := p.KeyConditions(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, c := range list {
			var echoes []string
			for _, v := range c.Values {
				echoes = append(echoes, v.Echo())
			}
			got = append(got, c.Attribute+" "+c.Op+" ["+strings.Join(echoes, " ")+"]")
		}
		if s := strings.Join(got, "; "); s != want {
			t.Errorf("%s: %s", text, s)
		}
	}
	for text, want := range map[string]string{
		"h = :h OR r = :1":               "Invalid operator used in KeyConditionExpression: OR",
		"NOT h = :h":                     "Invalid operator used in KeyConditionExpression: NOT",
		"h <> :h":                        "Invalid operator used in KeyConditionExpression: <>",
		"h IN (:h)":                      "Invalid operator used in KeyConditionExpression: IN",
		"attribute_exists(h)":            "Invalid operator used in KeyConditionExpression: attribute_exists",
		"h = :h AND h = :1":              "KeyConditionExpressions must only contain one condition per key",
		"h = :h AND size(r) > :1":        "KeyConditionExpressions cannot contain nested operations",
		"h = r":                          "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
		":h = :h":                        "Invalid condition in KeyConditionExpression: No key attribute specified",
		":1 BETWEEN h AND :2":            "Invalid condition in KeyConditionExpression: BETWEEN operator must have the key attribute as its first operand",
		"h = :h AND begins_with(:h, :p)": "Invalid condition in KeyConditionExpression: begins_with operator must have the key attribute as its first operand",
		"h.x = :h":                       "KeyConditionExpressions cannot have conditions on nested attributes",
		"h = :h AND r = :1 AND x = :1":   "Conditions can be of length 1 or 2 only",
		"h = :h AND":                     `Invalid KeyConditionExpression: Syntax error; token: "<EOF>", near: "AND"`,
	} {
		p := params(t, names, vals)
		if _, err := p.KeyConditions(text); err == nil || err.Error() != "ValidationException: "+want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzExpressions: no text makes a parser panic, and what it takes can be used.
func FuzzExpressions(f *testing.F) {
	for _, seed := range []string{"a = :1 AND NOT (b.c[0] <> #n OR size(d) > :1)", "SET a.b = if_not_exists(c, :1) + :1, l[3] = list_append(l, :l) REMOVE x ADD n :1 DELETE s :s",
		"a, b.c[1], #n", "h = :1 AND begins_with(r, :x)", "a BETWEEN :1 AND :1 OR a IN (:1, :x)", "((((((", "a[", "#", ":", "\x00é"} {
		f.Add(seed)
	}
	it := itemOf(f, lease)
	vals := values(f, `{":1": {"N": "1"}, ":x": {"S": "x"}, ":l": {"L": []}, ":s": {"SS": ["a"]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := NewParams(map[string]string{"#n": "doc"}, maps.Clone(vals))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := p.Condition("ConditionExpression", text); err == nil {
			c.Match(it)
			c.Match(nil)
		}
		if u, err := p.Update(text); err == nil {
			if out, err := u.Apply(it, nil); err == nil {
				if _, err := item.Decode(string(out.Append(nil))); err != nil {
					t.Fatalf("the outcome cannot be stored: %v", err)
				}
			}
			u.Apply(nil, nil)
		}
		if pr, err := p.Projection(text); err == nil {
			pr.Of(it)
		}
		p.KeyConditions(text)
	})
}
