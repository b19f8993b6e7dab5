// Package pattern decides which records of a stream a filter lets through:
// the FilterCriteria of an event source mapping, which are EventBridge patterns.
//
// A pattern is a JSON object with the shape of what it matches. Its leaves are
// arrays of rules, of which one must hold; all of its fields must. A Set has
// several patterns, of which one must match:
//
//	{"partitionKey": ["a", {"prefix": "b-"}],              metadata
//	 "data": {"type": ["buy"],                             the record's data, JSON
//	          "$or": [{"n": [{"numeric": [">", 0]}]},      either of these objects
//	                  {"user": {"id": [{"exists": false}]}}]}}
//
// The rules are those that Lambda documents: a string, a number (by its text:
// 300 and 3.0e2 differ), true, false, null; prefix, suffix, equals-ignore-case,
// anything-but (a value, a list, a prefix, a suffix), numeric, exists. wildcard
// and cidr, which EventBridge has on a bus, are refused, as Lambda does.
//
// What is matched is the kinesis part of the event's record, with the members beside
// it: partitionKey, sequenceNumber, approximateArrivalTimestamp, kinesisSchemaVersion,
// data; eventID, eventName, eventSource, eventSourceARN, eventVersion, awsRegion,
// invokeIdentityArn. A pattern with data drops a record whose data are not JSON.
//
// Where an event has an array, one element must match, the same one for all
// fields of an object in the pattern. exists looks at leaves only: an object
// or an empty array does not exist; and what must not exist does so in no element
// of an array. Of members of the same name the last counts.
//
// Patterns are compiled once. Matching walks the JSON text, reads only the
// members that a pattern names, and allocates nothing unless a string has escapes.
package pattern

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Constants are the metadata that all records of a mapping share.
type Constants struct {
	EventSourceARN    string
	Region            string
	InvokeIdentityARN string
}

// Event is a record as a pattern sees it. Arrival is approximateArrivalTimestamp as
// the event's JSON has it.
type Event struct {
	Constants      *Constants
	ShardID        string
	PartitionKey   string
	SequenceNumber string
	Arrival        string
	Data           []byte
}

// Set is a compiled FilterCriteria. It is used by any number of goroutines at once. A
// nil Set, and one without patterns, matches everything.
type Set struct {
	patterns []*object
}

// Match says whether one of the patterns matches.
func (s *Set) Match(e *Event) bool {
	if s == nil || len(s.patterns) == 0 {
		return true
	}
	m := matcher{event: e}
	for _, p := range s.patterns {
		if m.root(p) {
			return true
		}
	}
	return false
}

// Empty says whether the set matches everything.
func (s *Set) Empty() bool { return s == nil || len(s.patterns) == 0 }

// object is a pattern or a part of one: all fields and one object of each or must match.
type object struct {
	fields []field
	ors    [][]*object
}

// field has an object or rules. path is where it stands, of a field that may be absent.
type field struct {
	name   string
	object *object
	rules  []rule
	path   []string
}

// names says whether a field of that name stands at this level, in an or too.
func (o *object) names(name string) bool {
	for i := range o.fields {
		if o.fields[i].name == name {
			return true
		}
	}
	for _, or := range o.ors {
		for _, alternative := range or {
			if alternative.names(name) {
				return true
			}
		}
	}
	return false
}

// matcher matches the patterns of a set with one event.
type matcher struct {
	event   *Event
	checked bool // data
	isJSON  bool
}

// root matches a whole pattern. Data that are not JSON fail it if it names data
// anywhere, even in an alternative that is not needed: Lambda looks at
// the formats before it matches.
func (m *matcher) root(o *object) bool {
	if o.names("data") && !m.dataIsJSON() {
		return false
	}
	return m.metadata(o)
}

// metadata matches the top level of a pattern, or an alternative of an or there.
func (m *matcher) metadata(o *object) bool {
	for i := range o.fields {
		if f := &o.fields[i]; !m.field(f, m.member(f.name)) {
			return false
		}
	}
	return o.oneOfEach(m.metadata)
}

// oneOfEach says whether each or has an alternative that match takes.
func (o *object) oneOfEach(match func(*object) bool) bool {
	for _, or := range o.ors {
		found := false
		for _, alternative := range or {
			if match(alternative) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// member is a member of the record; absent if there is none of that name.
func (m *matcher) member(name string) value {
	e := m.event
	switch name {
	case "data":
		return parse(bytes.TrimSpace(e.Data))
	case "partitionKey":
		return text(e.PartitionKey)
	case "sequenceNumber":
		return text(e.SequenceNumber)
	case "kinesisSchemaVersion":
		return text("1.0")
	case "approximateArrivalTimestamp":
		return value{kind: isNumber, text: e.Arrival}
	case "eventID":
		return text(e.ShardID + ":" + e.SequenceNumber)
	case "eventName":
		return text("aws:kinesis:record")
	case "eventSource":
		return text("aws:kinesis")
	case "eventVersion":
		return text("1.0")
	case "eventSourceARN":
		return text(e.Constants.EventSourceARN)
	case "awsRegion":
		return text(e.Constants.Region)
	case "invokeIdentityArn":
		return text(e.Constants.InvokeIdentityARN)
	}
	return value{}
}

func (m *matcher) dataIsJSON() bool {
	if !m.checked {
		m.checked, m.isJSON = true, utf8.Valid(m.event.Data) && json.Valid(m.event.Data)
	}
	return m.isJSON
}

// field matches a field of the pattern with its value in the event.
func (m *matcher) field(f *field, v value) bool {
	if f.object != nil {
		return m.object(f.object, v)
	}
	return matchRules(f.rules, v) || f.path != nil && !m.exists(f.path)
}

// object matches an object of the pattern with a value of the event.
func (m *matcher) object(o *object, v value) bool {
	switch v.kind {
	case isObject:
		return m.members(o, v.raw)
	case isArray:
		for element := range elements(v.raw) {
			if m.object(o, element) {
				return true
			}
		}
	}
	return m.members(o, nil) // not there: what must not exist does not
}

// fieldsMax is how many fields of an object are looked up in one pass over it.
const fieldsMax = 16

// members matches the members of the JSON object raw, which may be nil for none.
func (m *matcher) members(o *object, raw []byte) bool {
	for from := 0; from < len(o.fields); from += fieldsMax {
		fields := o.fields[from:min(from+fieldsMax, len(o.fields))]
		var found [fieldsMax][]byte
		if raw != nil {
			lookUp(raw, fields, &found)
		}
		for i := range fields {
			var v value
			if found[i] != nil {
				v = parse(found[i])
			}
			if !m.field(&fields[i], v) {
				return false
			}
		}
	}
	return o.oneOfEach(func(alternative *object) bool { return m.members(alternative, raw) })
}

// exists says whether the event has a leaf at path, in any element of the arrays on the way.
func (m *matcher) exists(path []string) bool {
	return leafAt(m.member(path[0]), path[1:])
}

func leafAt(v value, path []string) bool {
	switch v.kind {
	case isAbsent:
		return false
	case isArray:
		for element := range elements(v.raw) {
			if leafAt(element, path) {
				return true
			}
		}
		return false
	case isObject:
		if len(path) == 0 {
			return false
		}
		var found [fieldsMax][]byte
		lookUp(v.raw, []field{{name: path[0]}}, &found)
		return found[0] != nil && leafAt(parse(found[0]), path[1:])
	}
	return len(path) == 0
}
