package vfs

import (
	"maps"
	"slices"
)

// Crash cuts the power: see the type.
func (c *Crash) Crash() *Crash {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = true
	names := c.namesAfterPowerCut()
	b := boot{
		names: func(d *inode) map[string]*inode {
			if left := names[d]; left != nil {
				return left
			}
			return d.savedNames
		},
		file: func(n *inode) *inode {
			left := c.afterPowerCut(n)
			return &inode{now: left, saved: left.clone()}
		},
		made: map[*inode]*inode{},
	}
	next := newCrash(c.rng.Uint64(), b.dir(c.root))
	next.used, next.capacity = b.used, c.capacity
	return next
}

// Kill ends the process and leaves the machine running: see the type.
func (c *Crash) Kill() *Crash {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = true
	b := boot{
		names: func(d *inode) map[string]*inode { return d.names },
		file: func(n *inode) *inode {
			return &inode{now: n.now.clone(), saved: n.saved.clone(), unsynced: slices.Clone(n.unsynced), writesLost: n.writesLost}
		},
		made: map[*inode]*inode{},
	}
	next := newCrash(c.rng.Uint64(), b.dir(c.root))
	next.used, next.capacity = b.used, c.capacity
	// What was unsynced stays so, between the copies of the same inodes. Those
	// that have no name now can still get one back by a power cut that drops a removal.
	for i := 0; i < len(b.dirs); i++ { // copies may add more
		b.made[b.dirs[i]].savedNames = b.copies(b.dirs[i].savedNames)
	}
	for _, ch := range c.renames {
		halves := make([]nameHalf, len(ch.halves))
		for i, h := range ch.halves {
			halves[i] = nameHalf{dir: b.inode(h.dir), name: h.name}
			if h.to != nil {
				halves[i].to = b.inode(h.to)
			}
		}
		next.renames = append(next.renames, nameChange{halves})
	}
	return next
}

// boot copies what is left of a file system into the next one.
type boot struct {
	names func(dir *inode) map[string]*inode
	file  func(*inode) *inode
	made  map[*inode]*inode // old to new
	dirs  []*inode          // the old directories in made
	used  int64
}

// dir copies a directory and all below it, in sorted order so that a seed always gives the same outcome.
func (b *boot) dir(d *inode) *inode {
	left := newDir()
	b.made[d] = left
	b.dirs = append(b.dirs, d)
	names := b.names(d)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := b.inode(names[name])
		if n.links++; n.links == 1 {
			b.used += n.now.bytes()
		}
		left.names[name] = n
	}
	left.savedNames = maps.Clone(left.names)
	return left
}

func (b *boot) inode(n *inode) *inode {
	if made := b.made[n]; made != nil {
		return made
	}
	if n.isDir() {
		return b.dir(n)
	}
	made := b.file(n)
	b.made[n] = made
	return made
}

func (b *boot) copies(names map[string]*inode) map[string]*inode {
	copied := make(map[string]*inode, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		copied[name] = b.inode(names[name])
	}
	return copied
}

// fate is what a power cut makes of a list of changes.
type fate int

const (
	fateAll    fate = iota // everything had reached the disk
	fateNone               // nothing had
	fatePrefix             // the disk stopped at some moment
	fateEach               // every change by itself
	fates
)

// drawFate returns the fate of n changes, and how many of them are whole in any case.
func (c *Crash) drawFate(n int) (f fate, whole int) {
	switch f = fate(c.rng.IntN(int(fates))); f {
	case fateAll:
		return f, n
	case fatePrefix:
		return f, c.rng.IntN(n + 1)
	}
	return f, 0
}

// namesAfterPowerCut draws the names that directories with unsynced changes are left with. It needs mu.
func (c *Crash) namesAfterPowerCut() map[*inode]map[string]*inode {
	left := map[*inode]map[string]*inode{}
	of := func(d *inode) map[string]*inode {
		if left[d] == nil {
			left[d] = maps.Clone(d.savedNames)
		}
		return left[d]
	}
	f, whole := c.drawFate(len(c.renames))
	for i, ch := range c.renames {
		if i >= whole && (f != fateEach || c.rng.IntN(2) == 0) {
			continue
		}
		for _, h := range ch.halves {
			setName(of(h.dir), h)
		}
	}
	return left
}

// afterPowerCut draws what is left of a file. It needs mu.
func (c *Crash) afterPowerCut(n *inode) image {
	left := n.saved.clone()
	if len(n.unsynced) == 0 {
		return left
	}
	f, whole := c.drawFate(len(n.unsynced))
	for i := range n.unsynced {
		ch := &n.unsynced[i]
		switch {
		case f == fateAll:
			ch.apply(&left) // has all changes before it
		case i < whole:
			ch.apply(&left)
		case i == whole && f == fatePrefix:
			c.tear(ch, &left)
		case f == fateEach:
			c.oneFate(ch, &left)
		}
	}
	return left
}

func (c *Crash) oneFate(ch *change, left *image) {
	switch c.rng.IntN(3) {
	case 0: // dropped
		if ch.kind == changeWrite && c.rng.IntN(4) == 0 {
			left.size = max(left.size, ch.end) // the size was saved, the bytes were not
		}
	case 1: // kept
		if ch.kind == changeWrite {
			ch.applySectors(left, func(int64) bool { return true })
		} else {
			ch.apply(left)
		}
	case 2:
		c.tear(ch, left)
	}
}

// tear does a part of the change: any sectors of a write; a truncate or reserve happens or does not.
func (c *Crash) tear(ch *change, left *image) {
	if ch.kind != changeWrite {
		if c.rng.IntN(2) == 0 {
			ch.apply(left)
		}
		return
	}
	var coins uint64
	var flips int
	ch.applySectors(left, func(int64) bool {
		if flips%64 == 0 {
			coins = c.rng.Uint64()
		}
		kept := coins>>(flips%64)&1 == 1
		flips++
		return kept
	})
	if c.rng.IntN(2) == 0 {
		left.size = max(left.size, ch.end)
	}
}

// applySectors brings those sectors of a write to the image that kept chooses
// by their number in the file. The size grows to the end of the last one.
func (ch *change) applySectors(m *image, kept func(sector int64) bool) {
	var fresh *page
	freshAt := int64(-1)
	for at := ch.off / sectorSize * sectorSize; at < ch.end; at += sectorSize {
		if !kept(at / sectorSize) {
			continue
		}
		if i := at / pageSize; i != freshAt {
			fresh, freshAt = new(page), i
			*fresh = *m.page(i)
			m.setPage(i, fresh)
		}
		in := at % pageSize
		copy(fresh[in:in+sectorSize], ch.pages[freshAt-ch.off/pageSize][in:])
		m.size = max(m.size, min(ch.size, at+sectorSize))
	}
}
