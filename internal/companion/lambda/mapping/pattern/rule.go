package pattern

import (
	"slices"
	"strconv"
	"strings"
)

// rule is one element of a leaf.
type rule struct {
	kind    ruleKind
	text    string   // of a value, prefix or suffix; a value's is as in kind's comment
	list    []string // of anything-but
	numbers bool     // list holds numbers
	low     bound
	high    bound
}

type ruleKind uint8

const (
	equalsString   ruleKind = iota // text
	equalsNumber                   // text, as it is written
	equalsTrue                     //
	equalsFalse                    //
	equalsNull                     //
	hasPrefix                      // text
	hasSuffix                      // text
	equalsFold                     // text
	anythingBut                    // list
	anythingButPre                 // list of prefixes
	anythingButSuf                 // list of suffixes
	inRange                        // low, high
	exists                         //
	doesNotExist                   // see matcher.field
)

// bound is one end of a numeric range.
type bound struct {
	set       bool
	inclusive bool
	at        float64
}

// matchRules says whether one of the rules holds for the value, or for an element of
// it. Whether a value may be absent is not asked here.
func matchRules(rules []rule, v value) bool {
	switch v.kind {
	case isAbsent, isObject:
		return false
	case isArray:
		for element := range elements(v.raw) {
			if matchRules(rules, element) {
				return true
			}
		}
		return false
	}
	for i := range rules {
		if rules[i].match(v) {
			return true
		}
	}
	return false
}

// match says whether the rule holds for a string, a number, true, false or null.
func (r *rule) match(v value) bool {
	switch r.kind {
	case equalsString:
		return v.kind == isString && v.text == r.text
	case equalsNumber:
		return v.kind == isNumber && v.text == r.text
	case equalsTrue:
		return v.kind == isTrue
	case equalsFalse:
		return v.kind == isFalse
	case equalsNull:
		return v.kind == isNull
	case hasPrefix:
		return v.kind == isString && strings.HasPrefix(v.text, r.text)
	case hasSuffix:
		return v.kind == isString && strings.HasSuffix(v.text, r.text)
	case equalsFold:
		return v.kind == isString && strings.EqualFold(v.text, r.text)
	case anythingBut:
		listed := isString
		if r.numbers {
			listed = isNumber
		}
		return v.kind != listed || !slices.Contains(r.list, v.text)
	case anythingButPre:
		return v.kind != isString || !r.listed(v.text, strings.HasPrefix)
	case anythingButSuf:
		return v.kind != isString || !r.listed(v.text, strings.HasSuffix)
	case inRange:
		return v.kind == isNumber && r.inRange(v.text)
	case exists:
		return true
	}
	return false
}

func (r *rule) listed(text string, like func(text, listed string) bool) bool {
	for _, l := range r.list {
		if like(text, l) {
			return true
		}
	}
	return false
}

func (r *rule) inRange(number string) bool {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return false // beyond a float's range
	}
	if r.low.set && (n < r.low.at || n == r.low.at && !r.low.inclusive) {
		return false
	}
	return !r.high.set || n < r.high.at || n == r.high.at && r.high.inclusive
}
