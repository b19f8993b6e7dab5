package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A generator makes random expressions about the fixture: most are right, some
// compare what cannot be compared, and of some a piece is absent or wrong.
type generator struct {
	*rand.Rand
	names, values []string // placeholders
	f             *fixture
}

func newGenerator(seed uint64, f *fixture) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), f: f}
	for name := range f.Names {
		g.names = append(g.names, name)
	}
	for value := range f.Values {
		g.values = append(g.values, value)
	}
	slices.Sort(g.names)
	slices.Sort(g.values)
	return g
}

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

func (g *generator) path() string {
	p := pick(g, "s", "n", "b", "t", "u", "ss", "ns", "bs", "l", "m", "e", "neg", "absent", pick(g, g.names...))
	if p == "l" || p == "m" || g.IntN(12) == 0 {
		for range g.IntN(4) {
			p += pick(g, ".k", ".n", ".l", ".m", "[0]", "[1]", "[2]", "[3]", "[9]", "."+pick(g, g.names...))
		}
	}
	return p
}

func (g *generator) value() string {
	kinds := []string{`{"S": "%d"}`, `{"N": "%d.50"}`, `{"N": "-%de12"}`, `{"L": [{"N": "%d"}, {"S": ""}]}`, `{"M": {"k": {"N": "%d"}}}`, `{"SS": ["%d", "b"]}`, `{"NS": ["%d", "7e1"]}`,
		`{"N": "1e%d"}`, `{"N": "0.000%d"}`, `{"N": "-.%d"}`, `{"N": "12345678901234567890123456789012345%d"}`}
	return fmt.Sprintf(pick(g, kinds...), g.IntN(200))
}

func (g *generator) operand() string {
	switch g.IntN(8) {
	case 0, 1, 2:
		return g.path()
	case 3:
		return "size(" + g.path() + ")"
	}
	return pick(g, g.values...)
}

func (g *generator) comparison() string {
	a := pick(g, g.path(), g.path(), g.operand())
	switch g.IntN(9) {
	case 0:
		return a + " BETWEEN " + g.operand() + " AND " + g.operand()
	case 1:
		return a + " IN (" + g.operand() + ", " + g.operand() + ")"
	case 2:
		return pick(g, "attribute_exists", "attribute_not_exists") + "(" + g.path() + ")"
	case 3:
		return pick(g, "begins_with", "contains") + "(" + g.path() + ", " + g.operand() + ")"
	case 4:
		return "attribute_type(" + g.path() + ", " + pick(g, ":tS", ":tN", ":tM", ":tX", ":n1") + ")"
	}
	return a + pick(g, " = ", " <> ", " < ", " <= ", " > ", " >= ") + g.operand()
}

func (g *generator) joined(depth int) string {
	if depth == 0 || g.IntN(3) == 0 {
		return pick(g, "", "", "", "NOT ") + g.comparison()
	}
	a, b := g.joined(depth-1), g.joined(depth-1)
	if g.IntN(3) == 0 {
		a = "(" + a + ")"
	}
	return a + pick(g, " AND ", " OR ") + b
}

func (g *generator) condition() string { return g.broken(g.joined(g.IntN(4))) }

func (g *generator) update() string {
	var sections []string
	list := func(n int, one func() string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = one()
		}
		return strings.Join(all, ", ")
	}
	set := func() string {
		v := func() string {
			switch g.IntN(6) {
			case 0:
				return "if_not_exists(" + g.path() + ", " + g.updateOperand() + ")"
			case 1:
				return "list_append(" + g.updateOperand() + ", " + pick(g, ":l", "l", g.updateOperand()) + ")"
			}
			return g.updateOperand()
		}
		switch g.IntN(4) {
		case 0:
			return g.path() + " = " + v() + pick(g, " + ", " - ") + v()
		}
		return g.path() + " = " + v()
	}
	if g.IntN(4) > 0 {
		sections = append(sections, "SET "+list(1+g.IntN(3), set))
	}
	if g.IntN(3) == 0 {
		sections = append(sections, "REMOVE "+list(1+g.IntN(3), g.path))
	}
	if g.IntN(4) == 0 {
		sections = append(sections, "ADD "+g.path()+" "+pick(g, ":n1", ":ss1", ":ns1", pick(g, g.values...)))
	}
	if g.IntN(5) == 0 || sections == nil {
		sections = append(sections, "DELETE "+pick(g, "ss", "ns", "bs", g.path())+" "+pick(g, ":ss1", ":ns1", ":bs1", pick(g, g.values...)))
	}
	return g.broken(strings.Join(sections, " "))
}

func (g *generator) updateOperand() string { return pick(g, g.path(), pick(g, g.values...)) }

func (g *generator) projection() string {
	n := 1 + g.IntN(4)
	all := make([]string, n)
	for i := range all {
		all[i] = g.path()
	}
	return g.broken(strings.Join(all, ", "))
}

// broken leaves most expressions as they are, and does something to a word of the others.
func (g *generator) broken(s string) string {
	if g.IntN(8) > 0 {
		return s
	}
	words := strings.Fields(s)
	i := g.IntN(len(words))
	switch g.IntN(4) {
	case 0:
		words = slices.Delete(words, i, i+1)
	case 1:
		words = slices.Insert(words, i, words[i])
	case 2:
		words = slices.Insert(words, i, pick(g, "(", ")", ",", "AND", "=", "size", "!", ":nosuch", "#nosuch", "SET", "."))
	case 3:
		words[i] = pick(g, "year", "name", "9", "a.b", "status", "foo(", "((", "é")
	}
	return strings.Join(words, " ")
}

func (g *generator) expected() string {
	n := 1 + g.IntN(2)
	all := make([]string, n)
	for i, name := range g.Perm(8)[:n] {
		name := []string{"s", "n", "ss", "ns", "l", "m", "absent", "b"}[name]
		operator := pick(g, "EQ", "NE", "LE", "LT", "GE", "GT", "NOT_NULL", "NULL", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH", "IN", "BETWEEN")
		values := 1
		switch {
		case operator == "BETWEEN":
			values = 2
		case operator == "IN":
			values = 1 + g.IntN(3)
		case strings.HasSuffix(operator, "NULL"):
			values = 0
		}
		if g.IntN(10) == 0 {
			values = g.IntN(3)
		}
		list := make([]string, values)
		for i := range list {
			list[i] = text(g.f.Values[pick(g, g.values...)])
		}
		all[i] = fmt.Sprintf(`"%s": {"ComparisonOperator": "%s", "AttributeValueList": [%s]}`, name, operator, strings.Join(list, ", "))
	}
	return pick(g, "", "OR ", "AND ") + "{" + strings.Join(all, ", ") + "}"
}

func (g *generator) attributeUpdates() string {
	n := 1 + g.IntN(3)
	all := make([]string, n)
	for i, name := range g.Perm(8)[:n] {
		name := []string{"s", "n", "ss", "ns", "l", "m", "absent", "b"}[name]
		value := `, "Value": ` + text(g.f.Values[pick(g, g.values...)])
		action := pick(g, "PUT", "ADD", "DELETE")
		if action == "DELETE" && g.IntN(2) == 0 {
			value = ""
		}
		all[i] = fmt.Sprintf(`"%s": {"Action": "%s"%s}`, name, action, value)
	}
	return "{" + strings.Join(all, ", ") + "}"
}
