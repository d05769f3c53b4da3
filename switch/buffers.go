package vswitch

import "math/bits"

// buffers are a worker's for frames that wait. They have sizes of powers of two, so that one
// is good for another frame, and a small frame takes little.
type buffers struct {
	free [largestBuffer - smallestBuffer + 1][][]byte // by size
	kept int                                          // bytes in free
}

// Sizes of buffers, as powers of two, and how many bytes of them a worker keeps that no frame
// is in.
const (
	smallestBuffer = 7
	largestBuffer  = 17 // bufferSize
	keptBytes      = 1 << 20
)

// bufferPower is the power of two that is the size of a buffer for n bytes.
func bufferPower(n int) int { return max(bits.Len(uint(max(n, 1)-1)), smallestBuffer) }

// bufferLen is the size of a buffer for n bytes.
func bufferLen(n int) int { return 1 << bufferPower(n) }

// take returns a buffer for n bytes, with n bytes in it.
func (p *buffers) take(n int) []byte {
	free := &p.free[bufferPower(n)-smallestBuffer]
	last := len(*free) - 1
	if last < 0 {
		return make([]byte, n, bufferLen(n))
	}
	b := (*free)[last]
	(*free)[last] = nil
	*free = (*free)[:last]
	p.kept -= cap(b)
	return b[:n]
}

// give returns a buffer that take has given.
func (p *buffers) give(b []byte) {
	if p.kept+cap(b) > keptBytes {
		return
	}
	free := &p.free[bufferPower(cap(b))-smallestBuffer]
	*free = append(*free, b)
	p.kept += cap(b)
}
