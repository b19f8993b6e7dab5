package dynamodb_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An entry is an item of the table of TestQueriesAgainstAModel: h and r are its
// key, g and l those of the indexes, where it has them.
type entry struct {
	h, g, l string
	r       float64
}

func (e entry) json() string {
	s := fmt.Sprintf(`{"h": {"S": %s}, "r": {"N": "%v"}`, quoted(e.h), e.r)
	if e.g != "" {
		s += fmt.Sprintf(`, "g": {"S": %s}`, quoted(e.g))
	}
	if e.l != "" {
		s += fmt.Sprintf(`, "l": {"S": %s}`, quoted(e.l))
	}
	return s + "}"
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// A path is one way to query: by a hash attribute, in the order of a sort attribute.
type path struct {
	index, hash, sort string
}

func (p path) of(e entry) (hash, sort string, number float64, ok bool) {
	switch p.index {
	case "byG":
		return e.g, e.h, 0, e.g != ""
	case "byL":
		return e.h, e.l, 0, e.l != ""
	}
	return e.h, "", e.r, true
}

// less orders entries by the sort attribute of p.
func (p path) compare(a, b entry) int {
	_, sa, na, _ := p.of(a)
	_, sb, nb, _ := p.of(b)
	switch {
	case na < nb:
		return -1
	case na > nb:
		return 1
	}
	return strings.Compare(sa, sb)
}

// TestQueriesAgainstAModel makes random changes, and queries of the table and of
// its indexes, page by page and in both directions, that must find what a look at
// all items finds, in order.
func TestQueriesAgainstAModel(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	ts := newTables(t, nil)
	ts.call("CreateTable", `{"TableName": "model", "BillingMode": "PAY_PER_REQUEST",
		"AttributeDefinitions": [{"AttributeName": "h", "AttributeType": "S"}, {"AttributeName": "r", "AttributeType": "N"}, {"AttributeName": "g", "AttributeType": "S"}, {"AttributeName": "l", "AttributeType": "S"}],
		"KeySchema": [{"AttributeName": "h", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}],
		"LocalSecondaryIndexes": [{"IndexName": "byL", "Projection": {"ProjectionType": "ALL"}, "KeySchema": [{"AttributeName": "h", "KeyType": "HASH"}, {"AttributeName": "l", "KeyType": "RANGE"}]}],
		"GlobalSecondaryIndexes": [{"IndexName": "byG", "Projection": {"ProjectionType": "ALL"}, "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}, {"AttributeName": "h", "KeyType": "RANGE"}]}]}`)
	words := []string{"a", "aa", "ab", "a\u0000", "b", "é"}
	word := func() string { return words[r.IntN(len(words))] }
	maybe := func() string {
		if r.IntN(4) == 0 {
			return ""
		}
		return word()
	}
	number := func() float64 { return []float64{0, 1, -1, 2.5, -2.5, 10, 9, -10, 1000, 0.001}[r.IntN(10)] }
	model := map[string]entry{}
	paths := []path{{"", "h", "r"}, {"byL", "h", "l"}, {"byG", "g", "h"}}
	for round := range 400 {
		for range 5 {
			e := entry{h: word(), r: number(), g: maybe(), l: maybe()}
			key := fmt.Sprint(e.h, "|", e.r)
			switch r.IntN(4) {
			case 0:
				ts.call("DeleteItem", fmt.Sprintf(`{"TableName": "model", "Key": {"h": {"S": %s}, "r": {"N": "%v"}}}`, quoted(e.h), e.r))
				delete(model, key)
			case 1: // moves or drops its entry in an index
				have, ok := model[key]
				if !ok {
					continue
				}
				update := `"UpdateExpression": "REMOVE g"`
				if have.g = e.g; e.g != "" {
					update = fmt.Sprintf(`"UpdateExpression": "SET g = :g", "ExpressionAttributeValues": {":g": {"S": %s}}`, quoted(e.g))
				}
				ts.call("UpdateItem", fmt.Sprintf(`{"TableName": "model", "Key": {"h": {"S": %s}, "r": {"N": "%v"}}, %s}`, quoted(e.h), e.r, update))
				model[key] = have
			default:
				ts.call("PutItem", `{"TableName": "model", "Item": `+e.json()+`}`)
				model[key] = e
			}
		}
		if round == 200 {
			ts.restart()
		}
		p := paths[r.IntN(len(paths))]
		ts.compare(p, model, word(), randomCondition(r, p, word, number), r.IntN(2) == 0, 1+r.IntN(5))
	}
	if len(model) < 20 {
		t.Errorf("the model has only %d items", len(model))
	}
}

// A condition is one on the sort attribute, as text with its values and as a function.
type condition struct {
	text, values string
	holds        func(s string, n float64) bool
}

func randomCondition(r *rand.Rand, p path, word func() string, number func() float64) condition {
	lowS, highS := word(), word()
	if highS < lowS {
		lowS, highS = highS, lowS
	}
	lowN, highN := number(), number()
	if highN < lowN {
		lowN, highN = highN, lowN
	}
	value := func(name, s string, n float64) string {
		if p.sort == "r" {
			return fmt.Sprintf(`, %q: {"N": "%v"}`, name, n)
		}
		return fmt.Sprintf(`, %q: {"S": %s}`, name, quoted(s))
	}
	low, high := value(":a", lowS, lowN), value(":b", highS, highN)
	order := func(s string, n float64, otherS string, otherN float64) int {
		if p.sort == "r" {
			switch {
			case n < otherN:
				return -1
			case n > otherN:
				return 1
			}
			return 0
		}
		return strings.Compare(s, otherS)
	}
	toLow := func(s string, n float64) int { return order(s, n, lowS, lowN) }
	toHigh := func(s string, n float64) int { return order(s, n, highS, highN) }
	kinds := 8
	if p.sort == "r" {
		kinds = 7 // a number begins with nothing
	}
	switch r.IntN(kinds) {
	case 0:
		return condition{"", "", func(string, float64) bool { return true }}
	case 1:
		return condition{" = :a", low, func(s string, n float64) bool { return toLow(s, n) == 0 }}
	case 2:
		return condition{" < :a", low, func(s string, n float64) bool { return toLow(s, n) < 0 }}
	case 3:
		return condition{" <= :a", low, func(s string, n float64) bool { return toLow(s, n) <= 0 }}
	case 4:
		return condition{" > :a", low, func(s string, n float64) bool { return toLow(s, n) > 0 }}
	case 5:
		return condition{" >= :a", low, func(s string, n float64) bool { return toLow(s, n) >= 0 }}
	case 6:
		return condition{" BETWEEN :a AND :b", low + high, func(s string, n float64) bool { return toLow(s, n) >= 0 && toHigh(s, n) <= 0 }}
	}
	return condition{"begins_with", low, func(s string, _ float64) bool { return strings.HasPrefix(s, lowS) }}
}

// compare queries page by page, and compares with the model.
func (ts *tables) compare(p path, model map[string]entry, hash string, c condition, backward bool, limit int) {
	ts.t.Helper()
	var want []entry
	for _, e := range model {
		if h, s, n, ok := p.of(e); ok && h == hash && c.holds(s, n) {
			want = append(want, e)
		}
	}
	text := p.hash + " = :h"
	switch {
	case c.text == "begins_with":
		text += " AND begins_with(" + p.sort + ", :a)"
	case c.text != "":
		text += " AND " + p.sort + c.text
	}
	query := fmt.Sprintf(`{"TableName": "model", "KeyConditionExpression": %q, "ExpressionAttributeValues": {":h": {"S": %s}%s}, "ScanIndexForward": %v, "Limit": %d`,
		text, quoted(hash), c.values, !backward, limit)
	if p.index != "" {
		query += fmt.Sprintf(`, "IndexName": %q`, p.index)
	}
	var got []entry
	for start := ""; ; {
		var page struct {
			Items            []map[string]struct{ S, N string }
			LastEvaluatedKey json.RawMessage
		}
		answer := ts.call("Query", query+start+"}")
		if err := json.Unmarshal([]byte(answer), &page); err != nil {
			ts.t.Fatal(err)
		}
		if len(page.Items) > limit {
			ts.t.Fatalf("%d items on a page of %d: %s", len(page.Items), limit, query)
		}
		for _, it := range page.Items {
			n, _ := strconv.ParseFloat(it["r"].N, 64)
			got = append(got, entry{h: it["h"].S, r: n, g: it["g"].S, l: it["l"].S})
		}
		if page.LastEvaluatedKey == nil {
			break
		}
		if len(got) > len(model) {
			ts.t.Fatalf("the pages do not end: %s", query)
		}
		start = `, "ExclusiveStartKey": ` + string(page.LastEvaluatedKey)
	}
	inOrder := slices.IsSortedFunc(got, func(a, b entry) int {
		if backward {
			return p.compare(b, a)
		}
		return p.compare(a, b)
	})
	if !inOrder {
		ts.t.Errorf("%s\nfound, not in order, %v", query, got)
	}
	whole := func(a, b entry) int { return strings.Compare(a.json(), b.json()) }
	slices.SortFunc(got, whole)
	slices.SortFunc(want, whole)
	if !slices.Equal(got, want) {
		ts.t.Errorf("%s\nfound %v, want %v", query, got, want)
	}
}
