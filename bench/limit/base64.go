package main

import (
	"encoding/base64"
	"encoding/binary"
)

// Standard base64 by tables, since half of a put's and most of a get's time is
// base64: the standard library's, which checks for newlines and other
// alphabets, is half as fast.

const (
	alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	invalid  = 1 << 31
)

var (
	// decodeTable holds a character's six bits, shifted to its place in a group of four.
	decodeTable [4][256]uint32
	// encodeTable holds the two characters of twelve bits.
	encodeTable [1 << 12]uint16
)

func init() {
	for place := range decodeTable {
		for c := range decodeTable[place] {
			decodeTable[place][c] = invalid
		}
		for v, c := range []byte(alphabet) {
			decodeTable[place][c] = uint32(v) << (18 - 6*place)
		}
	}
	for v := range encodeTable {
		encodeTable[v] = uint16(alphabet[v>>6])<<8 | uint16(alphabet[v&63])
	}
}

// decode returns the length of what src, padded base64, decodes to. It may
// write up to two bytes behind that.
func decode(dst, src []byte) (int, error) {
	n := 0
	t := &decodeTable
	for len(src) > 8 && len(dst) >= n+8 {
		s := src[:8:8]
		a := t[0][s[0]] | t[1][s[1]] | t[2][s[2]] | t[3][s[3]]
		b := t[0][s[4]] | t[1][s[5]] | t[2][s[6]] | t[3][s[7]]
		if (a|b)&invalid != 0 {
			break // the standard library has the error for it
		}
		binary.BigEndian.PutUint64(dst[n:], uint64(a)<<40|uint64(b)<<16)
		n += 6
		src = src[8:]
	}
	last, err := base64.StdEncoding.Decode(dst[n:], src)
	return n + last, err
}

// appendEncode appends src as padded base64.
func appendEncode(dst, src []byte) []byte {
	at := len(dst)
	whole := len(src) / 6 * 6
	need := base64.StdEncoding.EncodedLen(len(src))
	for cap(dst)-at < need {
		dst = append(dst[:cap(dst)], 0)
	}
	dst = dst[:at+whole/3*4]
	out := dst[at:]
	for in := src[:whole]; len(in) > 0; {
		var v uint64
		if len(in) >= 8 {
			v = binary.BigEndian.Uint64(in) >> 16
		} else {
			v = uint64(binary.BigEndian.Uint32(in))<<16 | uint64(binary.BigEndian.Uint16(in[4:]))
		}
		binary.BigEndian.PutUint64(out, uint64(encodeTable[v>>36])<<48|uint64(encodeTable[v>>24&0xfff])<<32|
			uint64(encodeTable[v>>12&0xfff])<<16|uint64(encodeTable[v&0xfff]))
		in, out = in[6:], out[8:]
	}
	return base64.StdEncoding.AppendEncode(dst, src[whole:])
}
