package counters

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"slices"
	"sync/atomic"
)

// LineWords is the number of words in 128 bytes, which processors fetch together: a share has a
// multiple of it.
const LineWords = 16

// Layout says what the blocks of a table hold.
type Layout struct {
	Names  []string // of the counters of a share, in the order of its words
	Words  int      // of a share, a multiple of LineWords; those without a name are not used
	Shares int      // of a block, one for each thread that counts
	Blocks int      // the most that a table may have
	// Recover prepares the words of a block whose process has ended, in whatever way, to count
	// on; false: they cannot be what they are said to be. Nil takes any.
	Recover func(words []atomic.Uint64) bool
}

// Bounds of a layout in a file.
const (
	maxShares = 4096
	maxWords  = 1024 // of a share
)

// check reports what is wrong with the layout of a file or of our own.
func (l *Layout) check() error {
	switch {
	case l.Shares < 1 || l.Shares > maxShares:
		return fmt.Errorf("%d shares: want 1 to %d", l.Shares, maxShares)
	case l.Words < 1 || l.Words > maxWords || l.Words%LineWords != 0:
		return fmt.Errorf("%d words: want a multiple of %d up to %d", l.Words, LineWords, maxWords)
	case len(l.Names) == 0 || len(l.Names) > l.Words:
		return fmt.Errorf("%d names: want 1 to %d, as many as words", len(l.Names), l.Words)
	case len(unique(l.Names)) != len(l.Names):
		return errors.New("two counters of the same name")
	}
	return nil
}

func unique(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// same reports whether blocks of both layouts look alike.
func (l *Layout) same(m *Layout) bool {
	return l.Words == m.Words && l.Shares == m.Shares && slices.Equal(l.Names, m.Names)
}

// The file is a header of chunkUnit bytes, and behind it chunks of blocks that do not straddle
// two of them. A block is headWords words and its shares.
const (
	wordBytes = 8
	chunkUnit = 64 << 10 // a multiple of every page size
	headWords = LineWords
)

// blockBytes is the size of a block.
func (l *Layout) blockBytes() int { return (headWords + l.Shares*l.Words) * wordBytes }

// chunkBytes is the size of a chunk.
func (l *Layout) chunkBytes() int {
	return (l.blockBytes() + chunkUnit - 1) / chunkUnit * chunkUnit
}

// blocksInChunk is the number of blocks in a chunk.
func (l *Layout) blocksInChunk() int { return l.chunkBytes() / l.blockBytes() }

// offset is where in the file the i-th block is.
func (l *Layout) offset(i int) int64 {
	n := l.blocksInChunk()
	return chunkUnit + int64(i/n)*int64(l.chunkBytes()) + int64(i%n)*int64(l.blockBytes())
}

// maxChunks is how many chunks a table may have.
func (l *Layout) maxChunks() int {
	n := l.blocksInChunk()
	return (l.Blocks + n - 1) / n
}

// The header: a magic number with the version of all that is not in the JSON, the length of the
// JSON and its checksum, and the JSON.
const (
	magic       = "vscount1"
	headerFixed = len(magic) + 8 + 8
)

// headerJSON is what the header says.
type headerJSON struct {
	Names  []string `json:"names"`
	Words  int      `json:"words"`
	Shares int      `json:"shares"`
}

var crcTable = crc64.MakeTable(crc64.ECMA)

// header is the header of a file with this layout.
func (l *Layout) header() ([]byte, error) {
	text, err := json.Marshal(headerJSON{l.Names, l.Words, l.Shares})
	if err != nil {
		return nil, err
	}
	return encodeHeader(text), nil
}

func encodeHeader(text []byte) []byte {
	b := append([]byte{}, magic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(text)))
	b = binary.LittleEndian.AppendUint64(b, crc64.Checksum(text, crcTable))
	return append(b, text...)
}

// readLayout reads the layout of the blocks in a file.
func readLayout(r io.ReaderAt) (*Layout, error) {
	fixed := make([]byte, headerFixed)
	if _, err := r.ReadAt(fixed, 0); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if string(fixed[:len(magic)]) != magic {
		return nil, errors.New("no counters of a version that is known")
	}
	length := binary.LittleEndian.Uint64(fixed[len(magic):])
	if length > uint64(chunkUnit-headerFixed) {
		return nil, fmt.Errorf("a header of %d bytes", length)
	}
	text := make([]byte, length)
	if _, err := r.ReadAt(text, int64(headerFixed)); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if crc64.Checksum(text, crcTable) != binary.LittleEndian.Uint64(fixed[len(magic)+8:]) {
		return nil, errors.New("the header's checksum is wrong")
	}
	var h headerJSON
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	l := &Layout{Names: h.Names, Words: h.Words, Shares: h.Shares}
	return l, l.check()
}
