package cloudwatch

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"
)

// A store is what is in memory: the series, and of each the data that are in no
// segment yet. The apply loop puts data in, the keeper takes them out, reads look
// at them.
type store struct {
	mu       sync.RWMutex
	series   *btree.Map[string, *series] // mu
	nextID   uint32                      // mu
	offset   uint64                      // mu; of the last command applied
	census   census                      // mu; whose the series are
	data     int64                       // mu; bytes that data take, about
	floors   [len(tiers)]int64           // mu; data from before are the next tier's
	fresh    int64                       // mu; bytes of data in heads, which nobody writes yet
	manifest *manifest                   // mu; the segments
	idleNone [scopeKinds]time.Time       // mu; when there was no idle series to forget
}

// A series is the data of a metric of one unit.
type series struct {
	id      uint32 // by which segments name it; ids grow
	key     string
	written int64 // mu of the store; seconds, when it was last put

	// Data in no segment: heads are added to, frozen are on their way into segments
	// and do not change. Both are mu's of the store.
	heads, frozen [len(tiers)][]point
}

// seriesCost is what a series takes in memory beside its key.
const seriesCost = 512

func newStore() *store {
	return &store{series: new(btree.Map[string, *series]), nextID: 1, manifest: new(manifest)}
}

// shareOf is a series with a key in a census.
func shareOf(key string) share { return share{1, seriesCost + int64(len(key))} }

// shareOf is how much there is of the series of a scope.
func (s *store) shareOf(of scope) share {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.census.in(of)
}

// memory is how many bytes all takes, about.
func (s *store) memory() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.data + s.census.all.bytes
}

// needs is how much more a put may take, at most.
func (s *store) needs(p *put) *claim {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := &claim{account: accountOf(p.tenant), own: p.namespace == ownNamespace}
	unseen := map[string]bool{}
	for i := range p.data {
		d := &p.data[i]
		c.data += pointCost + d.summary.cost()
		key := p.key(d)
		if _, ok := s.series.Get(key); !ok && !unseen[key] {
			unseen[key] = true
			c.series = c.series.plus(shareOf(key))
		}
	}
	return c
}

// apply puts in the data of the command at an offset, which was logged at a time
// in ms. One at or below the store's offset is in it already.
func (s *store) apply(offset uint64, arrival int64, p *put) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if offset <= s.offset {
		return
	}
	s.offset = offset
	for i := range p.data {
		d := &p.data[i]
		key := p.key(d)
		sr, ok := s.series.Get(key)
		if !ok {
			sr = s.addSeries(s.nextID, key)
		}
		sr.written = max(sr.written, arrival/1000)
		s.addData(sr, int(d.tier), d.at, &d.summary)
	}
}

func (s *store) addSeries(id uint32, key string) *series {
	sr := &series{id: id, key: strings.Clone(key)}
	s.series.Set(sr.key, sr)
	s.nextID = max(s.nextID, id+1)
	s.census.add(accountOf(key), isOwn(key), shareOf(key))
	return sr
}

// known are the data of a put whose series there are already.
func (s *store) known(p *put) []datum {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(p.data), func(d datum) bool {
		_, ok := s.series.Get(p.key(&d))
		return !ok
	})
}

// addData adds samples in the tier that is theirs by their time; those that are
// older than all tiers are dropped.
func (s *store) addData(sr *series, t int, at int64, sum *summary) {
	for ; t < len(tiers); t++ {
		bucket := down(at, tiers[t].width)
		if bucket < s.floors[t] {
			continue
		}
		var cost int64
		sr.heads[t], cost = addPoint(sr.heads[t], bucket, sum)
		s.data += cost
		s.fresh += cost
		return
	}
}

// skip notes that the log has nothing up to an offset.
func (s *store) skip(offset uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = max(s.offset, offset)
}

// freeze takes the heads off, for segments to be made of. floors are those of the
// time: what has become older than a tier goes on to the next one on the way. It
// returns how far in the log the frozen data reach.
func (s *store) freeze(floors [len(tiers)]int64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floors = floors
	s.series.Scan(func(_ string, sr *series) bool {
		for t := range tiers {
			s.age(sr, t)
		}
		sr.frozen, sr.heads = sr.heads, [len(tiers)][]point{}
		return true
	})
	s.fresh = 0
	return s.offset
}

// age moves what is older than a tier to the next one.
func (s *store) age(sr *series, t int) {
	old := 0
	for old < len(sr.heads[t]) && sr.heads[t][old].at < s.floors[t] {
		old++
	}
	moved := sr.heads[t][:old]
	sr.heads[t] = sr.heads[t][old:]
	for i := range moved {
		s.data -= pointCost + moved[i].cost()
		s.addData(sr, t+1, moved[i].at, &moved[i].summary)
	}
}

// commit puts a new manifest in place of the frozen data and drops series that
// have had no data for so long that none are left.
func (s *store) commit(m *manifest, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manifest = m
	var dead []string
	s.series.Scan(func(key string, sr *series) bool {
		for t := range tiers {
			for i := range sr.frozen[t] {
				s.data -= pointCost + sr.frozen[t][i].cost()
			}
			sr.frozen[t] = nil
		}
		if sr.inSegments() && sr.forgotten(now) {
			dead = append(dead, key)
		}
		return true
	})
	for _, key := range dead {
		s.drop(key)
	}
}

// idleFor is how long a series has had no data when it may make room for another
// one: it is not listed any more either.
const idleFor = listedFor + 24*time.Hour

// forgetIdle forgets series of a scope, those first that have had no data for longest,
// until so many and so many bytes are gone. It returns false if there is none that may go.
func (s *store) forgetIdle(of scope, enough share, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.idleNone[of.kind]) < time.Minute {
		return false // it takes a look at all series
	}
	var idle []*series
	s.series.Scan(func(key string, sr *series) bool {
		if sr.written < now.Add(-idleFor).Unix() && sr.inSegments() && of.has(key) {
			idle = append(idle, sr)
		}
		return true
	})
	if len(idle) == 0 {
		s.idleNone[of.kind] = now
		return false
	}
	slices.SortFunc(idle, func(a, b *series) int { return cmp.Compare(a.written, b.written) })
	for _, sr := range idle {
		if enough == (share{}) {
			break
		}
		enough = enough.over(shareOf(sr.key))
		s.drop(sr.key)
	}
	return true
}

// inSegments says that nothing of the series is in memory alone.
func (sr *series) inSegments() bool {
	for t := range tiers {
		if len(sr.heads[t]) > 0 || len(sr.frozen[t]) > 0 {
			return false
		}
	}
	return true
}

func (s *store) drop(key string) {
	s.series.Delete(key)
	s.census.add(accountOf(key), isOwn(key), share{}.minus(shareOf(key)))
}

// forgotten says that no data of the series can be left in any tier.
func (sr *series) forgotten(now int64) bool {
	oldest := tiers[len(tiers)-1]
	return sr.written+int64(aheadMax.Seconds()) < now-oldest.keep-oldest.span
}
