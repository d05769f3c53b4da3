package frame_test

import (
	"testing"

	"vswitch/internal/frame"
)

func TestMACMask(t *testing.T) {
	t.Parallel()
	r, err := frame.ParseMACMask("00:00:5E:00:01:00/ff:ff:ff:ff:ff:00")
	if err != nil || r.IsSingle() || r.Masked() != r ||
		r.String() != "00:00:5e:00:01:00/ff:ff:ff:ff:ff:00" {
		t.Errorf("got %s, %v", r, err)
	}
	for text, want := range map[string]bool{
		"00:00:5e:00:01:00": true, "00:00:5e:00:01:ff": true, "00:00:5e:00:02:00": false,
	} {
		m, err := frame.ParseMAC(text)
		if err != nil || r.Contains(m) != want {
			t.Errorf("%s is in %s: %v, want %v", text, r, r.Contains(m), want)
		}
		one := frame.SingleMAC(m)
		if !one.IsSingle() || one.String() != text || !one.Contains(m) ||
			one.Contains(frame.Broadcast) {
			t.Errorf("%s alone is %s", text, one)
		}
		var read frame.MACMask
		if b, err := one.MarshalText(); err != nil || read.UnmarshalText(b) != nil || read != one {
			t.Errorf("%s is read as %s", one, read)
		}
	}
	if r, err := frame.ParseMACMask("02:00:00:00:00:01/ff:ff:ff:00:00:00"); err != nil ||
		r.Masked() == r {
		t.Errorf("%s, %v has no bits outside its mask", r, err)
	}
	for _, text := range []string{"", "x", "02:00:00:00:00:01/", "02:00:00:00:00:01/24", "/ff:ff:ff:00:00:00"} {
		if err := new(frame.MACMask).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
