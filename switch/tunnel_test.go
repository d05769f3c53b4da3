package vswitch_test

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// tunneled is a TCP super-frame in a VXLAN tunnel, and what it is to be cut into.
type tunneled struct {
	super    []byte   // behind its virtio-net header
	segments [][]byte // without
}

const tunnelMSS = 1410 // that a segment has exactly 1500 bytes of IP

// newTunneled makes three segments.
func newTunneled(dst, src frame.MAC) tunneled {
	tunnel := switchtest.Tunnel{
		To: dst, From: src, Dst: netip.MustParseAddr("192.0.2.2"), Src: netip.MustParseAddr("192.0.2.1"),
	}
	inner, payload := func(seq int, payload []byte) []byte {
		return tcpFrame(switchtest.MAC(102), switchtest.MAC(101), uint32(seq), payload)
	}, pattern(3*tunnelMSS-10)
	t := tunneled{super: tunnel.Super(switchtest.Partial(inner(1, payload), tunnelMSS), 7)}
	for part := range slices.Chunk(payload, tunnelMSS) {
		n := len(t.segments)
		eth := inner(1+n*tunnelMSS, part)
		ip := frame.IPv4(eth[frame.EthernetHeaderLen:])
		ip[5] = byte(n) // the identification counts up from the super-frame's 0
		ip.SetChecksum()
		t.segments = append(t.segments, tunnel.Frame(eth, uint16(7+n)))
	}
	return t
}

// expectSegments wants a tunnel's segments, none with a virtio-net header that asks for anything.
func (f tunneled) expectSegments(t testing.TB, p *port, tags ...uint32) {
	t.Helper()
	got := p.RawFrames()
	if len(got) != len(f.segments) {
		t.Fatalf("%d frames came to the port of %s, want %d segments", len(got), p.mac, len(f.segments))
	}
	for i, raw := range got {
		h, eth, _ := frame.ParseVNet(raw)
		if want := switchtest.Tagged(f.segments[i], tags...); !bytes.Equal(eth, want) || !h.Plain() {
			t.Errorf("segment %d to the port of %s is, behind % x,\n% x, want\n% x",
				i, p.mac, []byte(h), eth[:min(len(eth), 130)], want[:130])
		}
	}
}

// TestTunnelsTravelUnchanged from a device that takes them to another, while those that do not
// get segments, in the same flood.
func TestTunnelsTravelUnchanged(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		short, plain, last := l.shortPort(seg, 3), l.plainPort(seg, 4), l.port(seg, 5)
		f := newTunneled(plain.mac, p[0].mac)
		p[0].SendRaw(f.super)
		synctest.Wait()
		for _, other := range []*port{p[1], last} {
			if got := other.RawFrames(); len(got) != 1 || !bytes.Equal(got[0], f.super) {
				l.t.Errorf("the super-frame did not reach %s as it was", other.mac)
			}
		}
		f.expectSegments(l.t, short)
		f.expectSegments(l.t, plain)
		for _, p := range []*port{short, plain} {
			if c := p.Counters(); c.TxFrames != 3 {
				l.t.Errorf("%d frames are counted to the port of %s, want 3", c.TxFrames, p.mac)
			}
		}
		balanced(l.t, p[0].Port)
	})
}

// TestShortPortTakesAllButTunnels as they are.
func TestShortPortTakesAllButTunnels(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p, short := l.port(seg, 1), l.shortPort(seg, 2)
		whole := tcpFrame(short.mac, p.mac, 1, pattern(3000))
		sent := [][]byte{
			switchtest.Partial(whole, 1448),
			switchtest.Partial(whole[:1000], 0),
			switchtest.Raw(whole[:1000]),
		}
		for _, raw := range sent {
			p.SendRaw(raw)
		}
		synctest.Wait()
		if got := short.RawFrames(); !slices.EqualFunc(got, sent, bytes.Equal) {
			l.t.Errorf("%d frames came to the short port, want %d as they were", len(got), len(sent))
		}
	})
}

// TestTunnelsToALivingPort are cut or not as the device takes them that it has by now.
func TestTunnelsToALivingPort(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		teach(p...)
		f := newTunneled(p[1].mac, p[0].mac)
		for _, device := range []*switchtest.Device{{Short: true}, {}, {Plain: true}, {Short: true}, {}} {
			l.sw.Detach(p[1].Port)
			p[1].Device = device
			if err := l.sw.Attach(p[1].Port, device); err != nil {
				l.t.Fatal(err)
			}
			p[0].SendRaw(f.super)
			synctest.Wait()
			if device.Short || device.Plain {
				f.expectSegments(l.t, p[1])
			} else if got := p[1].RawFrames(); len(got) != 1 || !bytes.Equal(got[0], f.super) {
				l.t.Errorf("%d frames came, want the super-frame as it was", len(got))
			}
		}
		balanced(l.t, p[0].Port)
	})
}

// TestTunnelBehindATagOfTheKernel: when that puts a VLAN tag into a frame that is read, it leaves
// the tag out of the tunnel's offsets, which a receiver's kernel would cut by.
func TestTunnelBehindATagOfTheKernel(t *testing.T) {
	const tag = switchtest.Dot1Q | 5
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p, plain := l.ports(seg, 2), l.plainPort(seg, 3)
		f := newTunneled(plain.mac, p[0].mac)
		h, eth, _ := frame.ParseVNet(f.super)
		raw := switchtest.Raw(switchtest.Tagged(eth, tag))
		copy(raw, h)
		read := frame.VNet(raw)
		read.Set(h.Flags(), h[1], 0, h.GSOSize(), h.CsumStart()+frame.VLANTagLen, h.CsumOffset())
		p[0].SendRaw(raw)
		synctest.Wait()
		got := p[1].RawFrames()
		if len(got) != 1 || !bytes.Equal(got[0][frame.VNetHeaderLen:], raw[frame.VNetHeaderLen:]) {
			l.t.Fatalf("%d frames came, want the super-frame", len(got))
		}
		outer, inner := h.OuterTransport()+frame.VLANTagLen, h.InnerNetwork()+frame.VLANTagLen
		if h := frame.VNet(got[0]); h.OuterTransport() != outer || h.InnerNetwork() != inner {
			l.t.Errorf("the offsets are %d and %d, want %d and %d",
				h.OuterTransport(), h.InnerNetwork(), outer, inner)
		}
		f.expectSegments(l.t, plain, tag)
	})
}

// TestTunnelsAreChecked before anyone gets them.
func TestTunnelsAreChecked(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		f := newTunneled(p[1].mac, p[0].mac)
		for _, spoil := range []func(h frame.VNet){
			func(h frame.VNet) { h.SetTunnel(h.OuterTransport(), 0xfff0) },
			func(h frame.VNet) { h.SetTunnel(0, h.InnerNetwork()) },
			func(h frame.VNet) { h[0] &^= frame.VNetNeedsChecksum },
			func(h frame.VNet) { h[1] |= frame.VNetGSOTunnelIPv4 | frame.VNetGSOTunnelIPv6 },
		} {
			raw := bytes.Clone(f.super)
			spoil(frame.VNet(raw[:frame.VNetHeaderLen]))
			p[0].SendRaw(raw)
		}
		synctest.Wait()
		expect(l.t, p[1])
		dropped(l.t, p[0].Port, drop.BadVirtioHeader, 4)
		balanced(l.t, p[0].Port)
	})
}

// TestTunnelSegmentsMustFitTheMTU with their outer headers.
func TestTunnelSegmentsMustFitTheMTU(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		raw := newTunneled(p[1].mac, p[0].mac).super
		h := frame.VNet(raw[:frame.VNetHeaderLen])
		for _, more := range []uint16{frame.VLANTagLen, frame.VLANTagLen + 1} { // a tag may be in it
			h.Set(h.Flags(), h[1], 0, tunnelMSS+more, h.CsumStart(), h.CsumOffset())
			p[0].SendRaw(raw)
		}
		synctest.Wait()
		if n := len(p[1].Frames()); n != 1 {
			l.t.Errorf("%d frames arrived, want the one whose segments fit", n)
		}
		dropped(l.t, p[0].Port, drop.Giant, 1)
	})
}

// TestShallowBurstCutsTunnels into segments that are complete.
func TestShallowBurstCutsTunnels(t *testing.T) {
	inBoth(t, policy.Rate{BitsPerSecond: 8e6, BurstBytes: 3000}, func(l *lab, r *rated) {
		f := newTunneled(r.to.mac, r.from.mac)
		r.from.SendRaw(f.super)
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		f.expectSegments(l.t, r.to)
		balanced(l.t, r.from.Port)
	})
}
