package cloudwatch

import (
	"strings"
	"sync"
)

// A share is a number of series, and what they take in memory: each its key and
// seriesCost. Keys may be of 40 KB, so their number alone bounds nothing.
type share struct{ series, bytes int64 }

func (a share) plus(b share) share  { return share{a.series + b.series, a.bytes + b.bytes} }
func (a share) minus(b share) share { return share{a.series - b.series, a.bytes - b.bytes} }

// of is a fraction of the share.
func (a share) of(n, d int64) share { return share{a.series * n / d, a.bytes * n / d} }

// over is by how much a share is more than another one.
func (a share) over(b share) share {
	return share{max(a.series-b.series, 0), max(a.bytes-b.bytes, 0)}
}

// A census is whose the series are.
type census struct {
	all, own share
	accounts map[string]share // of all but rheo's own; none is zero
}

// add counts more series, or less, of an account or of rheo's own.
func (c *census) add(account string, own bool, d share) {
	c.all = c.all.plus(d)
	if own {
		c.own = c.own.plus(d)
		return
	}
	if c.accounts == nil {
		c.accounts = map[string]share{}
	}
	if now := c.accounts[account].plus(d); now != (share{}) {
		c.accounts[account] = now
	} else {
		delete(c.accounts, account)
	}
}

// in is how many of the series are in a scope.
func (c *census) in(s scope) share {
	switch s.kind {
	case ownSeries:
		return c.own
	case othersSeries:
		return c.all.minus(c.own)
	case accountSeries:
		return c.accounts[s.account]
	}
	return c.all
}

// A scope is a part of the series, which has a limit of its own.
type scope struct {
	kind    scopeKind
	account string // of accountSeries
}

type scopeKind int

const (
	allSeries     scopeKind = iota
	ownSeries               // rheo's own
	othersSeries            // all but those
	accountSeries           // those of them that are one account's
	scopeKinds
)

// has says whether the series of a key is in the scope.
func (s scope) has(key string) bool {
	switch s.kind {
	case ownSeries:
		return isOwn(key)
	case othersSeries:
		return !isOwn(key)
	case accountSeries:
		return accountOf(key) == s.account && !isOwn(key)
	}
	return true
}

func (s scope) String() string {
	return [scopeKinds]string{"", " of rheo's own", " that are not rheo's own", " of the account"}[s.kind]
}

// accountOf is the account in the key of a tenant or series.
func accountOf(key string) string {
	account, _, _ := strings.Cut(key, "/")
	return account
}

// A claim is what a put may come to need.
type claim struct {
	account string
	own     bool // it is of rheo's own metrics
	data    int64
	series  share
}

// A budget bounds series and data, with those that puts under way may come to
// need. Series may take half of the memory; data have what series leave of all
// of it, but half in any case: what an earlier version, or a larger memory, let
// in of series does not shut out data.
//
// Nobody shuts out the others: one account may have three quarters of the series,
// an eighth is kept for rheo's own, which may be half. Of the memory for data a
// sixteenth is kept for rheo's own, some minutes of them.
type budget struct {
	memoryMax, seriesMax int64

	mu     sync.Mutex
	data   int64  // mu; under way
	series census // mu; under way
}

// seriesLimit is how much series there may be in all.
func (b *budget) seriesLimit() share { return share{b.seriesMax, b.memoryMax / 2} }

// A seriesLimit is what a scope may have.
type seriesLimit struct {
	scope
	most share
}

// limits are those that a put is under.
func (b *budget) limits(c *claim) []seriesLimit {
	all := b.seriesLimit()
	if c.own {
		return []seriesLimit{{scope{kind: ownSeries}, all.of(1, 2)}, {scope{}, all}}
	}
	return []seriesLimit{
		{scope{accountSeries, c.account}, all.of(3, 4)},
		{scope{kind: othersSeries}, all.minus(all.of(1, 8))},
		{scope{}, all},
	}
}

// dataMax is how much data there may be beside series that take so many bytes.
func (b *budget) dataMax(series int64, own bool) int64 {
	most := max(b.memoryMax-series, b.memoryMax/2)
	if !own {
		most -= most / 16
	}
	return most
}

// A shortage is what there is not enough of for a put: series, or else memory
// for data.
type shortage struct {
	of   seriesLimit
	over share // by how much
	have share

	data  bool
	level int64 // how much data there may be for the put to fit
}

// reserve takes what a put claims, or says what is short.
func (b *budget) reserve(s *store, c *claim) *shortage {
	b.mu.Lock()
	defer b.mu.Unlock()
	// What leaves those under way is in the store by then, so nothing is missed.
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c.series.series > 0 {
		for _, l := range b.limits(c) {
			have := s.census.in(l.scope).plus(b.series.in(l.scope))
			if over := have.plus(c.series).over(l.most); over != (share{}) {
				return &shortage{of: l, over: over, have: have}
			}
		}
	}
	series := s.census.all.bytes + b.series.all.bytes + c.series.bytes
	if level := b.dataMax(series, c.own) - c.data; s.data+b.data > level {
		return &shortage{data: true, level: level}
	}
	b.data += c.data
	b.series.add(c.account, c.own, c.series)
	return nil
}

func (b *budget) release(c *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data -= c.data
	b.series.add(c.account, c.own, share{}.minus(c.series))
}

// enough is how much should go so that not each new series has to look for another.
func (s *shortage) enough() share {
	batch := s.of.most.of(1, 64)
	return share{max(s.over.series, batch.series), max(s.over.bytes, batch.bytes)}
}

// err is what the caller of a put is told that there are no series for.
func (s *shortage) err(c *claim) error {
	const more = "and none that had no data for fifteen days. A metric is one of its own for each combination of dimensions and each unit."
	if s.over.series > 0 {
		return limitExceeded("There are %d metrics%v of at most %d: no room for %d more, "+more,
			s.have.series, s.of.scope, s.of.most.series, c.series.series)
	}
	return limitExceeded("There are %d metrics%v, whose names and dimensions take %d of at most %d bytes of memory: no room for %d more, "+more,
		s.have.series, s.of.scope, s.have.bytes, s.of.most.bytes, c.series.bytes)
}
