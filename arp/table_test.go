package arp

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"vswitch/frame"
)

var (
	gatewayIP  = netip.MustParseAddr("172.17.0.1")
	gatewayMAC = frame.MACFromIPv4(gatewayIP)
	c1IP       = netip.MustParseAddr("172.17.0.2")
	c1MAC      = frame.MACFromIPv4(c1IP)
	c2IP       = netip.MustParseAddr("172.17.0.3")
	c2MAC      = frame.MACFromIPv4(c2IP)
	unboundIP  = netip.MustParseAddr("172.17.0.9")
)

// segment is a table with a gateway and two containers.
func segment(tb testing.TB) *Table {
	tb.Helper()
	var t Table
	for _, b := range []Binding{
		{IP: c2IP, MAC: c2MAC, Kind: Port, Port: "c2"},
		{IP: gatewayIP, MAC: gatewayMAC, Kind: Gateway},
		{IP: c1IP, MAC: c1MAC, Kind: Port, Port: "c1"},
	} {
		if err := t.Bind(b); err != nil {
			tb.Fatal(err)
		}
	}
	return &t
}

func TestTableListsBindingsByAddress(t *testing.T) {
	t.Parallel()
	want := []Binding{
		{IP: gatewayIP, MAC: gatewayMAC, Kind: Gateway},
		{IP: c1IP, MAC: c1MAC, Kind: Port, Port: "c1"},
		{IP: c2IP, MAC: c2MAC, Kind: Port, Port: "c2"},
	}
	if got := segment(t).Bindings(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := new(Table).Bindings(); len(got) != 0 {
		t.Errorf("an empty table lists %v", got)
	}
}

func TestTableLookup(t *testing.T) {
	t.Parallel()
	table := segment(t)
	if mac, ok := table.Lookup(c1IP); !ok || mac != c1MAC {
		t.Errorf("%s: got %s, %v, want %s", c1IP, mac, ok, c1MAC)
	}
	if mac, ok := table.Lookup(unboundIP); ok {
		t.Errorf("%s was never bound, got %s", unboundIP, mac)
	}
	if _, ok := new(Table).Lookup(c1IP); ok {
		t.Error("an empty table knows an address")
	}

	if err := table.Bind(Binding{IP: c1IP, MAC: c2MAC}); err != nil {
		t.Fatal(err)
	}
	if mac, _ := table.Lookup(c1IP); mac != c2MAC {
		t.Errorf("after binding %s anew: got %s, want %s", c1IP, mac, c2MAC)
	}
	table.Unbind(c1IP)
	table.Unbind(unboundIP)
	if _, ok := table.Lookup(c1IP); ok {
		t.Errorf("%s is bound after Unbind", c1IP)
	}
	if mac, ok := table.Lookup(c2IP); !ok || mac != c2MAC {
		t.Errorf("unbinding another address changed %s: got %s, %v", c2IP, mac, ok)
	}
}

func TestTableTakesMappedAddresses(t *testing.T) {
	t.Parallel()
	mapped := netip.AddrFrom16(c1IP.As16())
	var table Table
	if err := table.Bind(Binding{IP: mapped, MAC: c1MAC}); err != nil {
		t.Fatal(err)
	}
	if mac, ok := table.Lookup(c1IP); !ok || mac != c1MAC {
		t.Errorf("bound as %s: %s gives %s, %v", mapped, c1IP, mac, ok)
	}
	table.Unbind(mapped)
	if got := table.Bindings(); len(got) != 0 {
		t.Errorf("unbound as %s: still lists %v", mapped, got)
	}
}

func TestBindRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		binding Binding
		reason  string
	}{
		"no address":      {Binding{MAC: c1MAC}, "IPv4 address of one station"},
		"IPv6":            {Binding{IP: netip.MustParseAddr("fd00::2"), MAC: c1MAC}, "IPv4 address of one station"},
		"unspecified":     {Binding{IP: netip.IPv4Unspecified(), MAC: c1MAC}, "IPv4 address of one station"},
		"group address":   {Binding{IP: netip.MustParseAddr("224.0.0.1"), MAC: c1MAC}, "IPv4 address of one station"},
		"broadcast":       {Binding{IP: netip.MustParseAddr("255.255.255.255"), MAC: c1MAC}, "IPv4 address of one station"},
		"zero MAC":        {Binding{IP: c1IP}, "unicast"},
		"broadcast MAC":   {Binding{IP: c1IP, MAC: frame.Broadcast}, "unicast"},
		"multicast MAC":   {Binding{IP: c1IP, MAC: frame.MAC{0x01, 0, 0x5e, 0, 0, 1}}, "unicast"},
		"mapped, bad MAC": {Binding{IP: netip.AddrFrom16(c1IP.As16())}, "172.17.0.2 to 00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var table Table
			err := table.Bind(test.binding)
			if err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got error %v, want one that says %q", err, test.reason)
			}
			if got := table.Bindings(); len(got) != 0 {
				t.Errorf("refused, and yet the table lists %v", got)
			}
		})
	}
}

// A reader must see each address either unbound or with its own MAC, whatever
// writers do meanwhile, and no write may be lost.
func TestTableConcurrently(t *testing.T) {
	t.Parallel()
	const writers, each = 4, 200
	address := func(writer, i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(writer), 0, byte(i)}) }
	var (
		table   Table
		writing sync.WaitGroup
		reading sync.WaitGroup
		done    = make(chan struct{})
	)
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				ip := address(w, i)
				if err := table.Bind(Binding{IP: ip, MAC: frame.MACFromIPv4(ip)}); err != nil {
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
				ip := address(w, i)
				if mac, ok := table.Lookup(ip); ok && mac != frame.MACFromIPv4(ip) {
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

func TestKindString(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind]string{Port: "port", Gateway: "gateway", 9: "kind(9)"} {
		if got := kind.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
