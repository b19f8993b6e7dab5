package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A suite is many requests of one sort.
type suite struct {
	name string
	run  func(ctx context.Context, j *judge) error
}

// The tables that all suites but the scripts share: one item with values of all
// types in the first, partitions with indexes in the second.
const (
	itemsTable = "oracle-items"
	pairsTable = "oracle-pairs"
)

// A fixture is what expressions are about.
type fixture struct {
	Item   object   `json:"item"`
	Others []object `json:"others"`
	Pairs  []object `json:"pairs"`
	Values object   `json:"values"` // by placeholder
	Names  object   `json:"names"`
}

type object = map[string]any

func readSuites(rounds int, seed uint64) ([]suite, error) {
	b, err := files.ReadFile("cases/fixture.json")
	if err != nil {
		return nil, err
	}
	f := new(fixture)
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("fixture.json: %w", err)
	}
	suites := []suite{{"fixture", f.make}}
	g := newGenerator(seed, f)
	for _, s := range []struct {
		name string
		run  func(context.Context, *judge, string) error
		more func() string // a random one
	}{
		{"conditions", f.condition, g.condition},
		{"updates", f.update, g.update},
		{"projections", f.projection, g.projection},
		{"keys", f.keyCondition, nil},
		{"expected", f.expected, g.expected},
		{"attributes", f.attributeUpdates, g.attributeUpdates},
		{"values", f.value, g.value},
	} {
		lines, err := readLines("cases/" + s.name + ".txt")
		if err != nil {
			return nil, err
		}
		suites = append(suites, suite{s.name, func(ctx context.Context, j *judge) error {
			for _, line := range lines {
				if err := s.run(ctx, j, line); err != nil {
					return fmt.Errorf("%s: %w", line, err)
				}
			}
			if s.more == nil {
				return nil
			}
			j.kinds = true
			defer func() { j.kinds = false }()
			for range rounds {
				line := s.more()
				if err := s.run(ctx, j, line); err != nil {
					return fmt.Errorf("%s: %w", line, err)
				}
			}
			return nil
		}})
	}
	scripts, err := files.ReadDir("cases")
	if err != nil {
		return nil, err
	}
	for _, e := range scripts {
		if name, is := strings.CutSuffix(e.Name(), ".script"); is {
			b, err := files.ReadFile(path.Join("cases", e.Name()))
			if err != nil {
				return nil, err
			}
			suites = append(suites, suite{name, script(string(b)).run})
		}
	}
	return suites, nil
}

func readLines(name string) (lines []string, err error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" && !strings.HasPrefix(line, "//") {
			lines = append(lines, line)
		}
	}
	return lines, s.Err()
}

// request makes JSON of a request.
func request(fields object) string { return text(fields) }

// with adds to a request an expression and what its placeholders stand for.
func (f *fixture) with(fields object, parameter, expression string) object {
	fields[parameter] = expression
	for _, placeholder := range placeholders.FindAllString(expression, -1) {
		for parameter, all := range map[string]object{"ExpressionAttributeValues": f.Values, "ExpressionAttributeNames": f.Names} {
			v, ok := all[placeholder]
			if !ok {
				continue
			}
			if fields[parameter] == nil {
				fields[parameter] = object{}
			}
			fields[parameter].(object)[placeholder] = v
		}
	}
	return fields
}

var placeholders = regexp.MustCompile(`[:#][A-Za-z0-9_]+`)

func (f *fixture) make(ctx context.Context, j *judge) error {
	attribute := func(name, kind string) object { return object{"AttributeName": name, "AttributeType": kind} }
	key := func(name, kind string) object { return object{"AttributeName": name, "KeyType": kind} }
	for _, table := range []object{
		{"TableName": itemsTable, "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": []object{attribute("h", "S")}, "KeySchema": []object{key("h", "HASH")}},
		{"TableName": pairsTable, "BillingMode": "PAY_PER_REQUEST",
			"AttributeDefinitions":   []object{attribute("h", "S"), attribute("r", "N"), attribute("g", "S"), attribute("n", "N")},
			"KeySchema":              []object{key("h", "HASH"), key("r", "RANGE")},
			"LocalSecondaryIndexes":  []object{{"IndexName": "byN", "Projection": object{"ProjectionType": "KEYS_ONLY"}, "KeySchema": []object{key("h", "HASH"), key("n", "RANGE")}}},
			"GlobalSecondaryIndexes": []object{{"IndexName": "byG", "Projection": object{"ProjectionType": "INCLUDE", "NonKeyAttributes": []string{"x"}}, "KeySchema": []object{key("g", "HASH"), key("n", "RANGE")}}}},
	} {
		if err := j.all(ctx, "CreateTable", request(table)); err != nil {
			return err
		}
		if err := j.wait(ctx, table["TableName"].(string), "ACTIVE"); err != nil {
			return err
		}
	}
	for _, it := range f.Others {
		if err := j.all(ctx, "PutItem", request(object{"TableName": itemsTable, "Item": it})); err != nil {
			return err
		}
	}
	for _, it := range f.Pairs {
		if err := j.all(ctx, "PutItem", request(object{"TableName": pairsTable, "Item": it})); err != nil {
			return err
		}
	}
	return f.reset(ctx, j)
}

// reset has the item as it was before what a case has done to it.
func (f *fixture) reset(ctx context.Context, j *judge) error {
	return j.all(ctx, "PutItem", request(object{"TableName": itemsTable, "Item": f.Item}))
}

func (f *fixture) key() object { return object{"h": f.Item["h"]} }

var noItem = object{"h": object{"S": "none"}}

func (f *fixture) condition(ctx context.Context, j *judge, expression string) error {
	if err := f.reset(ctx, j); err != nil {
		return err
	}
	if err := j.same(ctx, "Scan", request(f.with(object{"TableName": itemsTable, "Select": "COUNT"}, "FilterExpression", expression))); err != nil {
		return err
	}
	if err := j.same(ctx, "DeleteItem", request(f.with(object{"TableName": itemsTable, "Key": noItem}, "ConditionExpression", expression))); err != nil {
		return err
	}
	return j.same(ctx, "DeleteItem", request(f.with(object{"TableName": itemsTable, "Key": f.key(), "ReturnValues": "ALL_OLD"}, "ConditionExpression", expression)))
}

func (f *fixture) update(ctx context.Context, j *judge, expression string) error {
	for _, shown := range []string{"ALL_NEW", "UPDATED_NEW", "UPDATED_OLD"} {
		if err := f.reset(ctx, j); err != nil {
			return err
		}
		if err := j.same(ctx, "UpdateItem", request(f.with(object{"TableName": itemsTable, "Key": f.key(), "ReturnValues": shown}, "UpdateExpression", expression))); err != nil {
			return err
		}
	}
	if err := j.all(ctx, "DeleteItem", request(object{"TableName": itemsTable, "Key": noItem})); err != nil {
		return err
	}
	if err := j.same(ctx, "UpdateItem", request(f.with(object{"TableName": itemsTable, "Key": noItem, "ReturnValues": "ALL_NEW"}, "UpdateExpression", expression))); err != nil {
		return err
	}
	return j.all(ctx, "DeleteItem", request(object{"TableName": itemsTable, "Key": noItem}))
}

func (f *fixture) projection(ctx context.Context, j *judge, expression string) error {
	if err := f.reset(ctx, j); err != nil {
		return err
	}
	return j.same(ctx, "GetItem", request(f.with(object{"TableName": itemsTable, "Key": f.key()}, "ProjectionExpression", expression)))
}

// keyCondition queries the table, or the index named before a colon, in both
// directions, whole and in pages.
func (f *fixture) keyCondition(ctx context.Context, j *judge, line string) error {
	query := object{"TableName": pairsTable}
	if index, expression, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(index, "by") {
		query["IndexName"], line = index, expression
	}
	f.with(query, "KeyConditionExpression", line)
	if err := j.same(ctx, "Query", request(query)); err != nil {
		return err
	}
	for _, forward := range []bool{true, false} {
		query["ScanIndexForward"], query["Limit"] = forward, 2
		delete(query, "ExclusiveStartKey")
		for range 20 {
			if err := j.same(ctx, "Query", request(query)); err != nil {
				return err
			}
			a, err := j.ours.ask(ctx, "Query", request(query))
			if err != nil {
				return err
			}
			var page struct{ LastEvaluatedKey json.RawMessage }
			if json.Unmarshal(a.body, &page); page.LastEvaluatedKey == nil {
				break
			}
			query["ExclusiveStartKey"] = page.LastEvaluatedKey
		}
	}
	return nil
}

// expected: a line is a map of conditions, maybe with OR before it.
func (f *fixture) expected(ctx context.Context, j *judge, line string) error {
	if err := f.reset(ctx, j); err != nil {
		return err
	}
	put := object{"TableName": itemsTable, "Item": object{"h": f.Item["h"], "s": object{"S": "new"}}, "ReturnValues": "ALL_OLD"}
	scan := object{"TableName": itemsTable, "Select": "COUNT"}
	for _, operator := range []string{"OR", "AND"} {
		if rest, ok := strings.CutPrefix(line, operator+" "); ok {
			line, put["ConditionalOperator"], scan["ConditionalOperator"] = rest, operator, operator
		}
	}
	if !json.Valid([]byte(line)) {
		return fmt.Errorf("no JSON")
	}
	put["Expected"], scan["ScanFilter"] = json.RawMessage(line), json.RawMessage(line)
	if err := j.same(ctx, "PutItem", request(put)); err != nil {
		return err
	}
	if strings.Contains(line, `"Exists"`) || strings.Contains(line, `"Value"`) {
		return nil // filters have none of these
	}
	if err := f.reset(ctx, j); err != nil {
		return err
	}
	return j.same(ctx, "Scan", request(scan))
}

func (f *fixture) attributeUpdates(ctx context.Context, j *judge, line string) error {
	if !json.Valid([]byte(line)) {
		return fmt.Errorf("no JSON")
	}
	if err := f.reset(ctx, j); err != nil {
		return err
	}
	for _, key := range []object{f.key(), noItem} {
		update := object{"TableName": itemsTable, "Key": key, "AttributeUpdates": json.RawMessage(line), "ReturnValues": "ALL_NEW"}
		if err := j.same(ctx, "UpdateItem", request(update)); err != nil {
			return err
		}
		if !j.alike {
			continue
		}
		if err := j.same(ctx, "GetItem", request(object{"TableName": itemsTable, "Key": key})); err != nil {
			return err
		}
	}
	return j.all(ctx, "DeleteItem", request(object{"TableName": itemsTable, "Key": noItem}))
}

func (f *fixture) value(ctx context.Context, j *judge, line string) error {
	key := object{"h": object{"S": "value"}}
	if err := j.all(ctx, "DeleteItem", request(object{"TableName": itemsTable, "Key": key})); err != nil {
		return err
	}
	if err := j.same(ctx, "PutItem", `{"TableName": "`+itemsTable+`", "Item": {"h": {"S": "value"}, "x": `+expand(line)+`}}`); err != nil || !j.alike {
		return err
	}
	return j.same(ctx, "GetItem", request(object{"TableName": itemsTable, "Key": key}))
}

// wait waits until a table is ACTIVE on all servers, with all of its indexes, or not there; or until it is gone.
func (j *judge) wait(ctx context.Context, table, status string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, s := range j.servers() {
		for {
			a, err := s.ask(ctx, "DescribeTable", request(object{"TableName": table}))
			if err != nil {
				return fmt.Errorf("%s: waiting for %s: %w", s.name, table, err)
			}
			body := string(a.body)
			if status == "gone" && a.status == 400 || status == "ACTIVE" && !strings.Contains(body, "ING\"") {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// A script is requests in blocks, parted by empty lines. "wait TABLE" waits until it
// is ACTIVE, "gone TABLE" until it is not there, "drop TABLE" has it not there. "ask ORACLE" has only that one asked
// what follows, "quietly OPERATION" does what some have done and others not.
type script string

func (s script) run(ctx context.Context, j *judge) error {
	for block := range strings.SplitSeq(strings.TrimSpace(string(s)), "\n\n") {
		var lines []string
		for line := range strings.SplitSeq(block, "\n") {
			if !strings.HasPrefix(line, "//") {
				lines = append(lines, line)
			}
		}
		if len(lines) == 0 {
			continue
		}
		operation, input, _ := strings.Cut(strings.Join(lines, "\n"), " ")
		var err error
		switch operation {
		case "ask":
			j.asking = input
			defer func() { j.asking = "" }()
		case "quietly":
			operation, input, _ = strings.Cut(input, " ")
			_, err = j.each(ctx, operation, input)
		case "wait":
			err = j.wait(ctx, input, "ACTIVE")
		case "gone":
			err = j.wait(ctx, input, "gone")
		case "drop":
			for range 2 { // the first may have come while it was being made
				if _, err = j.each(ctx, "DeleteTable", request(object{"TableName": input})); err == nil {
					err = j.wait(ctx, input, "ACTIVE")
				}
			}
		default:
			err = j.same(ctx, operation, expand(input))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var repeated = regexp.MustCompile(`<<(\d+)\|([^<>]*)>>`)

var long = regexp.MustCompile(`%(\d+)%`)

// expand writes out <<1000|x>>, so many times, {i} counting, objects with commas
// between; and %1000%, so many letters.
func expand(s string) string {
	s = repeated.ReplaceAllStringFunc(s, func(match string) string {
		m := repeated.FindStringSubmatch(match)
		n, _ := strconv.Atoi(m[1]) // it is digits
		between := ""
		if strings.HasPrefix(m[2], "{") && strings.HasSuffix(m[2], "}") {
			between = ", "
		}
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteString(between)
			}
			b.WriteString(strings.ReplaceAll(m[2], "{i}", strconv.Itoa(i)))
		}
		return b.String()
	})
	return long.ReplaceAllStringFunc(s, func(match string) string {
		n, _ := strconv.Atoi(strings.Trim(match, "%"))
		return strings.Repeat("x", n)
	})
}
