package arp

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"vswitch/frame"
)

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

func TestRespondAnswers(t *testing.T) {
	t.Parallel()
	none := netip.IPv4Unspecified()
	answer := func(mac frame.MAC, ip, toIP netip.Addr) expect {
		return expect{
			dst: c1MAC, src: mac, operation: layers.ARPReply,
			senderMAC: mac, senderIP: ip, targetMAC: c1MAC, targetIP: toIP,
		}
	}
	for name, test := range map[string]struct {
		frame []byte
		want  expect
	}{
		"request for the gateway": {request(c1MAC, c1IP, gatewayIP), answer(gatewayMAC, gatewayIP, c1IP)},
		"request for a container": {request(c1MAC, c1IP, c2IP), answer(c2MAC, c2IP, c1IP)},
		"without padding":         {request(c1MAC, c1IP, c2IP)[:42], answer(c2MAC, c2IP, c1IP)},
		"with much padding": {
			append(request(c1MAC, c1IP, c2IP), bytes.Repeat([]byte{0xee}, 1454)...),
			answer(c2MAC, c2IP, c1IP),
		},
		"from an unbound address":   {request(c1MAC, unboundIP, c2IP), answer(c2MAC, c2IP, unboundIP)},
		"probe for another's":       {request(c1MAC, none, c2IP), answer(c2MAC, c2IP, none)},
		"probe for the gateway's":   {request(c1MAC, none, gatewayIP), answer(gatewayMAC, gatewayIP, none)},
		"target MAC filled already": {with(request(c1MAC, c1IP, c2IP), func(_ frame.Ethernet, p frame.ARP) { p.SetTarget(frame.Broadcast, c2IP) }), answer(c2MAC, c2IP, c1IP)},
		"unicast revalidation":      {with(request(c1MAC, c1IP, c2IP), func(e frame.Ethernet, _ frame.ARP) { e.SetDst(c2MAC) }), answer(c2MAC, c2IP, c1IP)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			length := len(test.frame)
			if got := NewResponder(segment(t)).Respond(test.frame); got != Answered {
				t.Fatalf("got %v, want %v", got, Answered)
			}
			if len(test.frame) != length {
				t.Errorf("length went from %d to %d", length, len(test.frame))
			}
			check(t, test.frame, test.want)
		})
	}
}

func TestRespondLeavesAlone(t *testing.T) {
	t.Parallel()
	none := netip.IPv4Unspecified()
	sender := func(mac frame.MAC) []byte { return request(mac, c1IP, c2IP) }
	operation := func(op uint16) []byte {
		return with(request(c1MAC, c1IP, c2IP), func(_ frame.Ethernet, p frame.ARP) { p.SetOperation(op) })
	}
	octet := func(offset int, value byte) []byte {
		return with(request(c1MAC, c1IP, c2IP), func(_ frame.Ethernet, p frame.ARP) { p[offset] = value })
	}
	for name, test := range map[string]struct {
		frame []byte
		want  Verdict
	}{
		"unknown target":                     {request(c1MAC, c1IP, unboundIP), Pass},
		"probe for an unknown address":       {request(c1MAC, none, unboundIP), Pass},
		"probe for the prober's own":         {request(c1MAC, none, c1IP), Pass},
		"request for the asker's own":        {request(c1MAC, unboundIP, c1IP), Pass},
		"announcement of the sender's own":   {request(c1MAC, c1IP, c1IP), Pass},
		"announcement of another's":          {request(c1MAC, c2IP, c2IP), Pass},
		"0.0.0.0 asks for 0.0.0.0":           {request(c1MAC, none, none), Pass},
		"reply":                              {operation(frame.ARPReply), Pass},
		"RARP request":                       {operation(3), Pass},
		"operation zero":                     {operation(0), Pass},
		"empty":                              {nil, Malformed},
		"Ethernet header only":               {request(c1MAC, c1IP, c2IP)[:14], Malformed},
		"last byte missing":                  {request(c1MAC, c1IP, c2IP)[:41], Malformed},
		"hardware type other than Ethernet":  {octet(1, 6), Malformed},
		"protocol type other than IPv4":      {octet(2, 0x86), Malformed},
		"hardware address length other":      {octet(4, 8), Malformed},
		"protocol address length other":      {octet(5, 16), Malformed},
		"from the zero MAC":                  {sender(frame.MAC{}), Malformed},
		"from the broadcast MAC":             {sender(frame.Broadcast), Malformed},
		"from a multicast MAC":               {sender(frame.MAC{0x01, 0, 0x5e, 0, 0, 1}), Malformed},
		"reply from the zero MAC":            {with(operation(frame.ARPReply), func(_ frame.Ethernet, p frame.ARP) { p.SetSender(frame.MAC{}, c1IP) }), Malformed},
		"unknown target, from the zero MAC":  {request(frame.MAC{}, c1IP, unboundIP), Malformed},
		"announcement, from a multicast MAC": {request(frame.MAC{0x33, 0x33}, c1IP, c1IP), Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := slices.Clone(test.frame)
			if got := NewResponder(segment(t)).Respond(test.frame); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if !bytes.Equal(test.frame, before) {
				t.Errorf("the frame was changed\nfrom % x\nto   % x", before, test.frame)
			}
		})
	}
}

func TestRespondFollowsTheTable(t *testing.T) {
	t.Parallel()
	var table Table
	responder := NewResponder(&table)
	if got := responder.Respond(request(c1MAC, c1IP, c2IP)); got != Pass {
		t.Errorf("before Bind: got %v, want %v", got, Pass)
	}
	if err := table.Bind(Binding{IP: c2IP, MAC: c2MAC}); err != nil {
		t.Fatal(err)
	}
	if got := responder.Respond(request(c1MAC, c1IP, c2IP)); got != Answered {
		t.Errorf("after Bind: got %v, want %v", got, Answered)
	}
	table.Unbind(c2IP)
	if got := responder.Respond(request(c1MAC, c1IP, c2IP)); got != Pass {
		t.Errorf("after Unbind: got %v, want %v", got, Pass)
	}
}

func TestRespondDoesNotAllocate(t *testing.T) {
	responder := NewResponder(segment(t))
	original := request(c1MAC, c1IP, c2IP)
	work := slices.Clone(original)
	var verdict Verdict
	if n := testing.AllocsPerRun(1000, func() {
		copy(work, original)
		verdict = responder.Respond(work)
	}); n != 0 {
		t.Errorf("%v allocations for an answer", n)
	}
	if verdict != Answered {
		t.Errorf("got %v, want %v", verdict, Answered)
	}
}

func TestVerdictString(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[Verdict]string{Pass: "pass", Answered: "answered", Malformed: "malformed", 9: "verdict(9)"} {
		if got := verdict.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// FuzzRespond holds for any ARP frame that a container can send: no panic, a
// frame is either left alone or becomes the right reply of the same length.
func FuzzRespond(f *testing.F) {
	none := netip.IPv4Unspecified()
	for _, seed := range [][]byte{
		nil,
		request(c1MAC, c1IP, c2IP),
		request(c1MAC, c1IP, c2IP)[:41],
		request(c1MAC, none, gatewayIP),
		request(c1MAC, none, c1IP),
		request(c1MAC, c1IP, c1IP),
		request(frame.Broadcast, c1IP, c2IP),
		request(c1MAC, c1IP, unboundIP),
	} {
		f.Add(seed)
	}
	table := segment(f)
	responder := NewResponder(table)
	f.Fuzz(func(t *testing.T, input []byte) {
		b := slices.Clone(input) // the fuzzer's own bytes must stay as they are
		eth, ok := frame.ParseEthernet(b)
		if !ok {
			return
		}
		eth.SetEtherType(frame.EtherTypeARP) // the caller has checked it
		before := slices.Clone(b)
		if responder.Respond(eth) != Answered {
			if !bytes.Equal(b, before) {
				t.Fatalf("not answered, but changed\nfrom % x\nto   % x", before, b)
			}
			return
		}
		asked := frame.ARP(before[frame.EthernetHeaderLen:])
		mac, ok := table.Lookup(asked.TargetIP())
		if !ok {
			t.Fatalf("answered for %s, which is not bound", asked.TargetIP())
		}
		if mac == asked.SenderMAC() || asked.SenderIP() == asked.TargetIP() {
			t.Fatalf("answered a station about itself: % x", before)
		}
		check(t, b, expect{
			dst: asked.SenderMAC(), src: mac, operation: layers.ARPReply,
			senderMAC: mac, senderIP: asked.TargetIP(),
			targetMAC: asked.SenderMAC(), targetIP: asked.SenderIP(),
		})
	})
}
