package arp

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

// shape says what a fuzzed frame is made from, so that the fuzzer meets bound
// addresses and MACs without finding their bytes.
type shape struct {
	sender, target uint8 // index into addresses, or beyond: as the bytes have it
	mac            uint8 // index into macs, likewise
	tags           uint8 // of VID 0 in front of the packet, modulo 4
	slot           uint8
	trusted        bool
}

var (
	shapeIPs  = []netip.Addr{netip.IPv4Unspecified(), gatewayIP, c1IP, c2IP, unboundIP}
	shapeMACs = []frame.MAC{gatewayMAC, c1MAC, c2MAC, newMAC}
)

// build returns input shaped as s, and where its ARP packet begins.
func (s shape) build(input []byte) (eth frame.Ethernet, offset int) {
	b := slices.Clone(input) // the fuzzer's own bytes must stay as they are
	if len(b) < frame.EthernetHeaderLen {
		return b, frame.EthernetHeaderLen
	}
	frame.Ethernet(b).SetEtherType(frame.EtherTypeARP) // the caller has checked it
	if p := b[frame.EthernetHeaderLen:]; len(p) >= frame.ARPLen {
		packet := frame.ARP(p)
		if int(s.sender) < len(shapeIPs) {
			packet.SetSender(packet.SenderMAC(), shapeIPs[s.sender])
		}
		if int(s.target) < len(shapeIPs) {
			packet.SetTarget(packet.TargetMAC(), shapeIPs[s.target])
		}
		if int(s.mac) < len(shapeMACs) {
			packet.SetSender(shapeMACs[s.mac], packet.SenderIP())
		}
	}
	tags := bytes.Repeat([]byte{0x81, 0, 0, 0}, int(s.tags%4))
	return tagged(b, tags), frame.EthernetHeaderLen + len(tags)
}

func (s shape) origin() Origin { return Origin{Slot: uint32(s.slot), Trusted: s.trusted} }

// outcome is what the rules say about a frame.
type outcome struct {
	verdict Verdict
	reply   Binding // Answered: the one that is told
	claimed bool    // the sender's address moves to its MAC
}

// judge is an oracle for Respond: it searches a list and reads bytes, rule by rule
// as the issue has them.
func judge(list []Binding, p []byte, from Origin) outcome {
	find := func(ip []byte) *Binding {
		for i, b := range list {
			if bytes.Equal(b.IP.AsSlice(), ip) {
				return &list[i]
			}
		}
		return nil
	}
	if len(p) < 28 || !bytes.Equal(p[:6], []byte{0, 1, 8, 0, 6, 4}) {
		return outcome{verdict: Malformed}
	}
	op, sha, spa, tpa := int(p[6])<<8|int(p[7]), p[8:14], p[14:18], p[24:28]
	if sha[0]&1 == 1 || bytes.Equal(sha, make([]byte, 6)) {
		return outcome{verdict: Malformed}
	}
	asker, owner := find(spa), find(tpa)
	if asker != nil && asker.Slot != from.Slot {
		return outcome{verdict: Spoofed}
	}
	if asker != nil && !bytes.Equal(asker.MAC[:], sha) {
		if !from.Trusted {
			return outcome{verdict: Spoofed}
		}
		return outcome{verdict: Pass, claimed: op == 1 || op == 2}
	}
	isProbe := bytes.Equal(spa, []byte{0, 0, 0, 0})
	foreign := owner != nil && owner.Slot != from.Slot
	switch {
	case op != 1, bytes.Equal(spa, tpa):
		return outcome{verdict: Pass}
	case foreign && (isProbe || asker != nil || owner.Kind == Gateway):
		return outcome{verdict: Answered, reply: *owner}
	case isProbe:
		return outcome{verdict: Probe}
	}
	return outcome{verdict: Pass}
}

// FuzzRespond holds for any ARP frame that a container can send, from any port: no
// panic, and what becomes of it is what the oracle says.
func FuzzRespond(f *testing.F) {
	asIs := shape{sender: 99, target: 99, mac: 99, slot: c1Slot}
	claim := shape{sender: 2, target: 3, mac: 3, tags: 1, slot: c1Slot, trusted: true}
	for _, seed := range [][]byte{
		nil,
		request(c1MAC, c1IP, c2IP),
		request(c1MAC, c1IP, c2IP)[:41],
		request(c1MAC, noIP, gatewayIP),
		request(c1MAC, noIP, c1IP),
		request(c1MAC, c1IP, c1IP),
		request(frame.Broadcast, c1IP, c2IP),
		request(c1MAC, c1IP, unboundIP),
		operation(frame.ARPReply, newMAC, gatewayIP, c2IP),
	} {
		for _, s := range []shape{asIs, claim} {
			f.Add(seed, s.sender, s.target, s.mac, s.tags, s.slot, s.trusted)
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, sender, target, mac, tags, slot uint8, trusted bool) {
		s := shape{sender, target, mac, tags, slot, trusted}
		b, offset := s.build(input)
		checkAgainstOracle(t, b, offset, s.origin())
	})
}

// TestRespondAgainstOracle tries every combination of addresses, MACs, operations,
// origins and tags that the rules tell apart.
func TestRespondAgainstOracle(t *testing.T) {
	t.Parallel()
	seen := map[Verdict]int{}
	for _, op := range []uint16{0, frame.ARPRequest, frame.ARPReply, 3} {
		input := operation(op, multicastMAC, unboundIP.Next(), unboundIP.Next())
		for n := range uint32(6 * 6 * 5 * 5 * 2 * 3) {
			digit := func(base uint32) uint8 { d := n % base; n /= base; return uint8(d) }
			s := shape{
				sender: digit(6), target: digit(6), mac: digit(5),
				slot: digit(5), trusted: digit(2) == 1, tags: digit(3),
			}
			b, offset := s.build(input)
			seen[checkAgainstOracle(t, b, offset, s.origin())]++
			if t.Failed() {
				t.Fatalf("with operation %d and %+v", op, s)
			}
		}
	}
	for verdict := range verdictNames {
		if seen[Verdict(verdict)] == 0 {
			t.Errorf("no combination is %v", Verdict(verdict))
		}
	}
}

func checkAgainstOracle(t *testing.T, b frame.Ethernet, offset int, from Origin) Verdict {
	t.Helper()
	before, table := slices.Clone(b), segment(t)
	var packet []byte
	if len(before) >= offset {
		packet = before[offset:]
	}
	want := judge(held(), packet, from)
	got := NewResponder(table).Respond(b, offset, from)
	if got != want.verdict {
		t.Fatalf("% x from %+v at %d: got %v, want %v", before, from, offset, got, want.verdict)
	}
	after := held()
	if want.claimed {
		for i := range after {
			if after[i].IP == frame.ARP(packet).SenderIP() {
				after[i].MAC = frame.ARP(packet).SenderMAC()
			}
		}
	}
	if list := table.Bindings(); !slices.Equal(list, after) {
		t.Fatalf("% x from %+v: the table is %v, want %v", before, from, list, after)
	}
	if got != Answered {
		if !bytes.Equal(b, before) {
			t.Fatalf("%v, but changed\nfrom % x\nto   % x", got, before, b)
		}
		return got
	}
	if !bytes.Equal(b[12:offset], before[12:offset]) {
		t.Fatalf("the tags became % x", b[12:offset])
	}
	asked := frame.ARP(packet)
	checkAt(t, b, offset, expect{
		dst: asked.SenderMAC(), src: want.reply.MAC, operation: layers.ARPReply,
		senderMAC: want.reply.MAC, senderIP: want.reply.IP,
		targetMAC: asked.SenderMAC(), targetIP: asked.SenderIP(),
	})
	return got
}
