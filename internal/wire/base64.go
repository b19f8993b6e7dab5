package wire

import (
	"encoding/base64"
	"slices"

	simd "github.com/segmentio/asm/base64"
)

// Base64 is most of what a put or a get costs us in CPU. The vector instructions
// of this library do it several times as fast as encoding/base64, which takes
// over at the first byte that is not plain: the two agree on all input.
var vectorBase64 = simd.StdEncoding.Strict()

// appendBase64 appends the base64 of src to dst.
func appendBase64(dst, src []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(src))
	dst = slices.Grow(dst, n)
	vectorBase64.Encode(dst[len(dst):len(dst)+n], src)
	return dst[:len(dst)+n]
}
