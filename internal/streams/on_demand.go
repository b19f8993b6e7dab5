package streams

import (
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

const (
	// An on-demand stream is looked at each minute: a shard that took more than
	// half of what it can is split.
	scaleEvery = time.Minute
	splitAbove = 0.5
	// It merges back when for a day the whole stream would have fitted, at a
	// quarter of their capacity, into half its shards; the peak that counts is that of 30 days.
	mergeBelow   = 0.25
	peakLifetime = 30 * 24 * time.Hour
)

// scaleOnDemand splits and merges the shards of on-demand streams by traffic.
func (s *Service) scaleOnDemand() {
	tick := time.NewTicker(scaleEvery)
	defer tick.Stop()
	last := map[*shard]usageMark{}
	for {
		select {
		case <-tick.C:
			last = s.scaleOnce(last, scaleEvery)
		case <-s.closed.Done():
			return
		}
	}
}

// usageMark is what a shard had taken when it was last looked at.
type usageMark struct{ bytes, records int64 }

// scaleOnce looks at every on-demand stream's last period and starts what it asks for.
func (s *Service) scaleOnce(last map[*shard]usageMark, period time.Duration) map[*shard]usageMark {
	seen := map[*shard]usageMark{}
	s.mu.RLock()
	var all []*stream
	for _, st := range s.streams {
		all = append(all, st)
	}
	s.mu.RUnlock()
	for _, st := range all {
		d, r := st.doc.Load(), st.route.Load()
		if d == nil || r == nil || d.Mode != kinesis.StreamModeOnDemand {
			continue
		}
		var hot []*shard
		var bytesPerSec int64
		known := true
		for _, sh := range r.shards {
			now := usageMark{sh.usage.bytes.Load(), sh.usage.records.Load()}
			seen[sh] = now
			was, ok := last[sh]
			if !ok {
				known = false
				continue
			}
			b := float64(now.bytes-was.bytes) / period.Seconds()
			n := float64(now.records-was.records) / period.Seconds()
			b = max(b, n*writeBytesPerSec/writeRecordsPerSec) // many records count as many bytes do
			bytesPerSec += int64(b)
			if b > splitAbove*s.shardBytesPerSec() {
				hot = append(hot, sh)
			}
		}
		if err := s.scaleStream(st, hot, bytesPerSec, known); err != nil && s.closed.Err() == nil {
			s.cfg.Logger.Warn("cannot scale an on-demand stream", "stream", d.Name, "err", err)
		}
	}
	return seen
}

// shardBytesPerSec is what a shard takes under the server's limits, AWS's if they are off.
func (s *Service) shardBytesPerSec() float64 {
	if s.cfg.Limits < 0 {
		return writeBytesPerSec
	}
	return writeBytesPerSec * s.cfg.Limits
}

func (s *Service) scaleStream(st *stream, hot []*shard, bytesPerSec int64, known bool) error {
	now := s.now()
	d := st.doc.Load()
	peakOver := now.Sub(time.UnixMilli(d.PeakAt)) > peakLifetime
	newPeak := bytesPerSec > d.PeakBytesPerSec || peakOver && d.PeakBytesPerSec > bytesPerSec
	open := len(st.route.Load().shards)
	shrink := known && len(hot) == 0 && open > max(onDemandShards, int(d.WarmMiBps)) &&
		now.Sub(time.UnixMilli(d.PeakAt)) > 24*time.Hour &&
		float64(d.PeakBytesPerSec) < mergeBelow*s.shardBytesPerSec()*float64(open)/2
	if len(hot) == 0 && !newPeak && !shrink {
		return nil
	}
	return s.update(s.closed, st, func(c *change) error {
		if newPeak {
			c.doc.PeakBytesPerSec, c.doc.PeakAt = bytesPerSec, now.UnixMilli()
		}
		if c.doc.Status != kinesis.StreamStatusActive || c.doc.Mode != kinesis.StreamModeOnDemand {
			return nil
		}
		switch {
		case len(hot) > 0:
			if s.shardQuota(s.quota(c.doc.Account, c.doc.Region), c.doc.Account, c.doc.Region, len(hot)) != nil {
				return nil // at the quota: throttling says the rest
			}
			c.doc.Reshard = &reshardDoc{Hot: indexes(hot)}
		case shrink:
			// Not held to the quota: it gives shards back.
			target := max(onDemandShards, int(c.doc.WarmMiBps), (open+1)/2)
			c.doc.Reshard = &reshardDoc{Target: target, Peak: mostOpen(rangesOf(st.route.Load().shards), target)}
		default:
			return nil
		}
		// Unlike a reshard that was asked for, this one does not show: an
		// on-demand stream stays ACTIVE.
		c.doc.Due = now.UnixMilli()
		return s.touchAccount(c, c.doc.Account, c.doc.Region)
	})
}

func indexes(shards []*shard) []uint32 {
	out := make([]uint32, len(shards))
	for i, sh := range shards {
		out[i] = sh.index
	}
	return out
}
