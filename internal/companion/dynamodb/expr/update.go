package expr

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// An Update changes an item.
type Update struct {
	actions []action
	// legacy updates are AttributeUpdates, which have their own words for what
	// does not fit.
	legacy bool
}

type verb uint8

const (
	verbSet verb = iota
	verbRemove
	verbAdd
	verbDelete // elements of a set
)

var verbNames = [...]string{"SET", "REMOVE", "ADD", "DELETE"}

type action struct {
	verb verb
	path Path
	arg  *node // of all but REMOVE
}

// Update parses an UpdateExpression.
func (p *Params) Update(text string) (*Update, error) {
	u, err := p.parseUpdate(text)
	return u, inExpression("UpdateExpression", err)
}

func (p *Params) parseUpdate(text string) (*Update, error) {
	ps, err := newParser(text)
	if err != nil {
		return nil, err
	}
	u := new(Update)
	var sections [len(verbNames)]int
	for ps.peek().kind != eof {
		v := slices.IndexFunc(verbNames[:], func(name string) bool { return ps.keyword(name) })
		if v < 0 {
			return nil, ps.syntax()
		}
		sections[v]++
		for {
			a, err := ps.action(verb(v))
			if err != nil {
				return nil, err
			}
			u.actions = append(u.actions, a)
			if !ps.accept(",") {
				break
			}
		}
	}
	return u, p.checkUpdate(u, sections[:])
}

// action reads one action of a section.
func (p *parser) action(v verb) (a action, err error) {
	a.verb = v
	if a.path, err = p.path(); err != nil || v == verbRemove {
		return a, err
	}
	if v == verbSet {
		if err := p.expect("="); err != nil {
			return a, err
		}
		a.arg, err = p.sum()
		return a, err
	}
	if p.peek().kind != value {
		return a, p.syntax()
	}
	a.arg, err = p.operand()
	return a, err
}

// sum reads an operand, or two with + or - between them.
func (p *parser) sum() (*node, error) {
	left, err := p.primary(p.sum)
	if err != nil {
		return nil, err
	}
	t := p.peek()
	var o op
	switch {
	case p.accept("+"):
		o = opPlus
	case p.accept("-"):
		o = opMinus
	default:
		return left, nil
	}
	if left.op == opPlus || left.op == opMinus {
		p.at--
		return nil, p.syntax()
	}
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	return &node{op: o, text: t.text, args: []*node{left, right}}, p.operator()
}

func isUpdateFunction(name string) bool { return name == "if_not_exists" || name == "list_append" }

// checkUpdate is to updates what checkCondition is to conditions.
func (p *Params) checkUpdate(u *Update, sections []int) error {
	each := func(visit func(*node) error) func() error {
		return func() error {
			for _, a := range u.actions {
				if a.arg != nil {
					if err := a.arg.walk(visit); err != nil {
						return err
					}
				}
			}
			return nil
		}
	}
	return firstError(
		each(checkParens),
		func() error {
			for _, a := range u.actions {
				if word, is := a.path.reservedIn(); is {
					return errReserved(word)
				}
			}
			return nil
		},
		each(checkReserved),
		each(func(n *node) error {
			if n.op == opCall && !isUpdateFunction(n.text) {
				if _, other := operandsOf[n.text]; other {
					return fmt.Errorf("The function is not allowed in an update expression; function: %s", n.text)
				}
				return fmt.Errorf("Invalid function name; function: %s", n.text)
			}
			return nil
		}),
		func() error {
			for _, a := range u.actions {
				if a.arg != nil {
					if err := a.arg.checkListAppend(true); err != nil {
						return err
					}
				}
			}
			return nil
		},
		func() error {
			for v, n := range sections {
				if n > 1 {
					return fmt.Errorf("The \"%s\" section can only be used once in an update expression;", verbNames[v])
				}
			}
			return nil
		},
		func() (err error) {
			for i := range u.actions {
				if u.actions[i].path, err = u.actions[i].path.resolve(p); err != nil {
					return err
				}
			}
			return nil
		},
		each(p.resolve),
		func() error { return distinctPaths(u.Paths()) },
		func() error {
			for _, a := range u.actions {
				if err := checkSetOperand(a); err != nil {
					return err
				}
			}
			return nil
		},
		each(checkUpdateFunction),
	)
}

// checkListAppend: list_append is what an attribute is set to, and no operand.
func (n *node) checkListAppend(whole bool) error {
	if n.op == opCall && n.text == "list_append" && !whole {
		return fmt.Errorf("The function is not allowed to be used this way in an expression; function: %s", n.text)
	}
	for _, a := range n.args {
		if err := a.checkListAppend(false); err != nil {
			return err
		}
	}
	return nil
}

var longTypeNames = map[item.Type]string{item.S: "STRING", item.N: "NUMBER", item.B: "BINARY", item.NULL: "NULL",
	item.BOOL: "BOOLEAN", item.L: "LIST", item.M: "MAP"}

// checkSetOperand: DELETE takes a set, ADD also a number.
func checkSetOperand(a action) error {
	if a.verb != verbAdd && a.verb != verbDelete {
		return nil
	}
	t := a.arg.literal()
	if t.IsSet() || t == item.N && a.verb == verbAdd {
		return nil
	}
	return fmt.Errorf("Incorrect operand type for operator or function; operator: %s, operand type: %s, typeSet: ALLOWED_FOR_%s_OPERAND",
		verbNames[a.verb], longTypeNames[t], verbNames[a.verb])
}

func checkUpdateFunction(n *node) error {
	switch n.op {
	case opPlus, opMinus:
		for _, a := range n.args {
			if t := a.literal(); t != item.None && t != item.N {
				return wrongType(n.text, t)
			}
		}
	case opCall:
		if len(n.args) != 2 {
			return wrongCount(n)
		}
		if n.text == "if_not_exists" {
			if n.args[0].op != opPath {
				return pathRequired(n.text)
			}
			return checkDistinct(n)
		}
		for _, a := range n.args {
			if t := a.literal(); t != item.None && t != item.L {
				return wrongType(n.text, t)
			}
		}
	}
	return nil
}

// Paths are what the update changes.
func (u *Update) Paths() []Path {
	if u == nil {
		return nil
	}
	paths := make([]Path, len(u.actions))
	for i, a := range u.actions {
		paths[i] = a.path
	}
	return paths
}

// Nested are the top-level attributes that the update changes a part of.
func (u *Update) Nested() []string { return nested(u.Paths()) }

// TypeOf is the type that a top-level attribute is sure to have after the update,
// whatever the item; none if that depends on it.
func (u *Update) TypeOf(name string) item.Type {
	if u == nil {
		return item.None
	}
	for _, a := range u.actions {
		if len(a.path) == 1 && a.path[0].Name == name && a.arg != nil {
			return a.arg.sure()
		}
	}
	return item.None
}

// sure is the type that an operand of an update has with any item, if it has a value.
func (n *node) sure() item.Type {
	switch n.op {
	case opValue:
		return n.value.Type
	case opPlus, opMinus:
		return item.N
	case opCall:
		if n.text == "list_append" {
			return item.L
		}
		return n.args[1].sure()
	}
	return item.None
}

// OnlyDeletes says that the update has nothing to give to an item that does not
// exist yet, and makes none. One that does nothing at all makes one.
func (u *Update) OnlyDeletes() bool {
	return u != nil && len(u.actions) > 0 && !slices.ContainsFunc(u.actions, func(a action) bool {
		return a.verb == verbSet || a.verb == verbAdd
	})
}

var (
	errBadPath   = errors.New("The document path provided in the update expression is invalid for update")
	errNoOperand = errors.New("The provided expression refers to an attribute that does not exist in the item")
	errOperand   = errors.New("An operand in the update expression has an incorrect data type")
	errMismatch  = errors.New("Type mismatch for attribute to update")
)
