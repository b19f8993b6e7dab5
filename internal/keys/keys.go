// Package keys is where bytes are encrypted on their way to the disk.
//
// Whoever keeps what a user would not show to a finder of the disk (items of
// tables, objects, code of functions, metrics) seals it: each piece is given to a
// [Sealer] with a purpose, and is stored with the epoch that the Sealer answers.
// The epoch names the key, and is part of every format from its first version on,
// so that keys can come, and change, without anything being written again.
//
// There are no keys yet: [Identity] is the Sealer of epoch 0, which leaves bytes as
// they are.
package keys

import "fmt"

// A Sealer encrypts pieces of at most a few MiB. Its methods may be called
// concurrently.
type Sealer interface {
	// Seal returns plain in sealed form and the epoch of the key that it took.
	// purpose says what the bytes are, and is bound to them: what was sealed for
	// one purpose cannot be passed off for another. plain stays as it is; sealed
	// may be the same bytes.
	Seal(purpose string, plain []byte) (sealed []byte, epoch uint32, err error)
	// Open returns what Seal was given. Bytes that were not sealed by that
	// epoch's key for that purpose are an error.
	Open(purpose string, sealed []byte, epoch uint32) (plain []byte, err error)
}

// Identity is the Sealer of epoch 0, which has no key.
type Identity struct{}

// Seal returns plain itself.
func (Identity) Seal(_ string, plain []byte) ([]byte, uint32, error) { return plain, 0, nil }

// Open returns sealed itself; an error for every epoch but 0.
func (Identity) Open(_ string, sealed []byte, epoch uint32) ([]byte, error) {
	if epoch != 0 {
		return nil, fmt.Errorf("sealed with the key of epoch %d, and there are no keys", epoch)
	}
	return sealed, nil
}
