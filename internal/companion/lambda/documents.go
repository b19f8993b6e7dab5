package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/shardlog"
)

// What is kept in the catalog "lambda". All times are ms since 1970; fields are
// only ever added.
//
//	function/<account>/<region>/<name>      functionDoc, with its $LATEST
//	version/<function id>/<10 digits>       versionDoc
//	alias/<function id>/<name>              aliasDoc
//	policy/<function id>/<qualifier or ->   policyDoc
//	invoke/<function id>/<qualifier>        invokeDoc: how accepted invocations are made
//	mapping/<account>/<region>/<uuid>       mappingDoc
//	account/<account>/<region>              accountDoc
const (
	functionPrefix = "function/"
	versionPrefix  = "version/"
	aliasPrefix    = "alias/"
	policyPrefix   = "policy/"
	invokePrefix   = "invoke/"
	mappingPrefix  = "mapping/"
	accountPrefix  = "account/"
)

type functionDoc struct {
	// ID is drawn at creation and never used again, so that a function re-created
	// under its name shares nothing with its predecessor.
	ID      string
	Account string
	Region  string
	Name    string
	Created int64
	Tags    map[string]string `json:",omitempty"`
	// Reserved concurrency; nil: the account's.
	Reserved *int32 `json:",omitempty"`

	Latest versionDoc
	// Edit counts changes of $LATEST's code and configuration. PublishedEdit is
	// the one that version Published was made of: it is not made again.
	Edit          int64
	PublishedEdit int64 `json:",omitempty"`
	Published     int64 `json:",omitempty"`
	LastVersion   int64 `json:",omitempty"` // numbers are never used again
	// Serial changes with every change of the function's parts.
	Serial int64
}

func (d *functionDoc) id() functionID { return functionID{d.Account, d.Region, d.Name} }

// parts are the prefixes of the function's other documents.
func (d *functionDoc) parts() []string {
	return []string{versionPrefix + d.ID + "/", aliasPrefix + d.ID + "/", policyPrefix + d.ID + "/", invokePrefix + d.ID + "/"}
}

func (d *functionDoc) versionKey(number int64) string {
	return fmt.Sprintf("%s%s/%010d", versionPrefix, d.ID, number)
}

func (d *functionDoc) aliasKey(name string) string { return aliasPrefix + d.ID + "/" + name }

func (d *functionDoc) policyKey(qualifier string) string {
	if qualifier == "" {
		qualifier = "-"
	}
	return policyPrefix + d.ID + "/" + qualifier
}

func (d *functionDoc) invokeKey(qualifier string) string {
	if qualifier == "" {
		qualifier = latest
	}
	return invokePrefix + d.ID + "/" + qualifier
}

// A versionDoc is the code and configuration of one version.
type versionDoc struct {
	Number   int64  // 0 is $LATEST
	Revision string // a UUID
	Modified int64
	// Due is until when the version is Pending, or its update InProgress.
	Due     int64 `json:",omitempty"`
	Updated bool  `json:",omitempty"` // there was an update: before Due it is Active all the same

	Description string `json:",omitempty"`
	Role        string
	Runtime     string
	Handler     string
	Timeout     int32      // s
	Memory      int32      // MiB
	Storage     int32      // MiB of /tmp
	Environment *sealed    `json:",omitempty"` // of a map of names to values
	DeadLetter  string     `json:",omitempty"` // ARN
	Logging     loggingDoc `json:",omitzero"`
	Code        codeDoc    `json:",omitzero"`
}

type loggingDoc struct {
	Group       string `json:",omitempty"` // empty: /aws/lambda/<name>
	JSON        bool   `json:",omitempty"`
	Application string `json:",omitempty"` // level
	System      string `json:",omitempty"` // level
}

// A codeDoc says where a zip is.
type codeDoc struct {
	Blob   string
	SHA256 string // hexadecimal
	Bytes  int64
}

// qualifier is the version's: $LATEST or a number.
func (v *versionDoc) qualifier() string {
	if v.Number == 0 {
		return latest
	}
	return strconv.FormatInt(v.Number, 10)
}

type aliasDoc struct {
	Name        string
	Description string `json:",omitempty"`
	Version     string // $LATEST or a number
	Revision    string
	// Other is a version that gets a part of the invocations: Weight, from 0 to 1.
	Other  string  `json:",omitempty"`
	Weight float64 `json:",omitempty"`
}

type policyDoc struct {
	Statements []json.RawMessage // in the order in which they were added
}

type invokeDoc struct {
	Modified  int64
	Retries   *int32 `json:",omitempty"`
	AgeMax    *int32 `json:",omitempty"` // s
	OnSuccess string `json:",omitempty"` // ARN
	OnFailure string `json:",omitempty"` // ARN
}

// An accountDoc changes with what counts against the account's limits, so that two
// calls that each fit cannot both succeed when together they do not.
type accountDoc struct{ Serial int64 }

func accountKey(account, region string) string { return accountPrefix + account + "/" + region }

// A function is a function's document as it was read, by which its parts are found.
type function struct {
	functionDoc
	docs    *catalog.Catalog
	version uint64 // of the document
}

// find reads a function; nil if there is none.
func (s *Service) find(id functionID) (*function, error) {
	f := &function{docs: s.docs}
	ok, err := read(s.docs, id.key(), &f.functionDoc, &f.version)
	if err != nil || !ok {
		return nil, err
	}
	return f, nil
}

// read fills doc, and the version if that is asked for.
func read(c *catalog.Catalog, key string, doc any, version *uint64) (ok bool, err error) {
	b, v, ok := c.Get(key)
	if !ok {
		return false, nil
	}
	if version != nil {
		*version = v
	}
	if err := json.Unmarshal(b, doc); err != nil {
		return false, fmt.Errorf("lambda: cannot read document %s: %w", key, err)
	}
	return true, nil
}

// published reads a version by its number; nil if there is none.
func (f *function) published(number int64) (*versionDoc, error) {
	v := new(versionDoc)
	ok, err := read(f.docs, f.versionKey(number), v, nil)
	if err != nil || !ok {
		return nil, err
	}
	return v, nil
}

// published versions, in the order of their numbers.
func (f *function) versions() ([]versionDoc, error) {
	return list[versionDoc](f.docs, versionPrefix+f.ID+"/")
}

func (f *function) alias(name string) (*aliasDoc, error) {
	a := new(aliasDoc)
	ok, err := read(f.docs, f.aliasKey(name), a, nil)
	if err != nil || !ok {
		return nil, err
	}
	return a, nil
}

// list reads all documents under a prefix, in the order of their keys.
func list[T any](c *catalog.Catalog, prefix string) ([]T, error) {
	var all []T
	for ch := range c.Scan(prefix, "") {
		var doc T
		if err := json.Unmarshal(ch.Doc, &doc); err != nil {
			return nil, fmt.Errorf("lambda: cannot read document %s: %w", ch.Key, err)
		}
		all = append(all, doc)
	}
	return all, nil
}

// numbered is a version by its qualifier, $LATEST or a number; nil if there is none.
func (f *function) numbered(qualifier string) (*versionDoc, error) {
	if qualifier == latest || qualifier == "" {
		return &f.Latest, nil
	}
	n, err := strconv.ParseInt(qualifier, 10, 64)
	if err != nil || n < 1 {
		return nil, nil
	}
	return f.published(n)
}

// qualifiedVersion is the version that a qualifier means: of an alias the one that
// it points to. It is nil if there is none.
func (f *function) qualifiedVersion(qualifier string) (*versionDoc, error) {
	if isAlias(qualifier) {
		a, err := f.alias(qualifier)
		if a == nil || err != nil {
			return nil, err
		}
		qualifier = a.Version
	}
	return f.numbered(qualifier)
}

// get finds a function and one of its versions, or answers that it is not there.
func (s *Service) get(ref reference) (*function, *versionDoc, error) {
	f, err := s.find(ref.functionID)
	if err != nil {
		return nil, nil, err
	}
	if f == nil {
		return nil, nil, ref.missing()
	}
	v, err := f.qualifiedVersion(ref.qualifier)
	if err == nil && v == nil {
		err = ref.missing()
	}
	return f, v, err
}

// A change is what an operation wants written and deleted.
type change struct {
	write  map[string]any // documents by key; nil deletes
	remove []string       // trees
	expect map[string]uint64
}

func (c *change) put(key string, doc any) {
	if c.write == nil {
		c.write = make(map[string]any)
	}
	c.write[key] = doc
}

func (c *change) expects(key string, version uint64) {
	if c.expect == nil {
		c.expect = make(map[string]uint64)
	}
	c.expect[key] = version
}

// update decides on a function and commits: what decide changed in f itself is
// written, too. It decides again if the function has changed meanwhile. A nil
// change writes nothing.
func (s *Service) update(ctx context.Context, ref reference, decide func(f *function) (*change, error)) error {
	for range 100 { // only calls on the same function can be in the way
		f, err := s.find(ref.functionID)
		if err != nil {
			return err
		}
		if f == nil {
			return ref.missing()
		}
		ch, err := decide(f)
		if err != nil || ch == nil {
			return err
		}
		f.Serial++
		ch.expects(f.id().key(), f.version)
		if _, decided := ch.write[f.id().key()]; !decided {
			ch.put(f.id().key(), &f.functionDoc)
		}
		if err := s.commit(ctx, ch); !errors.Is(err, catalog.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("lambda: decided 100 times on function %s, and it had changed each time", ref.name)
}

// commit writes documents. It returns catalog.ErrConflict if an expectation did not hold.
func (s *Service) commit(ctx context.Context, ch *change) error {
	t := catalog.Txn{Expect: ch.expect, Write: make(map[string]json.RawMessage, len(ch.write)), Remove: ch.remove}
	grows := int64(0)
	for key, doc := range ch.write {
		b := json.RawMessage("null")
		if doc != nil {
			var err error
			if b, err = json.Marshal(doc); err != nil {
				return fmt.Errorf("lambda: cannot write document %s: %w", key, err)
			}
			grows += int64(len(key) + len(b) + documentCost)
			if old, _, ok := s.docs.Get(key); ok {
				grows -= int64(len(key) + len(old) + documentCost)
			}
		}
		t.Write[key] = b
	}
	if grows > 0 && s.size.bytes()+grows > s.cfg.StateBytesMax {
		return user("CodeStorageExceededException", "The memory for functions and event source mappings, %d bytes, is used up. (rheo keeps their configurations in memory, up to a limit.)", s.cfg.StateBytesMax)
	}
	err := s.docs.Commit(ctx, t)
	switch {
	case errors.Is(err, shardlog.ErrOverloaded):
		return serviceError("The log cannot take more at the moment. Try again.")
	case errors.Is(err, shardlog.ErrNoSpace):
		return serviceError("There is no space left on the disk.")
	}
	return err
}

// page takes the part of a list that begins behind marker. Markers are the keys
// of lists, which the caller gives back as it had them.
func page[T any](all []T, key func(T) string, marker *string, limit *int32, usual int) (part []T, next *string) {
	from := 0
	if marker != nil && *marker != "" {
		for from < len(all) && strings.Compare(key(all[from]), *marker) <= 0 {
			from++
		}
	}
	n := usual
	if limit != nil {
		n = min(n, int(*limit))
	}
	part = all[from:]
	if len(part) > n {
		part = part[:n]
		next = new(key(part[n-1]))
	}
	return part, next
}

func (s *Service) nowMillis() int64 { return s.now().UnixMilli() }

// lastModified is a time as FunctionConfiguration has it.
func lastModified(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000-0700")
}
