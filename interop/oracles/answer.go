package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// compared is an answer as text, in a form that two servers can have in common: what
// is another each time or another on each server by right is left out, and what has
// no order is sorted. Without words it has only the kind of an error.
func (r reply) compared(operation string, words bool) string {
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return fmt.Sprintf("%d %q", r.status, r.body)
	}
	if r.status == 200 {
		settle(v, operation)
		return "200 " + text(v)
	}
	kind, _ := v["__type"].(string)
	kind = kind[strings.LastIndex(kind, "#")+1:]
	message := cmp.Or(asString(v["message"]), asString(v["Message"]))
	delete(v, "__type")
	delete(v, "message")
	delete(v, "Message")
	settle(v, operation)
	out := fmt.Sprintf("%d %s", r.status, kind)
	if words {
		out += ": " + message
	} else if reasons, ok := v["CancellationReasons"].([]any); ok {
		for _, reason := range reasons {
			delete(reason.(map[string]any), "Message")
		}
	}
	if len(v) > 0 {
		out += " " + text(v)
	}
	return out
}

func asString(v any) string {
	s, _ := v.(string)
	return s
}

func text(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(v) // it was decoded from JSON, and keys are sorted
	return strings.TrimSpace(b.String())
}

// unlike is what is another on each server: ids, times, accounts, sizes that are
// only updated from time to time, and what came to DynamoDB after the oracles. What
// state a change begins with is left out, too: DynamoDB Local is done at once.
var unlike = []string{"TableId", "CreationDateTime", "TableArn", "IndexArn", "LastUpdateToPayPerRequestDateTime", "LastIncreaseDateTime",
	"LastDecreaseDateTime", "TableSizeBytes", "IndexSizeBytes", "ItemCount", "DeletionProtectionEnabled", "WarmThroughput", "NumberOfDecreasesToday", "TableThroughputModeSummary"}

// settle changes an answer to what is compared.
func settle(v any, operation string) {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			switch {
			case strings.HasSuffix(operation, "Table") && (slices.Contains(unlike, key) || operation != "DescribeTable" && strings.HasSuffix(key, "Status")):
				delete(v, key)
				continue
			case key == "CapacityUnits":
				v[key] = strings.TrimSuffix(text(e), ".0")
				continue
			case key == "N":
				v[key] = trimZeros(e)
			case key == "NS":
				if list, ok := e.([]any); ok {
					for i := range list {
						list[i] = trimZeros(list[i])
					}
				}
				sortList(e)
			case key == "SS", key == "BS", key == "AttributeDefinitions", key == "GlobalSecondaryIndexes", key == "LocalSecondaryIndexes", key == "Tags",
				key == "Items" && operation == "Scan", operation == "BatchGetItem":
				sortList(e)
			}
			settle(v[key], operation)
		}
	case []any:
		for _, e := range v {
			settle(e, operation)
		}
	}
}

// trimZeros is a number without zeros at the end of its fraction: DynamoDB Local leaves them behind a sum.
func trimZeros(v any) any {
	s, ok := v.(string)
	if !ok || !strings.Contains(s, ".") {
		return v
	}
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// sortList sorts a list by its elements' text; for items, after their own sets are sorted.
func sortList(v any) {
	list, ok := v.([]any)
	if !ok {
		return
	}
	for _, e := range list {
		settle(e, "")
	}
	slices.SortFunc(list, func(a, b any) int { return cmp.Compare(text(a), text(b)) })
}
