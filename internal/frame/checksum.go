package frame

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the 16-bit big-endian words of b to initial in one's complement
// (RFC 1071); an odd last byte counts as the high half of a word. The checksum
// to send is the complement of the result. The result is 0 only if initial and
// every byte are 0.
//
// The words are added as little-endian numbers and the sum is swapped at the
// end, which gives the same (RFC 1071 §2, part B) and saves a swap per word.
func Sum(b []byte, initial uint16) uint16 {
	sum, carry := uint64(bits.ReverseBytes16(initial)), uint64(0)
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), carry)
		b = b[8:]
	}
	// Less than 8 bytes are left, and 2^64-1 is a multiple of 2^16-1: carries
	// out of the top come back at the bottom.
	if len(b) >= 4 {
		sum, carry = bits.Add64(sum, uint64(binary.LittleEndian.Uint32(b)), carry)
		b = b[4:]
	}
	if len(b) >= 2 {
		sum, carry = bits.Add64(sum, uint64(binary.LittleEndian.Uint16(b)), carry)
		b = b[2:]
	}
	if len(b) == 1 {
		sum, carry = bits.Add64(sum, uint64(b[0]), carry)
	}
	// An addition that carries leaves at most 2^64-2, so this one doesn't.
	return bits.ReverseBytes16(fold(sum + carry))
}

// fold adds the four 16-bit words of sum in one's complement.
func fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff // at most 33 bits
	sum = sum>>32 + sum&0xffffffff // 32
	sum = sum>>16 + sum&0xffff     // 17
	sum = sum>>16 + sum&0xffff     // 16
	return uint16(sum)
}
