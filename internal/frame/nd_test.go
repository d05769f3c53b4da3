package frame_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// What gopacket makes of the messages is read back.
func TestParseND(t *testing.T) {
	t.Parallel()
	target := netip.MustParseAddr("fd00::7")
	source := layers.ICMPv6Option{Type: layers.ICMPv6OptSourceAddress, Data: srcMAC[:]}
	nonce := layers.ICMPv6Option{Type: 14, Data: []byte{1, 2, 3, 4, 5, 6}}
	options := layers.ICMPv6Options{nonce, source}
	for kind, body := range map[uint8]gopacket.SerializableLayer{
		frame.ICMPv6RouterSolicitation:     &layers.ICMPv6RouterSolicitation{Options: options},
		frame.ICMPv6NeighbourSolicitation:  &layers.ICMPv6NeighborSolicitation{TargetAddress: target.AsSlice(), Options: options},
		frame.ICMPv6NeighbourAdvertisement: &layers.ICMPv6NeighborAdvertisement{TargetAddress: target.AsSlice(), Options: options},
	} {
		b := exact(append([]byte{kind, 0, 0, 0}, switchtest.Layers(body)...))
		n, ok := frame.ParseND(b)
		if !ok || n.Type() != kind {
			t.Fatalf("type %d: % x does not parse", kind, b)
		}
		want := target
		if kind == frame.ICMPv6RouterSolicitation {
			want = netip.Addr{}
		}
		if n.Target() != want {
			t.Errorf("type %d: target %s, want %s", kind, n.Target(), want)
		}
		if !only(n, srcMAC) || only(n, dstMAC) {
			t.Errorf("type %d: the option's address is not seen", kind)
		}
		for cut := range len(b) {
			_, ok := frame.ParseND(exact(b[:cut]))
			if whole := (len(b) - cut) % 8; ok && whole != 0 || ok && cut < 8 {
				t.Errorf("type %d: %d of %d bytes parse", kind, cut, len(b))
			}
		}
	}
}

// only reports whether a message names no link-layer address but m.
func only(n frame.ND, m frame.MAC) bool {
	other, foreign := n.ForeignLinkLayer(func(named frame.MAC) bool { return named == m })
	if foreign && other == m || !foreign && !other.IsZero() {
		panic("what is foreign is not what is named")
	}
	return !foreign
}

func TestParseNDRefuses(t *testing.T) {
	t.Parallel()
	solicitation := func(options ...byte) []byte {
		return append(append([]byte{frame.ICMPv6NeighbourSolicitation}, make([]byte, 23)...), options...)
	}
	for name, b := range map[string][]byte{
		"nothing":              nil,
		"router advertisement": {frame.ICMPv6RouterAdvertisement, 15: 0},
		"redirect":             {frame.ICMPv6Redirect, 39: 0},
		"ping":                 {128, 7: 0},
		"half a target":        solicitation()[:16],
		"option of no length":  solicitation(1, 0, 2, 0, 0, 0, 0, 1),
		"option cut off":       solicitation(1, 2, 2, 0, 0, 0, 0, 1),
		"half an option":       solicitation(1),
	} {
		if _, ok := frame.ParseND(exact(b)); ok {
			t.Errorf("%s parses", name)
		}
	}
	long, ok := frame.ParseND(solicitation(slices.Concat([]byte{1, 2}, srcMAC[:], make([]byte, 8))...))
	if !ok || only(long, srcMAC) {
		t.Error("a link-layer address of 14 bytes is one of 6")
	}
}

func FuzzParseND(f *testing.F) {
	f.Add(append([]byte{frame.ICMPv6NeighbourAdvertisement}, make([]byte, 31)...))
	f.Add([]byte{frame.ICMPv6RouterSolicitation, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, ok := frame.ParseND(exact(b))
		if !ok {
			return
		}
		n.Target()
		named := false // any link-layer address
		options := b[8:]
		if n.Type() != frame.ICMPv6RouterSolicitation {
			options = b[24:]
		}
		for ; len(options) > 0; options = options[int(options[1])*8:] {
			named = named || options[0] == 1 || options[0] == 2
		}
		if both := only(n, srcMAC) && only(n, dstMAC); both == named {
			t.Errorf("% x: only the one and only the other is %v", b, both)
		}
	})
}

func TestLinkLocal(t *testing.T) {
	t.Parallel()
	for mac, want := range map[frame.MAC]string{
		{0x02, 0x42, 0xac, 0x11, 0x00, 0x02}: "fe80::42:acff:fe11:2",
		{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}: "fe80::3656:78ff:fe9a:bcde", // RFC 4291, appendix A
	} {
		if got := mac.LinkLocal(); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s, want %s", mac, got, want)
		}
	}
}
