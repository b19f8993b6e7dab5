package logs

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/rheostream/rheo/internal/keys"
)

// Blobs of more than one piece are frames, each sealed for itself:
//
//	blob   magic | version u8 | offset u64 | frames | 0 u32 | crc32c u32 of all before it
//	frame  length u32 | key epoch u32 | body, sealed
const (
	frameBytes    = 256 << 10 // a frame is closed when it has as many
	frameBytesMax = 16 << 20  // no piece makes one so large
)

// A frameWriter seals what is appended to its body into frames.
type frameWriter struct {
	buffered *bufio.Writer
	sum      hash.Hash32
	sealer   keys.Sealer
	purpose  string
	body     []byte
	err      error
}

func newFrameWriter(w io.Writer, magic string, version byte, offset uint64, sealer keys.Sealer, purpose string) *frameWriter {
	fw := &frameWriter{buffered: bufio.NewWriterSize(w, 64<<10), sum: crc32.New(castagnoli), sealer: sealer, purpose: purpose}
	fw.write(binary.LittleEndian.AppendUint64(append([]byte(magic), version), offset))
	return fw
}

func (fw *frameWriter) write(b []byte) {
	if fw.err == nil {
		fw.sum.Write(b)
		_, fw.err = fw.buffered.Write(b)
	}
}

// frame writes what there is if it is at least so much. It says false after an error.
func (fw *frameWriter) frame(least int) bool {
	if len(fw.body) < least || fw.err != nil {
		return fw.err == nil
	}
	sealed, epoch, err := fw.sealer.Seal(fw.purpose, fw.body)
	if err != nil {
		fw.err = fmt.Errorf("cannot seal: %w", err)
		return false
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(sealed)))
	fw.write(binary.LittleEndian.AppendUint32(head, epoch))
	fw.write(sealed)
	fw.body = fw.body[:0]
	return fw.err == nil
}

// end writes the rest.
func (fw *frameWriter) end() error {
	fw.frame(1)
	fw.write(make([]byte, 4))
	if fw.err != nil {
		return fw.err
	}
	if _, err := fw.buffered.Write(binary.LittleEndian.AppendUint32(nil, fw.sum.Sum32())); err != nil {
		return err
	}
	return fw.buffered.Flush()
}

// readFrames gives the body of each frame to take, which may keep none of it. What
// was taken is good only if there is no error at the end.
func readFrames(r io.Reader, magic string, version byte, sealer keys.Sealer, purpose string, take func(body []byte) error) (offset uint64, err error) {
	fr := frameReader{bufio.NewReaderSize(r, 64<<10), crc32.New(castagnoli)}
	head, err := fr.read(len(magic) + 9)
	if err != nil {
		return 0, err
	}
	if string(head[:len(magic)]) != magic {
		return 0, errDamaged
	}
	if v := head[len(magic)]; v != version {
		return 0, fmt.Errorf("version %d: %w", v, errNewer)
	}
	offset = binary.LittleEndian.Uint64(head[len(magic)+1:])
	for {
		length, err := fr.read(4)
		if err != nil {
			return 0, err
		}
		n := binary.LittleEndian.Uint32(length)
		if n == 0 {
			break
		}
		if n > frameBytesMax {
			return 0, errDamaged
		}
		rest, err := fr.read(4 + int(n))
		if err != nil {
			return 0, err
		}
		body, err := sealer.Open(purpose, rest[4:], binary.LittleEndian.Uint32(rest))
		if err != nil {
			return 0, fmt.Errorf("cannot open what was sealed: %w", err)
		}
		if err := take(body); err != nil {
			return 0, err
		}
	}
	want := fr.sum.Sum32()
	have, err := fr.read(4)
	if err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(have) != want {
		return 0, errDamaged
	}
	return offset, nil
}

// A frameReader sums what it read.
type frameReader struct {
	r   io.Reader
	sum hash.Hash32
}

func (fr *frameReader) read(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(fr.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errDamaged
		}
		return nil, err
	}
	fr.sum.Write(b)
	return b, nil
}
