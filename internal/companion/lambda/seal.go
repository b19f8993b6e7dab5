package lambda

import (
	"encoding/json"
	"fmt"

	"github.com/rheostream/rheo/internal/keys"
)

// What is sealed, by the purpose that its Sealer is told.
const (
	sealEnvironment = "lambda/environment"
	sealCode        = "lambda/code"
	sealEvent       = "lambda/event"
	sealCheckpoint  = "lambda/checkpoint"
)

// A sealed is a value inside a document that is not kept in plain.
type sealed struct {
	Epoch uint32 // of the key
	Bytes []byte // of the value as JSON
}

func seal(sealer keys.Sealer, purpose string, v any) (*sealed, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b, epoch, err := sealer.Seal(purpose, plain)
	if err != nil {
		return nil, fmt.Errorf("lambda: cannot seal: %w", err)
	}
	return &sealed{epoch, b}, nil
}

func (s *sealed) open(sealer keys.Sealer, purpose string, v any) error {
	plain, err := sealer.Open(purpose, s.Bytes, s.Epoch)
	if err == nil {
		err = json.Unmarshal(plain, v)
	}
	if err != nil {
		return fmt.Errorf("lambda: cannot open what was sealed: %w", err)
	}
	return nil
}

// environment is what a version's variables are; nil if it has none.
func (s *Service) environment(v *versionDoc) (map[string]string, error) {
	if v.Environment == nil {
		return nil, nil
	}
	vars := make(map[string]string)
	return vars, v.Environment.open(s.cfg.Sealer, sealEnvironment, &vars)
}
