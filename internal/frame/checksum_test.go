package frame_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"vswitch/internal/frame"
	"vswitch/test/lab/seed"
)

func TestSumAgainstNaive(t *testing.T) {
	t.Parallel()
	r := seed.New(t)
	for n := range 300 {
		for range 20 {
			// Runs of 0xff and 0x00 are what makes carries ripple.
			b := randomBytes(r, n)
			if n > 0 && r.IntN(2) == 0 {
				from := r.IntN(n)
				copy(b[from:], bytes.Repeat([]byte{byte(-r.IntN(2))}, n-from))
			}
			initial := uint16(r.Uint32())
			if got, want := frame.Sum(b, initial), naiveSum(b, initial); got != want {
				t.Fatalf("Sum(%x, %#x) = %#x, want %#x", b, initial, got, want)
			}
		}
	}
}

// The corners of one's complement: all bits set, where every addition carries,
// and zero, which only zeros may give.
func TestSumCorners(t *testing.T) {
	t.Parallel()
	lens := []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 1500, 65535, 65536}
	for _, n := range lens {
		zeros, ones := make([]byte, n), bytes.Repeat([]byte{0xff}, n)
		if got := frame.Sum(zeros, 0); got != 0 {
			t.Errorf("%d zeros: %#x, want 0", n, got)
		}
		for _, initial := range []uint16{1, 0x8000, 0xfffe, 0xffff} {
			if got := frame.Sum(zeros, initial); got != initial {
				t.Errorf("%d zeros and %#x: %#x", n, initial, got)
			}
			if got, want := frame.Sum(ones, initial), naiveSum(ones, initial); got == 0 || got != want {
				t.Errorf("%d ones and %#x: %#x, want %#x", n, initial, got, want)
			}
		}
		for i := range min(n, 70) {
			one := make([]byte, n)
			one[i] = 1
			if got, want := frame.Sum(one, 0xffff), naiveSum(one, 0); got != want {
				t.Errorf("0xffff and a 1 at %d of %d: %#x, want %#x", i, n, got, want)
			}
		}
	}
}

// Words whose partial sums overflow again when the carry is folded in.
func TestSumFolding(t *testing.T) {
	t.Parallel()
	for _, words := range [][]uint64{
		{0x0000_0100_ffff_ffff},
		{0xffff_ffff_0000_0100},
		{0x0001_0000_ffff_ffff},
		{0xffff_ffff_ffff_ffff, 1},
		{0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff},
		{0xffff_ffff_ffff_ffff, 0x0100_0000_0000_0000},
		{0xffff_ffff_0001_0000, 0, 0, 0xffff_0000_0000_0000},
		{0xfeff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x0200},
	} {
		var b []byte
		for _, w := range words {
			b = binary.BigEndian.AppendUint64(b, w)
		}
		for _, initial := range []uint16{0, 1, 0xfffe, 0xffff} {
			if got, want := frame.Sum(b, initial), naiveSum(b, initial); got != want {
				t.Errorf("Sum(%x, %#x) = %#x, want %#x", b, initial, got, want)
			}
		}
	}
}

func TestSumInParts(t *testing.T) {
	t.Parallel()
	b := pattern(201)
	for cut := 0; cut <= len(b); cut += 2 {
		if got, want := frame.Sum(b[cut:], frame.Sum(b[:cut], 5)), frame.Sum(b, 5); got != want {
			t.Errorf("cut at %d: %#x, want %#x", cut, got, want)
		}
	}
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 60, 1460, 65000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			buf := pattern(n)
			b.SetBytes(int64(n))
			for b.Loop() {
				frame.Sum(buf, 0)
			}
		})
	}
}
