package shardlog

import (
	"errors"
	"fmt"
)

// A journal file starts with one header block; commit blocks follow. All start
// on blockAlign. The pictures are in doc.go.
const (
	blockAlign        = 4 << 10
	blockHeader       = 64
	blockMagic        = 0x314b4c42 // "BLK1"
	blockVersion      = 1
	fileHeaderBytes   = 64
	fileHeaderMagic   = 0x314c4e4a4f454852 // "RHEOJNL1"
	fileHeaderVersion = 1
)

var errBlock = errors.New("not a commit block")

func alignUp(n int) int { return (n + blockAlign - 1) &^ (blockAlign - 1) }

// block is the header of a commit block.
type block struct {
	gen    uint64 // of the file's current use
	group  uint64 // one more than the block before
	length uint32 // bytes of frames after the header
	count  uint32 // frames
	digest uint64 // sum of mix over the frames
}

func (k *block) put(b []byte) {
	clear(b[:blockHeader])
	le.PutUint32(b, blockMagic)
	le.PutUint32(b[8:], blockVersion)
	le.PutUint32(b[12:], k.count)
	le.PutUint64(b[16:], k.gen)
	le.PutUint64(b[24:], k.group)
	le.PutUint64(b[32:], k.digest)
	le.PutUint32(b[40:], k.length)
	le.PutUint32(b[4:], checksum(b[8:blockHeader]))
}

// parseBlock parses a commit block's header.
func parseBlock(b []byte) (block, error) {
	if len(b) < blockHeader || le.Uint32(b) != blockMagic {
		return block{}, errBlock
	}
	if checksum(b[8:blockHeader]) != le.Uint32(b[4:]) {
		return block{}, fmt.Errorf("%w: header checksum differs", errBlock)
	}
	if v := le.Uint32(b[8:]); v != blockVersion {
		return block{}, fmt.Errorf("%w: version %d is newer than this program", errBlock, v)
	}
	return block{
		gen: le.Uint64(b[16:]), group: le.Uint64(b[24:]), length: le.Uint32(b[40:]),
		count: le.Uint32(b[12:]), digest: le.Uint64(b[32:]),
	}, nil
}

// size is the block's place in the file, padding included.
func (k *block) size() int { return alignUp(blockHeader + int(k.length)) }

// check verifies the frames of a block, each and all together.
func (k *block) check(payload []byte) error {
	if len(payload) != int(k.length) {
		return fmt.Errorf("%w: cut short", errBlock)
	}
	var digest uint64
	var count uint32
	for at := 0; at < len(payload); count++ {
		f, err := parseFrame(payload[at:])
		if err != nil {
			return fmt.Errorf("%w: frame at %d: %w", errBlock, at, err)
		}
		digest += mix(at, le.Uint32(payload[at:]))
		at += f.size
	}
	if count != k.count || digest != k.digest {
		return fmt.Errorf("%w: %d frames where %d were written, or others", errBlock, count, k.count)
	}
	return nil
}

// fileHeader opens one use of a journal file.
type fileHeader struct {
	gen uint64 // random, new for every use: tells this use's blocks from older ones
	use uint64 // counts the uses of all journal files
	// The use that this one continues, and the last group in it that counts:
	// whatever follows that group there was never acknowledged.
	prevUse, prevGen, prevGroup uint64
}

func (h *fileHeader) put(b []byte) {
	clear(b[:fileHeaderBytes])
	le.PutUint64(b, fileHeaderMagic)
	le.PutUint32(b[12:], fileHeaderVersion)
	le.PutUint64(b[16:], h.gen)
	le.PutUint64(b[24:], h.use)
	le.PutUint64(b[32:], h.prevUse)
	le.PutUint64(b[40:], h.prevGen)
	le.PutUint64(b[48:], h.prevGroup)
	le.PutUint32(b[8:], checksum(b[12:fileHeaderBytes]))
}

var errFileHeader = errors.New("journal file header is damaged")

func parseFileHeader(b []byte) (fileHeader, error) {
	if len(b) < fileHeaderBytes {
		return fileHeader{}, errFileHeader
	}
	if le.Uint64(b) != fileHeaderMagic || checksum(b[12:fileHeaderBytes]) != le.Uint32(b[8:]) {
		return fileHeader{}, errFileHeader
	}
	if v := le.Uint32(b[12:]); v != fileHeaderVersion {
		return fileHeader{}, fmt.Errorf("journal file version %d is newer than this program", v)
	}
	return fileHeader{
		gen: le.Uint64(b[16:]), use: le.Uint64(b[24:]), prevUse: le.Uint64(b[32:]),
		prevGen: le.Uint64(b[40:]), prevGroup: le.Uint64(b[48:]),
	}, nil
}
