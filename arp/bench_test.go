package arp

import (
	"net/netip"
	"testing"

	"vswitch/internal/frame"
)

// many is the number of ports of a large segment.
const many = 4096

// address4 and address6 are those of the port n.
func address4(n int) netip.Addr { return netip.AddrFrom4([4]byte{172, 17, byte(n >> 8), byte(n)}) }

func address6(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(n >> 8), 15: byte(n)})
}

// bindingOf is what the port n answers with for ip.
func bindingOf(n int, ip netip.Addr) Binding {
	return Binding{IP: ip, MAC: frame.MACFromIPv4(address4(n)), Slot: uint32(n + 1)}
}

// large is a table with many ports, each with an address of either family.
func large(tb testing.TB) *Table {
	tb.Helper()
	var t Table
	for n := range many {
		for _, ip := range []netip.Addr{address4(n), address6(n)} {
			if err := t.Bind(bindingOf(n, ip)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return &t
}

func BenchmarkLookup(b *testing.B) {
	table := large(b)
	for name, address := range map[string]func(int) netip.Addr{"IPv4": address4, "IPv6": address6} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if _, ok := table.Lookup(address(n)); !ok {
					b.Fatal("not bound")
				}
				n = (n + 257) % many
			}
		})
	}
}

func BenchmarkRespond(b *testing.B) {
	responder := NewResponder(large(b))
	ask := bindingOf(2, address4(2))
	asked := request(ask.MAC, ask.IP, address4(3))
	buf := make([]byte, len(asked))
	from := Origin{Slot: ask.Slot}
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, asked)
		if got := responder.Respond(buf, frame.EthernetHeaderLen, from); got != Answered {
			b.Fatal(got)
		}
	}
}

// BenchmarkBind changes one binding of a large table, as an attached port does.
func BenchmarkBind(b *testing.B) {
	table := large(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := table.Bind(bindingOf(7, address6(7))); err != nil {
			b.Fatal(err)
		}
	}
}
