package rheo

import (
	"errors"

	"github.com/rheostream/rheo/internal/companion/lambda"
)

// localFunctions is the runner of functions as processes of this machine.
func (s *Server) localFunctions(Config, []Key) (lambda.Runner, error) {
	return nil, errors.New("this build cannot run functions as processes of this machine; --lambda=URL invokes them at another Lambda endpoint")
}
