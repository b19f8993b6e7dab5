package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// Apply depends on nothing but the commands: whatever the path, the same log makes the same snapshot, byte by byte.
func TestApplyIsDeterministic(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var commands []Txn
	version := map[string]uint64{}
	for i := range 500 {
		txn := Txn{Expect: map[string]uint64{}, Write: map[string]json.RawMessage{}}
		for range 1 + rnd.IntN(5) {
			key := fmt.Sprint("k", rnd.IntN(40))
			txn.Expect[key] = version[key] + uint64(rnd.IntN(10)/9) // one in ten is wrong
			txn.Write[key] = json.RawMessage(strconv.Itoa(i))
			if rnd.IntN(4) == 0 {
				txn.Write[key] = json.RawMessage("null")
			}
		}
		tree := func() string { return fmt.Sprint("t", rnd.IntN(4), "/") }
		txn.Write[tree()+"leaf"] = json.RawMessage(strconv.Itoa(i))
		switch rnd.IntN(5) {
		case 0:
			txn.Remove = []string{tree(), tree()}
		case 1:
			txn.Move = map[string]string{tree(): tree() + "deeper/", tree(): tree()}
		}
		commands = append(commands, txn)
		ok := true
		for k, v := range txn.Expect {
			ok = ok && version[k] == v
		}
		if ok {
			for k, d := range txn.Write {
				version[k] = uint64(i + 1)
				if string(d) == "null" {
					version[k] = 0
				}
			}
		}
	}
	play := func(s *State, from int) []byte {
		for i := from; i < len(commands); i++ {
			// Through the log's format, as every process gets them.
			b, _ := command{txn: commands[i]}.encode()
			cmd, err := parseCommand(b)
			if err != nil {
				t.Fatal(err)
			}
			s.Apply(uint64(i+1), cmd.txn)
		}
		return s.encode()
	}
	want := play(newState(), 0)
	s := newState()
	for i := range commands {
		if i%50 == 7 { // from a snapshot on, with commands that it covers already
			back, err := decodeState(s.encode())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(play(back, i/2), want) {
				t.Fatalf("the snapshot at %d leads elsewhere", i)
			}
		}
		s.Apply(uint64(i+1), commands[i])
	}
	if !bytes.Equal(s.encode(), want) {
		t.Error("two runs differ")
	}
}

func TestScan(t *testing.T) {
	s := newState()
	for i, key := range []string{"a", "b/1", "b/10", "b/2", "b0", "c", "b/1/x"} {
		s.Apply(uint64(i+1), write(key, i))
	}
	for _, c := range []struct{ prefix, after, want string }{
		{"", "", "a b/1 b/1/x b/10 b/2 b0 c"},
		{"b/", "", "b/1 b/1/x b/10 b/2"},
		{"b/1", "", "b/1 b/1/x b/10"},
		{"b/", "b/1", "b/1/x b/10 b/2"},
		{"b/", "b/11", "b/2"},
		{"b/", "b/2", ""},
		{"b/", "a", "b/1 b/1/x b/10 b/2"},
		{"b/", "c", ""},
		{"d", "", ""},
	} {
		var keys []string
		for ch := range s.scan(c.prefix, c.after) {
			keys = append(keys, ch.Key)
		}
		if got := strings.Join(keys, " "); got != c.want {
			t.Errorf("scan(%q, %q) is %q, want %q", c.prefix, c.after, got, c.want)
		}
		for ch := range s.scan(c.prefix, c.after) { // and stops where its reader does
			if ch.Key != keys[0] {
				t.Errorf("the first of %q after %q is %s", c.prefix, c.after, ch.Key)
			}
			break
		}
	}
}

// A state that was handed out stays as it is.
func TestCopiesStayTheSame(t *testing.T) {
	s := newState()
	var copies []*State
	var want [][]byte
	for i := range uint64(300) {
		s.Apply(i+1, write(fmt.Sprint("key", i*7919%100), i))
		if i%10 == 0 {
			copies, want = append(copies, s.copy()), append(want, s.encode())
		}
	}
	for i, c := range copies {
		if !bytes.Equal(c.encode(), want[i]) {
			t.Errorf("copy %d changed", i)
		}
	}
}

// Trees are removed and renamed whole, in one command of no size, and their neighbours stay.
func TestTrees(t *testing.T) {
	for _, c := range []struct {
		name    string
		txn     Txn
		after   string // key=doc, version in brackets where it is the command's
		changes string
	}{
		{"remove", Txn{Remove: []string{"s/1/"}},
			"n/1=4 s/10/a=3 s/2/a=9", "s/1/a=gone s/1/b=gone"},
		{"move", Txn{Move: map[string]string{"s/1/": "t/"}},
			"n/1=4 s/10/a=3 s/2/a=9 t/a=1(*) t/b=2(*)", "s/1/a=gone s/1/b=gone t/a=1 t/b=2"},
		{"move onto", Txn{Move: map[string]string{"s/1/": "s/2/"}},
			"n/1=4 s/10/a=3 s/2/a=1(*) s/2/b=2(*)", "s/1/a=gone s/1/b=gone s/2/a=1 s/2/b=2"},
		{"move into its place", Txn{Remove: []string{"s/2/"}, Move: map[string]string{"s/10/": "s/2/"}, Write: map[string]json.RawMessage{"n/1": json.RawMessage("5")}},
			"n/1=5(*) s/1/a=1 s/1/b=2 s/2/a=3(*)", "n/1=5 s/10/a=gone s/2/a=3"},
		{"write comes last", Txn{Remove: []string{"n/"}, Write: map[string]json.RawMessage{"n/1": json.RawMessage("5"), "s/1/a": nil}},
			"n/1=5(*) s/1/b=2 s/10/a=3 s/2/a=9", "n/1=5 s/1/a=gone"},
		{"nothing there", Txn{Remove: []string{"x/"}, Move: map[string]string{"y/": "z/"}},
			"n/1=4 s/1/a=1 s/1/b=2 s/10/a=3 s/2/a=9", ""},
		{"refused", Txn{Expect: map[string]uint64{"n/1": 7}, Remove: []string{"s/1/"}},
			"n/1=4 s/1/a=1 s/1/b=2 s/10/a=3 s/2/a=9", ""},
	} {
		s := newState()
		s.Apply(1, Txn{Write: map[string]json.RawMessage{
			"s/1/a": json.RawMessage("1"), "s/1/b": json.RawMessage("2"), "s/10/a": json.RawMessage("3"), "n/1": json.RawMessage("4"), "s/2/a": json.RawMessage("9")}})
		b, err := command{txn: c.txn}.encode()
		if err != nil {
			t.Fatal(err)
		}
		cmd, err := parseCommand(b)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := s.Apply(2, cmd.txn)
		var after, changes []string
		for _, d := range s.list("") {
			text := d.Key + "=" + string(d.Doc)
			if d.Version == 2 {
				text += "(*)"
			}
			after = append(after, text)
		}
		for _, ch := range got {
			if ch.Doc == nil {
				ch.Doc = []byte("gone")
			}
			changes = append(changes, ch.Key+"="+string(ch.Doc))
		}
		if a := strings.Join(after, " "); a != c.after {
			t.Errorf("%s: there is\n%s, want\n%s", c.name, a, c.after)
		}
		if a := strings.Join(changes, " "); a != c.changes {
			t.Errorf("%s: changes\n%s, want\n%s", c.name, a, c.changes)
		}
	}
}

// What is not a tree is refused before it is logged; and a command of the first version has none.
func TestTreesAreTrees(t *testing.T) {
	for _, txn := range []Txn{
		{Remove: []string{"s/1"}}, {Remove: []string{""}},
		{Move: map[string]string{"a/": "b"}}, {Move: map[string]string{"a": "b/"}},
		{Move: map[string]string{"a/": "a/b/"}}, {Move: map[string]string{"a/b/": "a/"}}, {Move: map[string]string{"a/": "a/"}},
	} {
		if err := txn.check(); err == nil {
			t.Errorf("%+v passed", txn)
		}
	}
	old, _ := command{txn: write("a", 1)}.encode()
	trees, _ := command{txn: Txn{Remove: []string{"a/"}}}.encode()
	if old[0] != commandDocuments || trees[0] != commandTrees {
		t.Errorf("versions %d and %d", old[0], trees[0])
	}
	trees[0] = commandDocuments
	if cmd, err := parseCommand(trees); err != nil || cmd.txn.Remove != nil {
		t.Errorf("%+v, %v", cmd, err)
	}
}
