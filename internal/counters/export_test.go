package counters

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// EncodeHeader returns a header with this JSON.
func EncodeHeader(text []byte) []byte { return encodeHeader(text) }

// BlockAt returns where the i-th block is in a file.
func (l *Layout) BlockAt(i int) int64 { return l.offset(i) }

// Unmap lets go of the memory of a table that nobody uses any more.
func (t *Table) Unmap() {
	_ = t.Close()
	size := uintptr(t.layout.chunkBytes())
	all := append([]*Block{}, t.free...)
	for _, b := range t.blocks {
		all = append(all, b)
	}
	for _, b := range all {
		if b.head != nil && b.index%t.layout.blocksInChunk() == 0 {
			_ = unix.MunmapPtr(unsafe.Pointer(&b.head[0]), size)
		}
	}
}
