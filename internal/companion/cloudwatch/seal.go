package cloudwatch

import "fmt"

// A Sealer encrypts what goes to the log and to blobs. Each sealed piece names the
// epoch of its key: keys can change without anything being written again. Its
// methods may be called concurrently.
type Sealer interface {
	// Seal returns plain in sealed form and the epoch of the key that it took.
	// purpose says what the bytes are, and is bound to them. plain stays as it is.
	Seal(purpose string, plain []byte) (sealed []byte, epoch uint32, err error)
	// Open returns what Seal was given. Bytes that were not sealed by that
	// epoch's key for that purpose are an error.
	Open(purpose string, sealed []byte, epoch uint32) (plain []byte, err error)
}

// What is sealed.
const (
	sealCommand  = "cloudwatch/command"
	sealManifest = "cloudwatch/manifest"
	sealSegment  = "cloudwatch/segment"
)

// plain is the Sealer of epoch 0, which has no key.
type plain struct{}

func (plain) Seal(_ string, b []byte) ([]byte, uint32, error) { return b, 0, nil }

func (plain) Open(_ string, b []byte, epoch uint32) ([]byte, error) {
	if epoch != 0 {
		return nil, fmt.Errorf("sealed with the key of epoch %d, and there are no keys", epoch)
	}
	return b, nil
}
