package dynamodb

import (
	"context"
	"fmt"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// tableName is the name and the key of a table that the caller names, by name or ARN.
func tableName(ctx context.Context, given *string) (name, key string, err error) {
	caller := rheo.CallerFrom(ctx)
	name = *given
	if rest, isARN := strings.CutPrefix(name, "arn:"); isARN {
		part := strings.SplitN(rest, ":", 5) // partition, service, region, account, resource
		if len(part) != 5 || part[1] != "dynamodb" || !strings.HasPrefix(part[4], "table/") {
			return "", "", validation("Invalid table ARN: %s", name)
		}
		name = strings.TrimPrefix(part[4], "table/")
		if err := checkName(name); err != nil {
			return "", "", err
		}
		if part[2] != caller.Region || part[3] != caller.Account {
			return "", "", noTable()
		}
	} else if err := checkTableName(name); err != nil {
		return "", "", err
	}
	return name, tableKey(caller.Account, caller.Region, name), nil
}

const (
	nameBytesMin = 3
	nameBytesMax = 255
	namePattern  = "[a-zA-Z0-9_.-]+"
)

// inName: what names of tables and indexes consist of.
func inName(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
}

// checkTableName finds what is wrong with a table's name, in the words of the model's constraints.
func checkTableName(name string) error {
	var wrong []string
	fails := func(constraint string) {
		wrong = append(wrong, fmt.Sprintf("Value '%s' at 'tableName' failed to satisfy constraint: %s", name, constraint))
	}
	if strings.ContainsFunc(name, func(c rune) bool { return !inName(c) }) {
		fails("Member must satisfy regular expression pattern: " + namePattern)
	}
	switch {
	case len(name) < nameBytesMin:
		fails(fmt.Sprintf("Member must have length greater than or equal to %d", nameBytesMin))
	case len(name) > nameBytesMax:
		fails(fmt.Sprintf("Member must have length less than or equal to %d", nameBytesMax))
	}
	switch len(wrong) {
	case 0:
		return nil
	case 1:
		return validation("1 validation error detected: %s", wrong[0])
	}
	return validation("%d validation errors detected: %s", len(wrong), strings.Join(wrong, "; "))
}

// checkName finds what is wrong with the name of an index, or of a table in an ARN.
func checkName(name string) error {
	if len(name) < nameBytesMin || len(name) > nameBytesMax || strings.ContainsFunc(name, func(c rune) bool { return !inName(c) }) {
		return validation("Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	return nil
}

// usable finds a table for an operation on items.
func (s *Service) usable(st *state, key string) (*table, error) {
	t, ok := st.tables.Get(key)
	if !ok || s.creating(&t.doc) {
		return nil, noTable()
	}
	return t, nil
}

func (s *Service) creating(d *tableDoc) bool {
	return s.now().UnixMilli() < d.Created+s.transition.Milliseconds()
}

func (s *Service) status(d *tableDoc) api.TableStatus {
	switch {
	case s.creating(d):
		return api.TableStatusCreating
	case s.now().UnixMilli() < d.Ready:
		return api.TableStatusUpdating
	}
	return api.TableStatusActive
}

func (s *Service) indexStatus(d *tableDoc, x *indexDoc) api.IndexStatus {
	if s.now().UnixMilli() < x.Created+s.transition.Milliseconds() {
		return api.IndexStatusCreating
	}
	return api.IndexStatusActive
}

// get is an item of a table, for an answer to work on; nil if there is none.
func (t *table) get(key string, a *answer) (item.Item, row, error) {
	r, ok := t.items.Get(key)
	if !ok {
		a.using = 0
		return nil, row{}, nil
	}
	it, ok, err := a.decode(r.stored)
	if err == nil && !ok {
		err = errNoRoom()
	}
	return it, r, err
}

const (
	hashBytesMax  = 2048
	rangeBytesMax = 1024
)

// checkKeyValue checks the value of a key attribute whose type is right.
func checkKeyValue(name string, v item.Value, isHash bool) error {
	if v.Type == item.N {
		return nil
	}
	switch {
	case v.Text == "" && v.Type == item.S:
		return validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
	case v.Text == "":
		return validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty binary value. Key: %s", name)
	case isHash && len(v.Text) > hashBytesMax:
		return validation(badValues+"Size of hashkey has exceeded the maximum size limit of%d bytes", hashBytesMax)
	case !isHash && len(v.Text) > rangeBytesMax:
		return validation(badValues+"Aggregated size of all range keys has exceeded the size limit of %d bytes", rangeBytesMax)
	}
	return nil
}

// readKey checks the Key of a request, and returns it as an item and as the key
// of the table's tree.
func (d *tableDoc) readKey(it item.Item) (key string, err error) {
	names := d.Key.names()
	if len(it) != len(names) {
		return "", validation("The provided key element does not match the schema")
	}
	for _, name := range names {
		v, ok := it[name]
		if !ok || v.Type.String() != d.Types[name] {
			return "", validation("The provided key element does not match the schema")
		}
		if err := checkKeyValue(name, v, name == d.Key.Hash); err != nil {
			return "", err
		}
	}
	key, _ = d.keyOf(d.Key, it)
	return key, nil
}

// checkItem checks an item that is to be stored, and returns its key.
func (d *tableDoc) checkItem(it item.Item) (key string, err error) {
	for _, name := range d.Key.names() {
		v, ok := it[name]
		if !ok {
			return "", validation(badValues+"Missing the key %s in the item", name)
		}
		if v.Type.String() != d.Types[name] {
			return "", validation(badValues+"Type mismatch for key %s expected: %s actual: %s", name, d.Types[name], v.Type)
		}
		if err := checkKeyValue(name, v, name == d.Key.Hash); err != nil {
			return "", err
		}
	}
	if err := d.checkIndexKeys(it); err != nil {
		return "", err
	}
	key, _ = d.keyOf(d.Key, it)
	return key, nil
}

// checkIndexKeys: an item may lack the key of an index, but not have one that is
// none.
func (d *tableDoc) checkIndexKeys(it item.Item) error {
	for i := range d.Indexes {
		x := &d.Indexes[i]
		for _, name := range x.Key.names() {
			v, ok := it[name]
			if !ok || d.Key.has(name) {
				continue
			}
			if v.Type.String() != d.Types[name] {
				return validation(badValues+"Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", name, d.Types[name], v.Type, x.Name)
			}
			switch {
			case v.Type == item.S && v.Text == "":
				return validation("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: %s, IndexKey: %s", x.Name, name)
			case v.Type == item.B && v.Text == "":
				return validation("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty binary value. IndexName: %s, IndexKey: %s", x.Name, name)
			}
			if err := checkKeyValue(name, v, name == x.Key.Hash); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkUpdate finds what is wrong with an update of any item of the table.
func (d *tableDoc) checkUpdate(u *expr.Update) error {
	for _, path := range u.Paths() {
		if d.Key.has(path[0].Name) {
			return validation(badValues+"Cannot update attribute %s. This attribute is part of the key", path[0].Name)
		}
	}
	for i := range d.Indexes {
		x := &d.Indexes[i]
		for _, name := range x.Key.names() {
			if t := u.TypeOf(name); t != item.None && t.String() != d.Types[name] {
				return validation(badValues+"Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", name, d.Types[name], t, x.Name)
			}
		}
	}
	return d.checkScalars(u.Nested())
}

// checkScalars: an expression that looks into these attributes cannot be right if
// one of them is in a key.
func (d *tableDoc) checkScalars(names []string) error {
	for _, name := range names {
		kind := ""
		if d.Key.has(name) {
			kind = "Key"
		} else if _, typed := d.Types[name]; typed {
			kind = "IndexKey"
		}
		if kind != "" {
			return validation("Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: %s: %s", kind, name)
		}
	}
	return nil
}

// readItem reads an item or a key of a request.
func readItem(m map[string]api.AttributeValue) (item.Item, error) {
	it, err := item.ItemFromAPI(m)
	if err != nil {
		return nil, validation("%s", err)
	}
	return it, nil
}
