package logs

import (
	"context"
	"errors"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
)

// clearedMax is how many streams are forgotten at a time to make room.
const clearedMax = 100

// withRoom does what takes memory for names. If there is none, streams that hold
// nothing any more are forgotten, and it is done again.
func (s *Service) withRoom(ctx context.Context, do func() error) error {
	err := do()
	if !rheo.IsCode(err, api.LimitExceededException) {
		return err
	}
	if cleared, clearErr := s.clearStreams(ctx); clearErr != nil || cleared == 0 {
		return errors.Join(err, clearErr)
	}
	return do()
}

// clearStreams forgets streams that were made, and got their last event, before all
// that their group's retention keeps: functions make a stream for each of their
// instances, and nobody deletes them.
func (s *Service) clearStreams(ctx context.Context) (cleared int, err error) {
	s.clearing.Lock()
	defer s.clearing.Unlock()
	var steps []step
	s.machine.view().groups.Scan(func(key string, g *group) bool {
		gl := s.logs.get(g.doc.ID)
		if g.doc.Days == 0 || gl == nil {
			return true
		}
		expired := s.expired(&g.doc)
		err = s.logs.look(ctx, gl, func(x *index) {
			g.streams.Scan(func(name string, sm stream) bool {
				if f := x.streams[sm.number]; sm.created < expired && (f == nil || f.last < expired) {
					steps = append(steps, step{kind: dropStream, group: key, id: g.doc.ID, name: name, number: sm.number})
				}
				return len(steps) < clearedMax
			})
		})
		return err == nil && len(steps) < clearedMax
	})
	for i := 0; i < len(steps) && err == nil; i++ {
		switch err = s.machine.commit(ctx, steps[i], true); {
		case err == nil:
			cleared++
		case errors.Is(err, errConflict): // somebody else deleted it
			err = nil
		}
	}
	if cleared > 0 {
		s.logger.Info("log streams whose events have all expired were forgotten to make room for others", "streams", cleared)
	}
	return cleared, err
}
