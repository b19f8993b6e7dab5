package s3

import (
	"context"
	"time"
)

// removeTimeout is how long the removal of one blob may take.
const removeTimeout = time.Minute

// remove removes a blob that nothing refers to. If it fails, the next start tries again.
func (s *Service) remove(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	if err := s.blobs.Delete(ctx, name); err != nil {
		s.logger.Warn("cannot remove what is left of an object; the next start will try again", "blob", name, "err", err)
	}
}

// removeLoop removes the blobs of objects that were replaced or deleted. It goes
// behind the commands; what it has not come to is left to the next sweep.
func (s *Service) removeLoop(ctx context.Context) {
	for {
		for _, name := range s.machine.takeFreed() {
			if ctx.Err() != nil {
				return
			}
			s.remove(name)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.machine.frees:
		}
	}
}

// sweepBatch is how many blobs are listed at a time.
const sweepBatch = 100_000

// sweep removes the blobs that nothing refers to: a crash between a blob and its
// command leaves one, and one before the removal of a blob does. It runs once,
// beside all else, and tells them from blobs whose command is still to come: a blob
// is underway from before it exists until its command was applied, so one that was
// listed, is not underway, and is not referred to in a view taken after that, will
// never be. (Of another process it could not know. There is none: who has the log
// has it alone.)
func (s *Service) sweep(ctx context.Context) {
	removed := 0
	for _, prefix := range [...]string{objectPrefix, partPrefix} {
		after := ""
		for {
			infos, err := s.blobs.List(ctx, prefix, after, sweepBatch)
			if err != nil {
				if ctx.Err() == nil {
					s.logger.Warn("cannot look for what is left of objects; the next start will try again", "err", err)
				}
				return
			}
			var maybe []string
			for _, i := range infos {
				if !s.underway.has(i.Name) {
					maybe = append(maybe, i.Name)
				}
			}
			if len(maybe) > 0 {
				referred := s.machine.view().referred()
				for _, name := range maybe {
					if !referred[name] && ctx.Err() == nil {
						s.remove(name)
						removed++
					}
				}
			}
			if len(infos) < sweepBatch {
				break
			}
			after = infos[len(infos)-1].Name
		}
	}
	if removed > 0 {
		s.logger.Info("removed what a crash had left of objects", "blobs", removed)
	}
}
