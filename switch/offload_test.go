package vswitch_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
)

const (
	tcpStart = frame.EthernetHeaderLen + frame.IPv4HeaderLen
	headers  = tcpStart + 20
)

// tcpFrame is a TCP segment with its checksum complete.
func tcpFrame(dst, src frame.MAC, seq uint32, payload []byte) []byte {
	to, from := netip.MustParseAddrPort("10.0.0.2:2000"), netip.MustParseAddrPort("10.0.0.1:1000")
	return switchtest.TCP(dst, src, to, from, seq, payload)
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// TestOffloadsTravelUnchanged from one device that takes them to another, while
// a plain one gets the same frames complete, in the same flood.
func TestOffloadsTravelUnchanged(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		plain := l.plainPort(seg, 3)
		last := l.port(seg, 4)
		payload := pattern(3000)
		complete := tcpFrame(plain.mac, p[0].mac, 1, payload[:1000])
		super := switchtest.Partial(tcpFrame(plain.mac, p[0].mac, 1, payload), 1448)
		asks := switchtest.Partial(complete, 0)
		p[0].SendRaw(asks)
		p[0].SendRaw(super)
		synctest.Wait()
		for _, other := range []*port{p[1], last} {
			got := other.RawFrames()
			if len(got) != 2 || !bytes.Equal(got[0], asks) || !bytes.Equal(got[1], super) {
				l.t.Errorf("the frames did not reach %s as they were", other.mac)
			}
		}
		got := plain.RawFrames()
		if len(got) != 4 {
			l.t.Fatalf("the plain port received %d frames, want one and three segments", len(got))
		}
		for i, raw := range got {
			if !bytes.Equal(raw[:frame.VNetHeaderLen], make([]byte, frame.VNetHeaderLen)) {
				l.t.Errorf("frame %d to the plain port has the header % x, want none of it", i, raw[:frame.VNetHeaderLen])
			}
		}
		if !bytes.Equal(got[0][frame.VNetHeaderLen:], complete) {
			l.t.Error("the frame to the plain port is not the one with its checksum complete")
		}
		var whole []byte
		for i, raw := range got[1:] {
			eth := raw[frame.VNetHeaderLen:]
			pseudo := append(bytes.Clone(eth[26:34]), 0, frame.ProtoTCP)
			pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(eth)-tcpStart))
			if sum := frame.Sum(eth[tcpStart:], frame.Sum(pseudo, 0)); sum != 0xffff {
				l.t.Errorf("segment %d has a wrong checksum", i)
			}
			if seq := binary.BigEndian.Uint32(eth[tcpStart+4:]); seq != 1+uint32(len(whole)) {
				l.t.Errorf("segment %d has sequence number %d, want %d", i, seq, 1+len(whole))
			}
			whole = append(whole, eth[headers:]...)
		}
		if !bytes.Equal(whole, payload) {
			l.t.Error("the segments do not add up to the super-frame's payload")
		}
		if c := plain.Counters(); c.TxFrames != 4 {
			l.t.Errorf("the plain port counted %d frames to it, want 4", c.TxFrames)
		}
		balanced(l.t, p[0].Port)
	})
}

// TestPlainPortKeepsTheOrder of frames that need completion and others.
func TestPlainPortKeepsTheOrder(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 1, Held: true}, func(l *lab) { // so that many are read at a time
		seg := l.segment()
		p, plain := l.port(seg, 1), l.plainPort(seg, 2)
		const frames = 100
		for i := range frames {
			eth := tcpFrame(plain.mac, p.mac, uint32(i), pattern(100))
			if i%2 == 0 {
				p.Send(eth)
			} else {
				p.SendRaw(switchtest.Partial(eth, 0))
			}
		}
		l.sw.Release()
		synctest.Wait()
		got := plain.Frames()
		if len(got) != frames {
			l.t.Fatalf("%d frames arrived, want %d", len(got), frames)
		}
		for i, eth := range got {
			if seq := binary.BigEndian.Uint32(eth[tcpStart+4:]); seq != uint32(i) {
				l.t.Fatalf("frame %d arrived in place %d", seq, i)
			}
		}
		if c := plain.Counters(); c.TxFrames != frames {
			l.t.Errorf("%d frames are counted, want %d", c.TxFrames, frames)
		}
	})
}

// TestSegmentsMustFitTheMTU: a super-frame may be longer, its segments not.
func TestSegmentsMustFitTheMTU(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		super := tcpFrame(p[1].mac, p[0].mac, 1, pattern(20000))
		p[0].SendRaw(switchtest.Partial(super, 1460))
		synctest.Wait()
		if n := len(p[1].Frames()); n != 1 {
			l.t.Errorf("%d frames arrived, want the super-frame", n)
		}
		p[0].SendRaw(switchtest.Partial(super, 1465)) // more than the MTU and a tag
		p[0].SendRaw(switchtest.Partial(super, 0))
		synctest.Wait()
		expect(l.t, p[1])
		dropped(l.t, p[0].Port, drop.Giant, 2)
	})
}

func TestPlainPortRefuses(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.port(seg, 1)
		plain := l.plainPort(seg, 2)
		plain.Refuse(frame.Again)
		p.SendRaw(switchtest.Partial(tcpFrame(plain.mac, p.mac, 1, pattern(3000)), 1448))
		p.SendRaw(switchtest.Partial(tcpFrame(plain.mac, p.mac, 1, pattern(100)), 0))
		synctest.Wait()
		dropped(l.t, plain.Port, drop.QueueFull, 4)
		balanced(l.t, p.Port)
	})
}

// expectPlain expects the frame complete, and then segments that hold payload, none with a
// virtio-net header that asks for anything.
func expectPlain(t testing.TB, got [][]byte, complete, payload []byte) {
	t.Helper()
	if len(got) != 4 {
		t.Fatalf("%d frames came to a plain port, want one and three segments", len(got))
	}
	if !bytes.Equal(got[0][frame.VNetHeaderLen:], complete) {
		t.Error("the checksum of a frame to a plain port is not complete")
	}
	var whole []byte
	for i, raw := range got {
		if len(raw) > frame.VNetHeaderLen+frame.EthernetHeaderLen+1500 || !frame.VNet(raw).Plain() {
			t.Errorf("frame %d to a plain port has %d bytes, header % x",
				i, len(raw), raw[:frame.VNetHeaderLen])
		}
		if i > 0 {
			whole = append(whole, raw[frame.VNetHeaderLen+headers:]...)
		}
	}
	if !bytes.Equal(whole, payload) {
		t.Error("the segments do not add up to the super-frame's payload")
	}
}

// TestPlainDeviceOfALivingPort counts from its attachment on in a running flow, both ways.
func TestPlainDeviceOfALivingPort(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		teach(p...)
		payload := pattern(3000)
		complete := tcpFrame(p[1].mac, p[0].mac, 1, payload[:1000])
		asks := switchtest.Partial(complete, 0)
		super := switchtest.Partial(tcpFrame(p[1].mac, p[0].mac, 1, payload), 1448)
		send := func() [][]byte {
			p[0].SendRaw(asks)
			p[0].SendRaw(super)
			synctest.Wait()
			return p[1].RawFrames()
		}
		for _, plain := range []bool{false, true, false, true, false} {
			l.sw.Detach(p[1].Port)
			p[1].Device = &switchtest.Device{Plain: plain}
			if err := l.sw.Attach(p[1].Port, p[1].Device); err != nil {
				l.t.Fatal(err)
			}
			for range 2 {
				got := send()
				switch {
				case plain:
					expectPlain(l.t, got, complete, payload)
				case len(got) != 2 || !bytes.Equal(got[0], asks) || !bytes.Equal(got[1], super):
					l.t.Errorf("%d frames came to a port that is not plain, want 2 as they were", len(got))
				}
			}
		}
		if c := p[1].Counters(); c.TxFrames != 3*2*2+2*2*4 {
			l.t.Errorf("%d frames are counted to the port, want 28", c.TxFrames)
		}
		dropped(l.t, p[1].Port, drop.None, 0)
		balanced(l.t, p[0].Port)
	})
}
