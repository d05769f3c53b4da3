package icmp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

var (
	gatewayIP = netip.MustParseAddr("172.17.0.1")
	c1IP      = netip.MustParseAddr("172.17.0.2")
)

// build is a packet from c1 to the gateway made by an encoder that is not ours,
// changed by edit (which may be nil) before checksums are computed.
func build(tb testing.TB, data []byte, edit func(*layers.IPv4, *layers.ICMPv4)) frame.IPv4 {
	tb.Helper()
	ip := &layers.IPv4{
		Version: 4, TTL: 3, Id: 0x1234, TOS: 0x10, Protocol: layers.IPProtocolICMPv4,
		SrcIP: c1IP.AsSlice(), DstIP: gatewayIP.AsSlice(),
	}
	echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 0xbeef, Seq: 7}
	if edit != nil {
		edit(ip, echo)
	}
	return parse(tb, switchtest.Layers(ip, echo, gopacket.Payload(data)))
}

func parse(tb testing.TB, b []byte) frame.IPv4 {
	tb.Helper()
	p, ok := frame.ParseIPv4(b)
	if !ok {
		tb.Fatalf("% x is not an IPv4 packet", b)
	}
	return p
}

// edited changes bytes of p behind the back of the ICMP checksum, and sets the
// header's right again.
func edited(p frame.IPv4, edit func(frame.IPv4)) frame.IPv4 {
	edit(p)
	p.SetChecksum()
	return p
}

// cut shortens p to n bytes, total length and header checksum included.
func cut(p frame.IPv4, n int) frame.IPv4 {
	return edited(p[:n], func(p frame.IPv4) { binary.BigEndian.PutUint16(p[2:4], uint16(n)) })
}

// decode reads an IPv4 packet of ICMP with a decoder that is not ours, and holds
// both checksums against those it would write itself.
func decode(tb testing.TB, b []byte) (*layers.IPv4, *layers.ICMPv4) {
	tb.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
	if fail := p.ErrorLayer(); fail != nil {
		tb.Fatalf("% x does not decode: %v", b, fail.Error())
	}
	ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok {
		tb.Fatalf("% x is not IPv4", b)
	}
	message, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if !ok {
		tb.Fatalf("% x is not ICMP", b)
	}
	ipAgain, messageAgain := *ip, *message
	again := switchtest.Layers(&ipAgain, &messageAgain, gopacket.Payload(message.Payload))
	if !bytes.Equal(again, b) {
		tb.Errorf("encoded again it differs:\ngot  % x\nwant % x", b, again)
	}
	return ip, message
}

func TestEchoAnswers(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]frame.IPv4{
		"no data":        build(t, nil, nil),
		"odd length":     build(t, []byte("odd"), nil),
		"one byte":       build(t, []byte{0xff}, nil),
		"usual size":     build(t, bytes.Repeat([]byte{0x5a}, 56), nil),
		"largest":        build(t, bytes.Repeat([]byte{0xa5}, 65507), nil),
		"all zero":       build(t, make([]byte, 8), func(_ *layers.IPv4, e *layers.ICMPv4) { e.Id, e.Seq = 0, 0 }),
		"carry":          build(t, []byte{0xff, 0xff}, func(_ *layers.IPv4, e *layers.ICMPv4) { e.Id, e.Seq = 0, 0 }),
		"don't fragment": build(t, nil, func(ip *layers.IPv4, _ *layers.ICMPv4) { ip.Flags = layers.IPv4DontFragment }),
		"class E source": build(t, nil, func(ip *layers.IPv4, _ *layers.ICMPv4) { ip.SrcIP = []byte{240, 0, 0, 2} }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, beforeEcho := decode(t, slices.Clone(request))
			if got := Echo(request); got != Answered {
				t.Fatalf("got %v, want %v", got, Answered)
			}
			after, echo := decode(t, request)
			if !after.SrcIP.Equal(before.DstIP) || !after.DstIP.Equal(before.SrcIP) {
				t.Errorf("from %s to %s, want the request's addresses swapped", after.SrcIP, after.DstIP)
			}
			if after.TTL != 64 || after.TOS != before.TOS || after.Length != before.Length {
				t.Errorf("TTL %d, TOS %#x, length %d; want 64, %#x, %d", after.TTL, after.TOS, after.Length, before.TOS, before.Length)
			}
			if echo.TypeCode != layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0) {
				t.Errorf("got %v, want an echo reply", echo.TypeCode)
			}
			if echo.Id != beforeEcho.Id || echo.Seq != beforeEcho.Seq || !bytes.Equal(echo.Payload, beforeEcho.Payload) {
				t.Error("identifier, sequence number or data differ from the request's")
			}
		})
	}
}

func TestEchoLeavesAlone(t *testing.T) {
	t.Parallel()
	address := func(src, dst string) frame.IPv4 {
		return build(t, []byte("data"), func(ip *layers.IPv4, _ *layers.ICMPv4) {
			ip.SrcIP, ip.DstIP = netip.MustParseAddr(src).AsSlice(), netip.MustParseAddr(dst).AsSlice()
		})
	}
	typ := func(typ uint8) frame.IPv4 {
		return build(t, []byte("data"), func(_ *layers.IPv4, e *layers.ICMPv4) {
			e.TypeCode = layers.CreateICMPv4TypeCode(typ, 0)
		})
	}
	header := func(edit func(*layers.IPv4)) frame.IPv4 {
		return build(t, []byte("data"), func(ip *layers.IPv4, _ *layers.ICMPv4) { edit(ip) })
	}
	for name, test := range map[string]struct {
		packet frame.IPv4
		want   Verdict
	}{
		"echo reply":              {typ(TypeEchoReply), Unhandled},
		"destination unreachable": {typ(layers.ICMPv4TypeDestinationUnreachable), Unhandled},
		"timestamp request":       {typ(13), Unhandled},
		"unknown type":            {typ(200), Unhandled},
		"UDP":                     {header(func(ip *layers.IPv4) { ip.Protocol = layers.IPProtocolUDP }), Unhandled},
		"IP options": {header(func(ip *layers.IPv4) {
			ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
		}), Unhandled},
		"to the broadcast address": {address("172.17.0.2", "255.255.255.255"), Unhandled},
		"to a multicast address":   {address("172.17.0.2", "224.0.0.1"), Unhandled},

		"first fragment":  {header(func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }), Fragment},
		"later fragment":  {header(func(ip *layers.IPv4) { ip.FragOffset = 1 }), Fragment},
		"middle fragment": {header(func(ip *layers.IPv4) { ip.Flags, ip.FragOffset = layers.IPv4MoreFragments, 9 }), Fragment},

		"no ICMP at all":         {cut(build(t, nil, nil), 20), Malformed},
		"last header byte gone":  {cut(build(t, nil, nil), 27), Malformed},
		"data cut off":           {cut(build(t, []byte("data"), nil), 30), Malformed},
		"ICMP checksum":          {edited(build(t, []byte("data"), nil), func(p frame.IPv4) { p[22] ^= 1 }), Malformed},
		"ICMP checksum absent":   {edited(build(t, []byte("data"), nil), func(p frame.IPv4) { p[22], p[23] = 0, 0 }), Malformed},
		"data changed":           {edited(build(t, []byte("odd"), nil), func(p frame.IPv4) { p[30] ^= 0x80 }), Malformed},
		"from the unspecified":   {address("0.0.0.0", "172.17.0.1"), Malformed},
		"from the broadcast":     {address("255.255.255.255", "172.17.0.1"), Malformed},
		"from a multicast group": {address("239.1.2.3", "172.17.0.1"), Malformed},
		"from loopback":          {address("127.0.0.1", "172.17.0.1"), Malformed},
		"from ourselves":         {address("172.17.0.1", "172.17.0.1"), Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := slices.Clone(test.packet)
			if got := Echo(test.packet); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if !bytes.Equal(test.packet, before) {
				t.Errorf("the packet was changed\nfrom % x\nto   % x", before, test.packet)
			}
		})
	}
}

func TestEchoVerifiesTheHeader(t *testing.T) {
	t.Parallel()
	packet := build(t, nil, nil)
	packet.SetTTL(packet.TTL() + 1) // and not its checksum
	if got := Echo(packet); got != Malformed {
		t.Errorf("wrong header checksum: got %v, want %v", got, Malformed)
	}
}

func TestEchoDoesNotAllocate(t *testing.T) {
	original := build(t, make([]byte, 56), nil)
	work := slices.Clone(original)
	var verdict Verdict
	if n := testing.AllocsPerRun(1000, func() {
		copy(work, original)
		verdict = Echo(work)
	}); n != 0 {
		t.Errorf("%v allocations for an answer", n)
	}
	if verdict != Answered {
		t.Errorf("got %v, want %v", verdict, Answered)
	}
}

// FuzzEcho holds for any packet that a container can send: no panic, and it is
// either left alone or becomes the right reply of the same length. So that the
// fuzzer gets past the checksums, fix sets them right first.
func FuzzEcho(f *testing.F) {
	f.Add([]byte(build(f, nil, nil)), false)
	f.Add([]byte(build(f, []byte("odd"), nil)), true)
	f.Add([]byte(build(f, []byte("data"), nil)[:24]), true)
	f.Add([]byte(cut(build(f, nil, nil), 20)), true)
	f.Add([]byte(cut(build(f, nil, nil), 27)), true)
	f.Fuzz(func(t *testing.T, input []byte, fix bool) {
		packet, ok := frame.ParseIPv4(slices.Clone(input)) // the fuzzer's own bytes must stay as they are
		if !ok {
			return
		}
		if message := packet.Payload(); fix && len(message) >= headerLen {
			message[2], message[3] = 0, 0
			binary.BigEndian.PutUint16(message[2:4], ^frame.Sum(message, 0))
		}
		if fix {
			packet.SetChecksum()
		}
		before := slices.Clone(packet)
		if Echo(packet) != Answered {
			if !bytes.Equal(packet, before) {
				t.Fatalf("not answered, but changed\nfrom % x\nto   % x", before, packet)
			}
			return
		}
		ip, echo := decode(t, packet)
		if ip.TTL != 64 || packet.Src() != before.Dst() || packet.Dst() != before.Src() {
			t.Errorf("got TTL %d from %s to %s", ip.TTL, ip.SrcIP, ip.DstIP)
		}
		if echo.TypeCode.Type() != layers.ICMPv4TypeEchoReply || before[20] != TypeEchoRequest {
			t.Errorf("got %v for type %d", echo.TypeCode, before[20])
		}
		if !bytes.Equal(packet[24:], before[24:]) {
			t.Error("identifier, sequence number or data differ from the request's")
		}
	})
}
