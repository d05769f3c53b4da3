package counters

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc64"
	"sync/atomic"
	"time"
)

// ID says what a block counts.
type ID [sha256.Size]byte

// NewID returns the ID of a thing of some kind that has this name among those.
func NewID(kind, name string) ID { return sha256.Sum256([]byte(kind + "\x00" + name)) }

// Block is the counters of one thing.
type Block struct {
	// Words are the shares, one after another.
	Words []atomic.Uint64

	since time.Time
	head  []atomic.Uint64 // in the file; nil: the block is in memory that ends with the process
	index int             // in the file
	taken bool
}

// Since is when the block began to count, from zero.
func (b *Block) Since() time.Time { return b.since }

// The words of a block's head: its ID, when it began in nanoseconds since 1970, and the checksum
// of both. A block whose checksum is wrong is free.
const (
	idWords   = sha256.Size / wordBytes
	sinceWord = idWords
	sumWord   = idWords + 1
)

// head is what a block's head says.
type head struct {
	id    ID
	since int64
	sum   uint64
}

// checksum is the one that the head of the i-th block should have: that of a copy elsewhere in
// the file is wrong.
func (h *head) checksum(i int) uint64 {
	b := append(make([]byte, 0, 64), h.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.since))
	b = binary.LittleEndian.AppendUint64(b, uint64(i))
	return max(1, crc64.Checksum(b, crcTable)) // 0 is free for certain
}

// valid reports whether the head is that of an i-th block which counts something.
func (h *head) valid(i int) bool { return h.since > 0 && h.sum == h.checksum(i) }

// readHead reads a head through a function that returns its words.
func readHead(word func(i int) uint64) head {
	var h head
	for i := range idWords {
		binary.LittleEndian.PutUint64(h.id[i*wordBytes:], word(i))
	}
	h.since, h.sum = int64(word(sinceWord)), word(sumWord)
	return h
}

// begin has the block count something from zero. A process that dies meanwhile leaves a block
// that is free.
func (b *Block) begin(id ID, since time.Time) {
	b.end()
	for i := range b.Words {
		b.Words[i].Store(0)
	}
	b.since, b.taken = time.Unix(0, since.UnixNano()).UTC(), true
	if b.head == nil {
		return
	}
	h := head{id: id, since: b.since.UnixNano()}
	for i := range idWords {
		b.head[i].Store(binary.LittleEndian.Uint64(id[i*wordBytes:]))
	}
	b.head[sinceWord].Store(uint64(h.since))
	b.head[sumWord].Store(h.checksum(b.index))
}

// end has the block count nothing any more.
func (b *Block) end() {
	if b.head != nil {
		b.head[sumWord].Store(0)
	}
	b.taken = false
}
