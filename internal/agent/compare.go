package agent

import (
	"bytes"
	"io"
	"slices"
)

const (
	// compareBytes is how much of files is compared at a look, of all sources of a flow
	// together: two that are large and alike take many looks, and hold up nothing else.
	compareBytes = 16 << 20
	compareBlock = 64 << 10
	// printedMax is up to how many bytes files are compared by their hashes first: of many
	// that are alike each is read once, and not once for each of the others.
	printedMax = 256 << 10
)

// A comparison is how far two files were found to be the same, from their beginning. It
// is gone on with when they grow, so that nothing is read twice.
type comparison struct {
	same      int64 // bytes
	different bool  // behind them
	lines     variety
}

// compare says whether two files are the same up to n bytes, and have so many different
// lines there that this is no chance. done: that can be said, otherwise it is gone on at
// the next look.
func (t *tailer) compare(s, o *source, n int64) (same, done bool, err error) {
	c := s.against[o]
	if c == nil {
		c = new(comparison)
		if s.against == nil {
			s.against = map[*source]*comparison{}
		}
		s.against[o] = c
	}
	if !c.different && c.same == 0 && n <= printedMax {
		one, err := printOfFirst(s, n)
		if err != nil {
			return false, false, err
		}
		other, err := printOfFirst(o, n)
		if err != nil {
			return false, false, err
		}
		c.different = one != other
	}
	if !c.different && c.same < n {
		alike, err := t.agree(s, o, n) // soon said, most times
		if err != nil {
			return false, false, err
		}
		c.different = !alike
	}
	if c.different {
		return false, true, nil
	}
	_, err = s.withFile(func(a io.ReaderAt) (bool, error) {
		return o.withFile(func(b io.ReaderAt) (bool, error) { return true, c.goOn(a, b, n, t) })
	})
	switch {
	case err != nil:
		return false, false, err
	case c.different:
		return false, true, nil
	case c.same < n:
		return false, false, nil
	}
	return c.lines.enough(), true, nil
}

func (c *comparison) goOn(a, b io.ReaderAt, n int64, t *tailer) error {
	for c.same < n && t.compareLeft > 0 {
		k := min(compareBlock, n-c.same)
		one, err := readExactly(a, c.same, k)
		if err != nil {
			return err
		}
		other, err := readExactly(b, c.same, k)
		if err != nil {
			return err
		}
		t.compareLeft -= k
		if !bytes.Equal(one, other) {
			c.different = true
			return nil
		}
		c.lines.add(one)
		c.same += k
	}
	return nil
}

// printOfFirst is the fingerprint of a source's first bytes, which is kept: most that are
// compared have the same length.
func printOfFirst(s *source, n int64) (fingerprint, error) {
	if s.printedBytes == n && s.printed != "" {
		return s.printed, nil
	}
	_, err := s.withFile(func(f io.ReaderAt) (bool, error) {
		b, err := readExactly(f, 0, n)
		if err == nil {
			s.printed, s.printedBytes = printOf(b), n
		}
		return true, err
	})
	return s.printed, err
}

// agree says whether two files that begin alike are alike before an offset too.
func (t *tailer) agree(a, b *source, n int64) (bool, error) {
	one, err := markOf(a, n)
	if err != nil {
		return false, err
	}
	other, err := markOf(b, n)
	return err == nil && bytes.Equal(one, other), err
}

// markOf reads what stands before an offset of a source's file.
func markOf(s *source, offset int64) ([]byte, error) {
	n := min(offset, markBytes)
	var b []byte
	_, err := s.withFile(func(f io.ReaderAt) (_ bool, err error) {
		b, err = readExactly(f, offset-n, n)
		return true, err
	})
	return b, err
}

// succeeds says whether a source was found under a name that o had, and lost to it by
// being renamed, at once or by way of others: it is what the writer went on with, and no
// copy, however it begins.
func (s *source) succeeds(o *source) bool {
	return slices.Contains(s.follows, o.id.ino)
}
