package keys_test

import (
	"testing"

	"github.com/rheostream/rheo/internal/keys"
)

func TestIdentity(t *testing.T) {
	var s keys.Sealer = keys.Identity{}
	sealed, epoch, err := s.Seal("test/piece", []byte("plain"))
	if err != nil || epoch != 0 {
		t.Fatalf("Seal: epoch %d, %v", epoch, err)
	}
	if plain, err := s.Open("test/piece", sealed, 0); err != nil || string(plain) != "plain" {
		t.Errorf("Open: %q, %v", plain, err)
	}
	if _, err := s.Open("test/piece", sealed, 1); err == nil {
		t.Error("Open took bytes of an epoch that has no key")
	}
}
