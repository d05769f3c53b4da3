package icmp

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

// udp is a packet of 20+8+len(data) bytes whose payload is taken for UDP, from c1
// to somewhere beyond the gateway.
func udp(tb testing.TB, data []byte, edit func(*layers.IPv4)) frame.IPv4 {
	return build(tb, data, func(ip *layers.IPv4, _ *layers.ICMPv4) {
		ip.Protocol = layers.IPProtocolUDP
		ip.DstIP = []byte{192, 0, 2, 1}
		if edit != nil {
			edit(ip)
		}
	})
}

func TestAppendError(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		typ, code uint8
		orig      frame.IPv4
		length    int    // of the whole packet
		mtu       uint16 // the value it carries
	}{
		"host unreachable":     {TypeDestinationUnreachable, CodeHostUnreachable, udp(t, nil, nil), 56, 0},
		"odd length":           {TypeDestinationUnreachable, CodePortUnreachable, udp(t, []byte("odd"), nil), 59, 0},
		"time exceeded":        {TypeTimeExceeded, CodeTTLExceeded, udp(t, make([]byte, 100), nil), 156, 0},
		"fragmentation needed": {TypeDestinationUnreachable, CodeFragmentationNeeded, udp(t, make([]byte, 1472), nil), 576, 1400},
		"code 4 of another":    {TypeTimeExceeded, 4, udp(t, nil, nil), 56, 0},
		"just fits":            {TypeTimeExceeded, 0, udp(t, make([]byte, 520), nil), 576, 0},
		"one byte too many":    {TypeTimeExceeded, 0, udp(t, make([]byte, 521), nil), 576, 0},
		"first fragment":       {TypeTimeExceeded, 0, udp(t, nil, func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }), 56, 0},
		"IP options": {TypeTimeExceeded, 0, udp(t, nil, func(ip *layers.IPv4) {
			ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
		}), 60, 0},
		"header alone":       {TypeTimeExceeded, 0, cut(udp(t, nil, nil), 20), 48, 0},
		"about echo request": {TypeTimeExceeded, 0, build(t, nil, nil), 56, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix := []byte("prefix")
			before := slices.Clone(test.orig)
			got, ok := AppendError(slices.Clone(prefix), test.typ, test.code, 1400, test.orig, gatewayIP)
			if !ok {
				t.Fatal("refused")
			}
			if !bytes.HasPrefix(got, prefix) {
				t.Fatalf("what stood in the buffer is gone: % x", got)
			}
			if !bytes.Equal(test.orig, before) {
				t.Error("the packet complained about was changed")
			}
			got = got[len(prefix):]
			if len(got) != test.length {
				t.Errorf("got %d bytes, want %d", len(got), test.length)
			}
			ip, message := decode(t, got)
			if packet := frame.IPv4(got); packet.Src() != gatewayIP || packet.Dst() != c1IP {
				t.Errorf("from %s to %s, want from %s to %s", packet.Src(), packet.Dst(), gatewayIP, c1IP)
			}
			if int(ip.Length) != len(got) || ip.TTL != 64 || ip.TOS != 0xd0 || frame.IPv4(got).IsFragment() {
				t.Errorf("got length %d, TTL %d, TOS %#x, fragment at %d", ip.Length, ip.TTL, ip.TOS, ip.FragOffset)
			}
			if want := layers.CreateICMPv4TypeCode(test.typ, test.code); message.TypeCode != want {
				t.Errorf("got %v, want %v", message.TypeCode, want)
			}
			if message.Id != 0 || message.Seq != test.mtu {
				t.Errorf("second word is %#x %d, want 0 %d", message.Id, message.Seq, test.mtu)
			}
			if want := test.orig[:test.length-28]; !bytes.Equal(message.Payload, want) {
				t.Errorf("quotes % x\nwant   % x", message.Payload, want)
			}
		})
	}
}

func TestAppendErrorRefuses(t *testing.T) {
	t.Parallel()
	about := func(typ uint8) frame.IPv4 {
		return build(t, []byte("data"), func(_ *layers.IPv4, e *layers.ICMPv4) {
			e.TypeCode = layers.CreateICMPv4TypeCode(typ, 0)
		})
	}
	from := func(a string) frame.IPv4 {
		return udp(t, nil, func(ip *layers.IPv4) { ip.SrcIP = netip.MustParseAddr(a).AsSlice() })
	}
	to := func(a string) frame.IPv4 {
		return udp(t, nil, func(ip *layers.IPv4) { ip.DstIP = netip.MustParseAddr(a).AsSlice() })
	}
	wrong := udp(t, nil, nil)
	wrong.SetTTL(wrong.TTL() + 1) // and not its checksum
	for name, test := range map[string]struct {
		typ  uint8
		orig frame.IPv4
		src  netip.Addr
	}{
		"about unreachable":            {TypeTimeExceeded, about(3), gatewayIP},
		"about source quench":          {TypeTimeExceeded, about(4), gatewayIP},
		"about redirect":               {TypeTimeExceeded, about(5), gatewayIP},
		"about time exceeded":          {TypeTimeExceeded, about(11), gatewayIP},
		"about parameter problem":      {TypeTimeExceeded, about(12), gatewayIP},
		"about an unknown type":        {TypeTimeExceeded, about(200), gatewayIP},
		"about ICMP without a type":    {TypeTimeExceeded, cut(build(t, nil, nil), 20), gatewayIP},
		"later fragment":               {TypeTimeExceeded, udp(t, nil, func(ip *layers.IPv4) { ip.FragOffset = 1 }), gatewayIP},
		"wrong header checksum":        {TypeTimeExceeded, wrong, gatewayIP},
		"from the unspecified address": {TypeTimeExceeded, from("0.0.0.0"), gatewayIP},
		"from network zero":            {TypeTimeExceeded, from("0.0.0.5"), gatewayIP},
		"from loopback":                {TypeTimeExceeded, from("127.0.0.1"), gatewayIP},
		"from a multicast address":     {TypeTimeExceeded, from("224.0.0.1"), gatewayIP},
		"from the broadcast address":   {TypeTimeExceeded, from("255.255.255.255"), gatewayIP},
		"to a multicast address":       {TypeTimeExceeded, to("239.255.255.250"), gatewayIP},
		"to the broadcast address":     {TypeTimeExceeded, to("255.255.255.255"), gatewayIP},
		"our address absent":           {TypeTimeExceeded, udp(t, nil, nil), netip.Addr{}},
		"our address IPv6":             {TypeTimeExceeded, udp(t, nil, nil), netip.MustParseAddr("fd00::1")},
		"our address unspecified":      {TypeTimeExceeded, udp(t, nil, nil), netip.IPv4Unspecified()},
		"not an error, echo request":   {TypeEchoRequest, udp(t, nil, nil), gatewayIP},
		"redirect":                     {5, udp(t, nil, nil), gatewayIP},
		"parameter problem":            {12, udp(t, nil, nil), gatewayIP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := AppendError([]byte("before"), test.typ, 0, 0, test.orig, test.src)
			if ok || string(got) != "before" {
				t.Errorf("got % x, %v; want the buffer as it was and false", got, ok)
			}
		})
	}
}

func TestAppendErrorDoesNotAllocate(t *testing.T) {
	orig := udp(t, make([]byte, 1000), nil)
	buf := make([]byte, 0, 576)
	var ok bool
	if n := testing.AllocsPerRun(1000, func() {
		_, ok = AppendError(buf, TypeTimeExceeded, CodeTTLExceeded, 0, orig, gatewayIP)
	}); n != 0 || !ok {
		t.Errorf("%v allocations with room in the buffer, result %v", n, ok)
	}
}

// A buffer used before must not show through in the fields that are zero.
func TestAppendErrorIntoDirtyBuffer(t *testing.T) {
	t.Parallel()
	orig := udp(t, []byte("data"), nil)
	clean, _ := AppendError(nil, TypeTimeExceeded, 0, 0, orig, gatewayIP)
	dirty, _ := AppendError(bytes.Repeat([]byte{0xee}, 600)[:0], TypeTimeExceeded, 0, 0, orig, gatewayIP)
	if !bytes.Equal(clean, dirty) {
		t.Errorf("got  % x\nwant % x", dirty, clean)
	}
}

// FuzzAppendError holds that an error about any packet decodes, stays within its
// size, and is never itself a cause for an error.
func FuzzAppendError(f *testing.F) {
	f.Add([]byte(udp(f, []byte("data"), nil)))
	f.Add([]byte(udp(f, make([]byte, 600), nil)))
	f.Add([]byte(build(f, nil, nil)))
	f.Add([]byte(cut(build(f, nil, nil), 20)))
	f.Fuzz(func(t *testing.T, input []byte) {
		orig, ok := frame.ParseIPv4(slices.Clone(input))
		if !ok {
			return
		}
		orig.SetChecksum()
		got, ok := AppendError(nil, TypeTimeExceeded, CodeTTLExceeded, 0, orig, gatewayIP)
		if !ok {
			return
		}
		if len(got) > 576 {
			t.Errorf("got %d bytes", len(got))
		}
		_, message := decode(t, got)
		if !bytes.HasPrefix(orig, message.Payload) {
			t.Errorf("quotes % x of % x", message.Payload, orig)
		}
		if again, ok := AppendError(nil, TypeTimeExceeded, CodeTTLExceeded, 0, parse(t, got), c1IP); ok {
			t.Errorf("an error about an error: % x", again)
		}
	})
}
