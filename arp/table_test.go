package arp

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"vswitch/internal/frame"
)

var (
	gatewayIP  = netip.MustParseAddr("172.17.0.1")
	gatewayMAC = frame.MACFromIPv4(gatewayIP)
	c1IP       = netip.MustParseAddr("172.17.0.2")
	c1MAC      = frame.MACFromIPv4(c1IP)
	c1IPv6     = netip.MustParseAddr("fd00::2")
	c2IP       = netip.MustParseAddr("172.17.0.3")
	c2MAC      = frame.MACFromIPv4(c2IP)
	unboundIP  = netip.MustParseAddr("172.17.0.9")
	newMAC     = frame.MAC{2, 0, 0, 0, 0, 0x77} // bound to nothing

	multicastMAC = frame.MAC{0x01, 0, 0x5e, 0, 0, 1}
)

// The slots of those who hold an address, and of a port that holds none.
const (
	gatewaySlot = 1
	c1Slot      = 2
	c2Slot      = 3
	otherSlot   = 4
)

// held are the bindings of [segment], in the order of addresses.
func held() []Binding {
	return []Binding{
		{IP: gatewayIP, MAC: gatewayMAC, Kind: Gateway, Slot: gatewaySlot},
		{IP: c1IP, MAC: c1MAC, Kind: Port, Port: "c1", Slot: c1Slot},
		{IP: c2IP, MAC: c2MAC, Kind: Port, Port: "c2", Slot: c2Slot},
		{IP: c1IPv6, MAC: c1MAC, Kind: Port, Port: "c1", Slot: c1Slot},
	}
}

// segment is a table with a gateway and two containers.
func segment(tb testing.TB) *Table {
	tb.Helper()
	var t Table
	for _, b := range slices.Backward(held()) {
		if err := t.Bind(b); err != nil {
			tb.Fatal(err)
		}
	}
	return &t
}

// carries fails the test unless answers for ip carry mac.
func carries(tb testing.TB, t *Table, ip netip.Addr, mac frame.MAC) {
	tb.Helper()
	if got, ok := t.Lookup(ip); !ok || got != mac {
		tb.Errorf("Lookup(%s): got %s, %v, want %s", ip, got, ok, mac)
	}
	for _, b := range t.Bindings() {
		if b.IP == ip && b.MAC == mac {
			return
		}
	}
	tb.Errorf("Bindings do not list %s with %s: %v", ip, mac, t.Bindings())
}

func TestTableListsBindingsByAddress(t *testing.T) {
	t.Parallel()
	if got := segment(t).Bindings(); !slices.Equal(got, held()) {
		t.Errorf("got %v, want %v", got, held())
	}
	if got := new(Table).Bindings(); len(got) != 0 {
		t.Errorf("an empty table lists %v", got)
	}
}

func TestTableLookup(t *testing.T) {
	t.Parallel()
	table := segment(t)
	carries(t, table, c1IP, c1MAC)
	carries(t, table, c1IPv6, c1MAC)
	for _, ip := range []netip.Addr{unboundIP, {}, c1IPv6.WithZone("eth0"), c1IPv6.Next()} {
		if mac, ok := table.Lookup(ip); ok {
			t.Errorf("%s was never bound, got %s", ip, mac)
		}
	}
	if _, ok := new(Table).Lookup(c1IP); ok {
		t.Error("an empty table knows an address")
	}

	if err := table.Bind(Binding{IP: c1IP, MAC: c2MAC}); err != nil {
		t.Fatal(err)
	}
	carries(t, table, c1IP, c2MAC)
	carries(t, table, c1IPv6, c1MAC)
	table.Unbind(c1IP)
	table.Unbind(unboundIP)
	table.Unbind(c1IPv6.WithZone("eth0"))
	if _, ok := table.Lookup(c1IP); ok {
		t.Errorf("%s is bound after Unbind", c1IP)
	}
	carries(t, table, c1IPv6, c1MAC)
	carries(t, table, c2IP, c2MAC)
	table.Unbind(c1IPv6)
	if _, ok := table.Lookup(c1IPv6); ok {
		t.Errorf("%s is bound after Unbind", c1IPv6)
	}
}

func TestTableTakesMappedAddresses(t *testing.T) {
	t.Parallel()
	mapped := netip.AddrFrom16(c1IP.As16())
	var table Table
	if err := table.Bind(Binding{IP: mapped, MAC: c1MAC, Slot: c1Slot}); err != nil {
		t.Fatal(err)
	}
	carries(t, &table, c1IP, c1MAC)
	if mac, ok := table.Lookup(mapped); !ok || mac != c1MAC {
		t.Errorf("Lookup(%s): got %s, %v, want %s", mapped, mac, ok, c1MAC)
	}
	if !table.Claim(mapped, c1Slot, newMAC) {
		t.Errorf("Claim(%s) changed nothing", mapped)
	}
	carries(t, &table, c1IP, newMAC)
	table.Unbind(mapped)
	if got := table.Bindings(); len(got) != 0 {
		t.Errorf("unbound as %s: still lists %v", mapped, got)
	}
}

func TestBindRefuses(t *testing.T) {
	t.Parallel()
	const oneHost = "IPv4 or IPv6 address of one host"
	ip := netip.MustParseAddr
	mapped := netip.AddrFrom16(c1IP.As16())
	for name, test := range map[string]struct {
		binding Binding
		reason  string
	}{
		"no address":        {Binding{MAC: c1MAC}, oneHost},
		"IPv4 unspecified":  {Binding{IP: netip.IPv4Unspecified(), MAC: c1MAC}, oneHost},
		"IPv4 multicast":    {Binding{IP: ip("224.0.0.1"), MAC: c1MAC}, oneHost},
		"IPv4 broadcast":    {Binding{IP: ip("255.255.255.255"), MAC: c1MAC}, oneHost},
		"IPv6 unspecified":  {Binding{IP: ip("::"), MAC: c1MAC}, oneHost},
		"IPv6 multicast":    {Binding{IP: ip("ff02::1"), MAC: c1MAC}, oneHost},
		"IPv4 loopback":     {Binding{IP: ip("127.0.0.1"), MAC: c1MAC}, oneHost},
		"IPv6 loopback":     {Binding{IP: ip("::1"), MAC: c1MAC}, oneHost},
		"IPv6 with zone":    {Binding{IP: ip("fe80::2%eth0"), MAC: c1MAC}, "without a zone"},
		"mapped with zone":  {Binding{IP: mapped.WithZone("eth0"), MAC: c1MAC}, "without a zone"},
		"mapped multicast":  {Binding{IP: ip("::ffff:224.0.0.1"), MAC: c1MAC}, oneHost},
		"zero MAC":          {Binding{IP: c1IP}, "unicast"},
		"broadcast MAC":     {Binding{IP: c1IP, MAC: frame.Broadcast}, "unicast"},
		"multicast MAC":     {Binding{IP: c1IP, MAC: multicastMAC}, "unicast"},
		"mapped, bad MAC":   {Binding{IP: mapped}, "172.17.0.2 to 00:00"},
		"IPv6, no such MAC": {Binding{IP: c1IPv6}, "fd00::2 to 00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := segment(t)
			err := table.Bind(test.binding)
			if err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got error %v, want one that says %q", err, test.reason)
			}
			if got := table.Bindings(); !slices.Equal(got, held()) {
				t.Errorf("refused, and yet the table lists %v", got)
			}
		})
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	table := segment(t)
	for _, ip := range []netip.Addr{c1IP, c1IPv6} {
		if !table.Claim(ip, c1Slot, newMAC) {
			t.Errorf("the first claim of %s changed nothing", ip)
		}
		carries(t, table, ip, newMAC)
		if table.Claim(ip, c1Slot, newMAC) {
			t.Errorf("the same claim of %s again is told as a change", ip)
		}
	}
	table.Unbind(c2IP) // publishes another snapshot
	carries(t, table, c1IP, newMAC)
	if !table.Claim(c1IP, c1Slot, c1MAC) {
		t.Errorf("%s: the claim of the bound MAC changed nothing", c1IP)
	}
	carries(t, table, c1IP, c1MAC)
	table.Claim(c1IP, c1Slot, newMAC)
	if err := table.Bind(held()[1]); err != nil {
		t.Fatal(err)
	}
	carries(t, table, c1IP, c1MAC)
	carries(t, table, c1IPv6, newMAC)
}

func TestClaimChangesNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ip   netip.Addr
		slot uint32
		mac  frame.MAC
	}{
		"of an unbound address":     {unboundIP, c1Slot, newMAC},
		"of no address":             {netip.Addr{}, c1Slot, newMAC},
		"of an address with a zone": {c1IPv6.WithZone("eth0"), c1Slot, newMAC},
		"of another port's":         {c1IP, c2Slot, newMAC},
		"of the gateway's":          {gatewayIP, c1Slot, newMAC},
		"from slot 0":               {c1IP, 0, newMAC},
		"with the bound MAC":        {c1IP, c1Slot, c1MAC},
		"with the zero MAC":         {c1IP, c1Slot, frame.MAC{}},
		"with the broadcast MAC":    {c1IP, c1Slot, frame.Broadcast},
		"with a multicast MAC":      {c1IP, c1Slot, multicastMAC},
	} {
		table := segment(t)
		if table.Claim(test.ip, test.slot, test.mac) {
			t.Errorf("%s: Claim says that it changed something", name)
		}
		if got := table.Bindings(); !slices.Equal(got, held()) {
			t.Errorf("%s: the table lists %v, want %v", name, got, held())
		}
	}
	if new(Table).Claim(c1IP, c1Slot, newMAC) {
		t.Error("a claim changed an empty table")
	}
}

func TestTableAllocs(t *testing.T) {
	table := segment(t)
	mapped := netip.AddrFrom16(c1IP.As16())
	var changed int
	if n := testing.AllocsPerRun(1000, func() {
		for _, ip := range []netip.Addr{c1IP, c1IPv6, mapped, unboundIP} {
			table.Lookup(ip)
			for _, mac := range []frame.MAC{newMAC, c1MAC} {
				if table.Claim(ip, c1Slot, mac) {
					changed++
				}
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for lookups and claims, want none", n)
	}
	if changed < 6*1000 {
		t.Errorf("%d claims changed something, want 6 in each run", changed)
	}
}

// A reader must see each address either unbound or with its own MAC, and one that
// stays bound always, whatever writers do meanwhile, and no write may be lost.
func TestTableConcurrently(t *testing.T) {
	t.Parallel()
	const writers, each = 4, 200
	address := func(writer, i int) netip.Addr {
		if writer%2 == 1 {
			return netip.AddrFrom16([16]byte{0: 0xfd, 8: byte(writer), 15: byte(i)})
		}
		return netip.AddrFrom4([4]byte{10, byte(writer), 0, byte(i)})
	}
	macOf := func(writer, i int) frame.MAC { return frame.MAC{2, byte(writer), 0, 0, 0, byte(i)} }
	var (
		table   Table
		writing sync.WaitGroup
		reading sync.WaitGroup
		done    = make(chan struct{})
	)
	if err := table.Bind(Binding{IP: c1IP, MAC: c1MAC}); err != nil {
		t.Fatal(err)
	}
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				ip := address(w, i)
				if err := table.Bind(Binding{IP: ip, MAC: macOf(w, i)}); err != nil {
					t.Error(err)
				}
				if i%2 == 1 {
					table.Unbind(ip)
				}
			}
		})
		reading.Go(func() {
			for i := 0; ; i = (i + 1) % each {
				select {
				case <-done:
					return
				default:
				}
				if mac, ok := table.Lookup(c1IP); !ok || mac != c1MAC {
					t.Errorf("%s, which stays bound: got %s, %v", c1IP, mac, ok)
					return
				}
				ip := address(w, i)
				if mac, ok := table.Lookup(ip); ok && mac != macOf(w, i) {
					t.Errorf("%s: got %s", ip, mac)
					return
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	for w := range writers {
		for i := range each {
			if _, ok := table.Lookup(address(w, i)); ok != (i%2 == 0) {
				t.Errorf("%s: bound is %v", address(w, i), ok)
			}
		}
	}
}

// Claims of a port run beside its bindings and those of others: no reader sees a
// MAC that was neither bound nor claimed by the holder, and a claim that began
// before a Bind does not outlive it.
func TestClaimConcurrently(t *testing.T) {
	t.Parallel()
	const rounds = 2000
	var (
		table  = segment(t)
		claims sync.WaitGroup
		done   = make(chan struct{})
		until  = func(f func(i int)) {
			claims.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
						f(i)
					}
				}
			})
		}
		claimed = func(i int) frame.MAC { return frame.MAC{2, 0xcc, byte(i), byte(i), byte(i), byte(i)} }
		bound   = func(i int) frame.MAC { return frame.MAC{2, 0xbb, byte(i), byte(i), byte(i), byte(i)} }
	)
	until(func(i int) { table.Claim(c1IP, c1Slot, claimed(i)) })
	until(func(i int) { table.Claim(c1IP, c1Slot, claimed(i+1)) })
	until(func(int) {
		if table.Claim(c1IP, c2Slot, newMAC) {
			t.Error("a claim from a slot that never held the address changed it")
		}
	})
	until(func(int) {
		mac, ok := table.Lookup(c1IP)
		i := int(mac[2])
		if ok && mac != c1MAC && mac != claimed(i) && mac != bound(i) {
			t.Errorf("read %s, which was neither bound nor claimed", mac)
		}
	})
	for i := range rounds {
		b := Binding{IP: c1IP, MAC: bound(i), Slot: c1Slot}
		if i%3 == 2 {
			b.Slot = otherSlot // what the claimers lose: from here on Bind's MAC stays
		}
		if err := table.Bind(b); err != nil {
			t.Fatal(err)
		}
		if mac, ok := table.Lookup(c1IP); b.Slot == otherSlot && (!ok || mac != b.MAC) {
			t.Fatalf("bound %s elsewhere: got %s, %v", b.MAC, mac, ok)
		}
		if i%5 == 4 {
			table.Unbind(c1IP)
		}
	}
	close(done)
	claims.Wait()
	carries(t, table, c2IP, c2MAC)
}

func TestKindString(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind]string{Port: "port", Gateway: "gateway", 9: "kind(9)"} {
		if got := kind.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
