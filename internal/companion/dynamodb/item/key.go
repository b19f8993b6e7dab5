package item

import "strings"

// AppendKey appends a string, number or binary so that the bytes sort as the
// values do, and so that what is appended behind does not matter before they are
// equal:
//
//	S, B   the bytes, 0 as 0 255; then 0 1
//	N      0x80 for zero
//	       0x81 | exponent + 129 | digits | 0            above
//	       0x7f | 126 - exponent | 255 - digits | 255    below
func AppendKey(dst []byte, v Value) []byte {
	switch v.Type {
	case S, B:
		for rest := v.Text; ; {
			i := strings.IndexByte(rest, 0)
			if i < 0 {
				dst = append(dst, rest...)
				break
			}
			dst = append(dst, rest[:i]...)
			dst = append(dst, 0, 255)
			rest = rest[i+1:]
		}
		return append(dst, 0, 1)
	case N:
		n := v.Num
		switch {
		case n.Digits == "":
			return append(dst, 0x80)
		case n.Neg:
			dst = append(dst, 0x7f, byte(expMax-int(n.Exp)))
			for i := range len(n.Digits) {
				dst = append(dst, 255-n.Digits[i])
			}
			return append(dst, 255)
		}
		dst = append(dst, 0x81, byte(int(n.Exp)-expMin))
		dst = append(dst, n.Digits...)
		return append(dst, 0)
	}
	return dst
}

// AppendKeyPrefix appends what the keys of all strings or binaries that begin
// with v begin with.
func AppendKeyPrefix(dst []byte, v Value) []byte {
	dst = AppendKey(dst, v)
	return dst[:len(dst)-2]
}
