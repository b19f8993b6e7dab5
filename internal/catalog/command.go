package catalog

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rheostream/rheo/internal/statelog"
)

// A Txn is a conditional change of documents, applied whole or not at all: what
// Remove says, then Move, then Write.
//
// A command is one record of the log, so a Txn is at most some 10 MiB large. What
// concerns more documents than that is staged: written in parts under a prefix
// that nobody reads, then moved to its place at once.
type Txn struct {
	// Expect are versions that must hold; 0 means that there is no such document.
	Expect map[string]uint64 `json:"expect,omitempty"`
	// Write are new documents; null deletes.
	Write map[string]json.RawMessage `json:"write,omitempty"`
	// Remove are trees, prefixes that end in a slash: all documents below go.
	Remove []string `json:"remove,omitempty"`
	// Move are trees that change their name, old to new: all documents below get
	// the new prefix, and replace those that they meet there.
	Move map[string]string `json:"move,omitempty"`
}

// check refuses trees that are none: a prefix without its slash would take
// neighbours along ("s/1" has "s/10").
func (t Txn) check() error {
	trees := t.Remove
	for from, to := range t.Move {
		if strings.HasPrefix(from, to) || strings.HasPrefix(to, from) {
			return fmt.Errorf("catalog: cannot move %q to %q", from, to)
		}
		trees = append(trees[:len(trees):len(trees)], from, to)
	}
	for _, tree := range trees {
		if !strings.HasSuffix(tree, "/") {
			return fmt.Errorf("catalog: %q is not a tree: it does not end in a slash", tree)
		}
	}
	return nil
}

// Versions of commands. The second knows trees; a command without them is
// written as the first, which every rheo reads.
const (
	commandDocuments = 1
	commandTrees     = 2
)

type command struct {
	id  [16]byte
	txn Txn
}

func (c command) encode() ([]byte, error) {
	version := byte(commandDocuments)
	if len(c.txn.Remove)+len(c.txn.Move) > 0 {
		version = commandTrees
	}
	doc, err := json.Marshal(c.txn)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 1+len(c.id)+len(doc))
	b = append(b, version)
	b = append(b, c.id[:]...)
	return append(b, doc...), nil
}

func parseCommand(b []byte) (command, error) {
	var c command
	if len(b) < 17 {
		return c, fmt.Errorf("command of %d bytes", len(b))
	}
	if b[0] != commandDocuments && b[0] != commandTrees {
		return c, fmt.Errorf("version %d: %w", b[0], statelog.ErrNewer)
	}
	copy(c.id[:], b[1:17])
	// Unmarshal copies, so nothing aliases the log's memory.
	if err := json.Unmarshal(b[17:], &c.txn); err != nil {
		return c, err
	}
	if b[0] == commandDocuments {
		c.txn.Remove, c.txn.Move = nil, nil // what knows only the first version ignores them too
	}
	return c, nil
}
