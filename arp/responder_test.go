package arp

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

var noIP = netip.IPv4Unspecified()

// Where frames come from in these tests.
var (
	fromC1      = Origin{Slot: c1Slot}
	fromTrusted = Origin{Slot: c1Slot, Trusted: true}
	fromOther   = Origin{Slot: otherSlot, Trusted: true}
	fromHost    = Origin{Slot: gatewaySlot}
)

// tagStacks are what can be in front of an ARP packet that a receiving kernel
// reads as untagged: tags with VID 0, here of priority 5.
var tagStacks = map[string][]byte{
	"untagged":    nil,
	"802.1Q":      {0x81, 0, 0xa0, 0},
	"802.1ad":     {0x88, 0xa8, 0xa0, 0},
	"two tags":    {0x88, 0xa8, 0xa0, 0, 0x81, 0, 0xa0, 0},
	"three of 1Q": {0x81, 0, 0xa0, 0, 0x81, 0, 0xa0, 0, 0x81, 0, 0xa0, 0},
}

// tagged puts a stack of tags into an untagged frame.
func tagged(b, tags []byte) []byte { return slices.Insert(slices.Clone(b), 12, tags...) }

// request is a broadcast request of 60 bytes whose padding holds what a careless
// sender leaves there.
func request(mac frame.MAC, ip, target netip.Addr) []byte {
	b := AppendRequest(nil, mac, ip, target)
	copy(b[frame.EthernetHeaderLen+frame.ARPLen:], "leaked secret")
	return b
}

// with changes a frame before it is used.
func with(b []byte, edit func(eth frame.Ethernet, packet frame.ARP)) []byte {
	eth := frame.Ethernet(b)
	edit(eth, frame.ARP(eth.Payload()))
	return b
}

// operation is a packet of another operation than a request, to a peer.
func operation(op uint16, mac frame.MAC, ip, target netip.Addr) []byte {
	return with(request(mac, ip, target), func(eth frame.Ethernet, p frame.ARP) {
		eth.SetDst(c2MAC)
		p.SetOperation(op)
		p.SetTarget(c2MAC, target)
	})
}

func unicast(b []byte, to frame.MAC) []byte {
	return with(b, func(eth frame.Ethernet, _ frame.ARP) { eth.SetDst(to) })
}

// answer is the reply that tells the host to at toIP that ip is at mac.
func answer(mac frame.MAC, ip netip.Addr, to frame.MAC, toIP netip.Addr) expect {
	return expect{
		dst: to, src: mac, operation: layers.ARPReply,
		senderMAC: mac, senderIP: ip, targetMAC: to, targetIP: toIP,
	}
}

func TestRespondAnswers(t *testing.T) {
	t.Parallel()
	filled := with(request(c1MAC, c1IP, c2IP), func(_ frame.Ethernet, p frame.ARP) {
		p.SetTarget(frame.Broadcast, c2IP)
	})
	proxied := with(request(c1MAC, c1IP, c2IP), func(eth frame.Ethernet, _ frame.ARP) {
		eth.SetSrc(newMAC) // the answer is for ar$sha
	})
	toC2 := answer(c2MAC, c2IP, c1MAC, c1IP)
	gateway := func(mac frame.MAC, ip netip.Addr) expect {
		return answer(gatewayMAC, gatewayIP, mac, ip)
	}
	for name, test := range map[string]struct {
		frame []byte
		from  Origin
		want  expect
	}{
		"request for a container":   {request(c1MAC, c1IP, c2IP), fromC1, toC2},
		"request of a trusted port": {request(c1MAC, c1IP, c2IP), fromTrusted, toC2},
		"without padding":           {request(c1MAC, c1IP, c2IP)[:42], fromC1, toC2},
		"with much padding": {
			append(request(c1MAC, c1IP, c2IP), make([]byte, 1454)...), fromC1, toC2,
		},
		"target MAC filled already":  {filled, fromC1, toC2},
		"Ethernet source of another": {proxied, fromC1, toC2},
		"unicast revalidation":       {unicast(request(c1MAC, c1IP, c2IP), c2MAC), fromC1, toC2},
		"request for the gateway":    {request(c1MAC, c1IP, gatewayIP), fromC1, gateway(c1MAC, c1IP)},
		"unicast to the gateway": {
			unicast(request(c1MAC, c1IP, gatewayIP), gatewayMAC), fromC1, gateway(c1MAC, c1IP),
		},
		"unbound asks for the gateway": {
			request(newMAC, unboundIP, gatewayIP), fromTrusted, gateway(newMAC, unboundIP),
		},
		"the host asks for a container": {
			request(gatewayMAC, gatewayIP, c2IP), fromHost, answer(c2MAC, c2IP, gatewayMAC, gatewayIP),
		},
		"probe for another's": {
			request(c1MAC, noIP, c2IP), fromC1, answer(c2MAC, c2IP, c1MAC, noIP),
		},
		"trusted probe for another's": {
			request(c1MAC, noIP, c2IP), fromTrusted, answer(c2MAC, c2IP, c1MAC, noIP),
		},
		"probe from another MAC": {
			request(newMAC, noIP, c2IP), fromC1, answer(c2MAC, c2IP, newMAC, noIP),
		},
		"probe of a holder of none": {
			request(newMAC, noIP, c1IP), fromOther, answer(c1MAC, c1IP, newMAC, noIP),
		},
		"unicast probe": {
			unicast(request(c1MAC, noIP, c2IP), c2MAC), fromC1, answer(c2MAC, c2IP, c1MAC, noIP),
		},
		"probe for the gateway's": {request(c1MAC, noIP, gatewayIP), fromC1, gateway(c1MAC, noIP)},
		"the host probes": {
			request(gatewayMAC, noIP, c2IP), fromHost, answer(c2MAC, c2IP, gatewayMAC, noIP),
		},
	} {
		for stack, tags := range tagStacks {
			t.Run(name+"/"+stack, func(t *testing.T) {
				t.Parallel()
				b := tagged(test.frame, tags)
				length, offset := len(b), frame.EthernetHeaderLen+len(tags)
				if got := NewResponder(segment(t)).Respond(b, offset, test.from); got != Answered {
					t.Fatalf("got %v, want %v", got, Answered)
				}
				if len(b) != length || !bytes.Equal(b[12:12+len(tags)], tags) {
					t.Errorf("%d bytes, tags % x, became %d, % x", length, tags, len(b), b[12:offset])
				}
				checkAt(t, b, offset, test.want)
			})
		}
	}
}

func TestRespondLeavesAlone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		frame []byte
		from  Origin
		want  Verdict
	}{
		"unknown target": {request(c1MAC, c1IP, unboundIP), fromC1, Pass},
		"unicast to an unknown target": {
			unicast(request(c1MAC, c1IP, unboundIP), newMAC), fromC1, Pass,
		},
		"unbound sender, unknown target": {request(newMAC, unboundIP, unboundIP.Next()), fromC1, Pass},
		"unbound sender asks for a peer": {request(newMAC, unboundIP, c2IP), fromTrusted, Pass},
		"unbound, untrusted, for a peer": {request(c1MAC, unboundIP, c2IP), fromC1, Pass},
		"unbound sender, unicast to peer": {
			unicast(request(newMAC, unboundIP, c2IP), c2MAC), fromTrusted, Pass,
		},
		"unbound sender asks for c1's":     {request(newMAC, unboundIP, c1IP), fromC1, Pass},
		"unbound host's for the gateway's": {request(newMAC, unboundIP, gatewayIP), fromHost, Pass},
		"announcement of the sender's own": {request(c1MAC, c1IP, c1IP), fromC1, Pass},
		"announcement of an unbound":       {request(newMAC, unboundIP, unboundIP), fromC1, Pass},
		"announcement of the host":         {request(gatewayMAC, gatewayIP, gatewayIP), fromHost, Pass},
		"0.0.0.0 asks for 0.0.0.0":         {request(c1MAC, noIP, noIP), fromC1, Pass},
		"reply of the sender's own":        {operation(frame.ARPReply, c1MAC, c1IP, c2IP), fromC1, Pass},
		"reply of an unbound address": {
			operation(frame.ARPReply, newMAC, unboundIP, c2IP), fromC1, Pass,
		},
		"reply from 0.0.0.0": {operation(frame.ARPReply, c1MAC, noIP, c2IP), fromC1, Pass},
		"RARP request":       {operation(3, c1MAC, c1IP, c2IP), fromC1, Pass},
		"operation zero":     {operation(0, c1MAC, noIP, c2IP), fromC1, Pass},

		"probe for an unknown address": {request(c1MAC, noIP, unboundIP), fromC1, Probe},
		"trusted probe for an unknown": {request(newMAC, noIP, unboundIP), fromTrusted, Probe},
		"unicast probe for an unknown": {
			unicast(request(c1MAC, noIP, unboundIP), newMAC), fromC1, Probe,
		},
		"probe for the prober's own":     {request(c1MAC, noIP, c1IP), fromC1, Probe},
		"probe from a MAC behind":        {request(newMAC, noIP, c1IP), fromTrusted, Probe},
		"the host probes for its own":    {request(gatewayMAC, noIP, gatewayIP), fromHost, Probe},
		"probe for the broadcast":        {request(c1MAC, noIP, frame.LimitedBroadcast), fromC1, Probe},
		"host's probe for an unknown":    {request(gatewayMAC, noIP, unboundIP), fromHost, Probe},
		"unbound port's probe, unknown":  {request(newMAC, noIP, unboundIP), fromOther, Probe},
		"a probe of no port for unknown": {request(newMAC, noIP, unboundIP), Origin{}, Probe},

		"announcement of another's":     {request(c1MAC, c2IP, c2IP), fromC1, Spoofed},
		"trusted, of another's":         {request(c1MAC, c2IP, c2IP), fromTrusted, Spoofed},
		"announcement of the gateway's": {request(c1MAC, gatewayIP, gatewayIP), fromTrusted, Spoofed},
		"the gateway's, with its MAC": {
			request(gatewayMAC, gatewayIP, gatewayIP), fromTrusted, Spoofed,
		},
		"another's, with its MAC":       {request(c2MAC, c2IP, c1IP), fromC1, Spoofed},
		"request in another's name":     {request(c1MAC, c2IP, unboundIP), fromTrusted, Spoofed},
		"request in the gateway's name": {request(c1MAC, gatewayIP, c2IP), fromTrusted, Spoofed},
		"another's name, for the own":   {request(c1MAC, c2IP, c1IP), fromTrusted, Spoofed},
		"reply in another's name": {
			operation(frame.ARPReply, c1MAC, c2IP, c1IP), fromTrusted, Spoofed,
		},
		"reply in the gateway's name": {
			operation(frame.ARPReply, c1MAC, gatewayIP, c2IP), fromTrusted, Spoofed,
		},
		"RARP in the gateway's name":   {operation(3, c1MAC, gatewayIP, c2IP), fromTrusted, Spoofed},
		"operation 0 in another's":     {operation(0, c1MAC, c2IP, c1IP), fromTrusted, Spoofed},
		"a holder of none, as c1":      {request(c1MAC, c1IP, c2IP), fromOther, Spoofed},
		"no port, as c1":               {request(c1MAC, c1IP, c2IP), Origin{}, Spoofed},
		"the host, as a container":     {request(gatewayMAC, c1IP, c2IP), fromHost, Spoofed},
		"own address with another MAC": {request(newMAC, c1IP, c2IP), fromC1, Spoofed},
		"own, announced with another":  {request(newMAC, c1IP, c1IP), fromC1, Spoofed},
		"own, replied with another MAC": {
			operation(frame.ARPReply, newMAC, c1IP, c2IP), fromC1, Spoofed,
		},
		"own, another operation and MAC": {operation(8, newMAC, c1IP, c2IP), fromC1, Spoofed},

		"trusted, other operation and MAC": {operation(8, newMAC, c1IP, c2IP), fromTrusted, Pass},
	} {
		for stack, tags := range tagStacks {
			t.Run(name+"/"+stack, func(t *testing.T) {
				t.Parallel()
				b, offset := tagged(test.frame, tags), frame.EthernetHeaderLen+len(tags)
				leavesAlone(t, b, offset, test.from, test.want)
			})
		}
	}
}

// leavesAlone checks a verdict that changes neither the frame nor the table.
func leavesAlone(t *testing.T, b []byte, offset int, from Origin, want Verdict) {
	t.Helper()
	before, table := slices.Clone(b), segment(t)
	if got := NewResponder(table).Respond(b, offset, from); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if !bytes.Equal(b, before) {
		t.Errorf("the frame was changed\nfrom % x\nto   % x", before, b)
	}
	if got := table.Bindings(); !slices.Equal(got, held()) {
		t.Errorf("the table was changed to %v", got)
	}
}

func TestRespondMalformed(t *testing.T) {
	t.Parallel()
	octet := func(offset int, value byte) []byte {
		return with(request(c1MAC, c1IP, c2IP), func(_ frame.Ethernet, p frame.ARP) { p[offset] = value })
	}
	good := request(c1MAC, c1IP, c2IP)
	for name, test := range map[string]struct {
		frame  []byte
		offset int
	}{
		"empty":                              {nil, 14},
		"Ethernet header only":               {good[:14], 14},
		"half an Ethernet header":            {good[:7], 14},
		"last byte missing":                  {good[:41], 14},
		"hardware type other than Ethernet":  {octet(1, 6), 14},
		"protocol type other than IPv4":      {octet(2, 0x86), 14},
		"hardware address length other":      {octet(4, 8), 14},
		"protocol address length other":      {octet(5, 16), 14},
		"from the zero MAC":                  {request(frame.MAC{}, c1IP, c2IP), 14},
		"from the broadcast MAC":             {request(frame.Broadcast, c1IP, c2IP), 14},
		"from a multicast MAC":               {request(multicastMAC, c1IP, c2IP), 14},
		"reply from the zero MAC":            {operation(frame.ARPReply, frame.MAC{}, c1IP, c2IP), 14},
		"unknown target, from the zero MAC":  {request(frame.MAC{}, c1IP, unboundIP), 14},
		"announcement, from a multicast MAC": {request(multicastMAC, c1IP, c1IP), 14},
		"probe from a multicast MAC":         {request(multicastMAC, noIP, c2IP), 14},
		"another's, from the zero MAC":       {request(frame.MAC{}, c2IP, c2IP), 14},
		"offset of a tag that is not there":  {good, 18},
		"offset inside the header":           {good, 13},
		"offset 0":                           {good, 0},
		"offset below 0":                     {good, -1},
		"offset at the end":                  {good, len(good)},
		"offset behind the end":              {good, len(good) + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leavesAlone(t, test.frame, test.offset, fromTrusted, Malformed)
		})
	}
}

// A trusted port's packets about its own address, with another MAC, pass
// unchanged whatever they ask for, and move the address to that MAC.
func TestRespondClaims(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"announcement":               request(newMAC, c1IP, c1IP),
		"announcement as reply":      operation(frame.ARPReply, newMAC, c1IP, c1IP),
		"reply":                      operation(frame.ARPReply, newMAC, c1IP, c2IP),
		"request for a peer":         request(newMAC, c1IP, c2IP),
		"request for the gateway":    request(newMAC, c1IP, gatewayIP),
		"unicast request for a peer": unicast(request(newMAC, c1IP, c2IP), c2MAC),
		"request for an unknown":     request(newMAC, c1IP, unboundIP),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := segment(t)
			responder, before := NewResponder(table), slices.Clone(b)
			if got := responder.Respond(b, 14, fromTrusted); got != Pass {
				t.Errorf("got %v, want %v", got, Pass)
			}
			if !bytes.Equal(b, before) {
				t.Errorf("the frame was changed\nfrom % x\nto   % x", before, b)
			}
			carries(t, table, c1IP, newMAC)
			carries(t, table, c1IPv6, c1MAC)
			carries(t, table, c2IP, c2MAC)

			asked := request(c2MAC, c2IP, c1IP)
			if got := responder.Respond(asked, 14, Origin{Slot: c2Slot}); got != Answered {
				t.Fatalf("a peer's request: got %v, want %v", got, Answered)
			}
			check(t, asked, answer(newMAC, c1IP, c2MAC, c2IP))
			again := request(newMAC, c1IP, gatewayIP)
			if got := responder.Respond(again, 14, fromTrusted); got != Answered {
				t.Errorf("the next request from the new MAC: got %v, want %v", got, Answered)
			}
			back := request(c1MAC, c1IP, c1IP)
			if got := responder.Respond(back, 14, fromTrusted); got != Pass {
				t.Errorf("the old MAC again: got %v, want %v", got, Pass)
			}
			carries(t, table, c1IP, c1MAC)
		})
	}
}

func TestRespondFollowsTheTable(t *testing.T) {
	t.Parallel()
	var table Table
	responder := NewResponder(&table)
	respond := func(when string, b []byte, want Verdict) {
		t.Helper()
		if got := responder.Respond(b, 14, fromC1); got != want {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	respond("before Bind", request(c1MAC, c1IP, c2IP), Pass)
	respond("probe before Bind", request(c1MAC, noIP, c2IP), Probe)
	for _, b := range held() {
		if err := table.Bind(b); err != nil {
			t.Fatal(err)
		}
	}
	respond("after Bind", request(c1MAC, c1IP, c2IP), Answered)
	respond("claim after Bind", request(c1MAC, c2IP, c2IP), Spoofed)
	table.Unbind(c1IP)
	respond("the asker is unbound", request(c1MAC, c1IP, c2IP), Pass)
	respond("probe of the unbound asker", request(c1MAC, noIP, c2IP), Answered)
	table.Unbind(c2IP)
	respond("after Unbind", request(c1MAC, noIP, c2IP), Probe)
	respond("claim after Unbind", request(c1MAC, c2IP, c2IP), Pass)
}

func TestRespondAllocs(t *testing.T) {
	responder := NewResponder(segment(t))
	for name, test := range map[string]struct {
		frame []byte
		from  Origin
		want  Verdict
	}{
		"an answer":      {request(c1MAC, c1IP, c2IP), fromC1, Answered},
		"a refusal":      {request(c1MAC, c2IP, c2IP), fromC1, Spoofed},
		"a probe":        {request(c1MAC, noIP, unboundIP), fromC1, Probe},
		"a claim":        {request(newMAC, c1IP, c2IP), fromTrusted, Pass},
		"a claim undone": {request(c1MAC, c1IP, c1IP), fromTrusted, Pass},
	} {
		work := slices.Clone(test.frame)
		var verdict Verdict
		if n := testing.AllocsPerRun(1000, func() {
			copy(work, test.frame)
			responder.table.Claim(c1IP, c1Slot, c1MAC)
			verdict = responder.Respond(work, 14, test.from)
		}); n != 0 {
			t.Errorf("%v allocations for %s, want none", n, name)
		}
		if verdict != test.want {
			t.Errorf("%s: got %v, want %v", name, verdict, test.want)
		}
	}
}

func TestVerdictString(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[Verdict]string{
		Pass: "pass", Answered: "answered", Malformed: "malformed",
		Spoofed: "spoofed", Probe: "probe", 9: "verdict(9)",
	} {
		if got := verdict.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
