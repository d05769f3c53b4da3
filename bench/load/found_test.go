package load

import (
	"testing"
	"time"
)

func TestFramesFound(t *testing.T) {
	t.Parallel()
	f := FramesFound{
		Offered: 1000, Delivered: 950, Took: time.Second / 2, InTime: 900, Window: time.Second / 2,
	}
	if f.DeliveredRate() != 1800 || f.OfferedRate() != 2000 || f.Lost() != 50 || f.Flooded() {
		t.Errorf("%v delivered, %v offered, %d lost, flooded: %t",
			f.DeliveredRate(), f.OfferedRate(), f.Lost(), f.Flooded())
	}
	if copies := (FramesFound{Offered: 10, Copies: 7, Delivered: 69}); copies.Lost() != 1 {
		t.Errorf("%d lost of 70 copies of which 69 arrived", copies.Lost())
	}
	if more := (FramesFound{Offered: 10, Delivered: 11}); more.Lost() != 0 {
		t.Errorf("%d lost of fewer than arrived", more.Lost())
	}
	if stray := (FramesFound{Delivered: 1000, Strayed: 900}); !stray.Flooded() {
		t.Error("a flood was not noticed")
	}
}
