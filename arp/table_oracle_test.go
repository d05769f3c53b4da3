package arp

import (
	"net/netip"
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/test/lab/seed"
)

// tableOracle is a table written as its documentation reads: a list that each look
// searches from the start.
type tableOracle []Binding

func (o *tableOracle) index(ip netip.Addr) int {
	if ip.Zone() != "" {
		return -1
	}
	return slices.IndexFunc(*o, func(b Binding) bool { return b.IP == ip.Unmap() })
}

func (o *tableOracle) bind(b Binding) bool {
	ip := b.IP.Unmap()
	last := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if b.IP.Zone() != "" || !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() ||
		ip.IsLoopback() || ip == last || b.MAC[0]&1 == 1 || b.MAC == (frame.MAC{}) {
		return false
	}
	o.unbind(ip)
	b.IP = ip
	*o = append(*o, b)
	return true
}

func (o *tableOracle) unbind(ip netip.Addr) {
	if i := o.index(ip); i >= 0 {
		*o = slices.Delete(*o, i, i+1)
	}
}

func (o *tableOracle) claim(ip netip.Addr, slot uint32, mac frame.MAC) bool {
	i := o.index(ip)
	if i < 0 || (*o)[i].Slot != slot || mac[0]&1 == 1 || mac == (frame.MAC{}) {
		return false
	}
	changed := (*o)[i].MAC != mac
	(*o)[i].MAC = mac
	return changed
}

// oracleAddrs are addresses of both families and of every form, some of which nobody
// can have.
var oracleAddrs = func() (all []netip.Addr) {
	for n := range 24 {
		four, six := address4(n*255), address6(n*257)
		all = append(all, four, six, netip.AddrFrom16(four.As16()), six.WithZone("eth0"))
	}
	for _, s := range []string{
		"0.0.0.0", "255.255.255.255", "224.0.0.251", "127.0.0.1", "169.254.1.1",
		"::", "::1", "ff02::1", "fe80::1", "fe80::1%eth0", "::172.17.0.1", "2001:db8::1",
		"::ffff:0.0.0.0", "::ffff:224.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
	} {
		all = append(all, netip.MustParseAddr(s))
	}
	return append(all, netip.Addr{}, netip.AddrFrom16(c1IP.As16()).WithZone("eth0"))
}()

var oracleMACs = []frame.MAC{c1MAC, c2MAC, gatewayMAC, newMAC, {}, frame.Broadcast, multicastMAC}

// checkTable changes a table as the bytes say, three for each change.
func checkTable(t *testing.T, input []byte) {
	t.Helper()
	var table Table
	var oracle tableOracle
	for change := range slices.Chunk(input, 3) {
		if len(change) < 3 {
			break
		}
		ip := oracleAddrs[int(change[1])%len(oracleAddrs)]
		mac, slot := oracleMACs[int(change[2]>>4)%len(oracleMACs)], uint32(change[2]%4)
		switch change[0] % 8 {
		case 0, 1, 2:
			b := Binding{IP: ip, MAC: mac, Slot: slot, Kind: Kind(change[2] >> 2 % 2), Port: "p"}
			if err := table.Bind(b); (err == nil) != oracle.bind(b) {
				t.Fatalf("bind %+v: %v", b, err)
			}
		case 3, 4:
			table.Unbind(ip)
			oracle.unbind(ip)
		default:
			if got, want := table.Claim(ip, slot, mac), oracle.claim(ip, slot, mac); got != want {
				t.Fatalf("claim %s from %d with %s: got %v, want %v", ip, slot, mac, got, want)
			}
		}
		compareTable(t, &table, oracle)
	}
}

func compareTable(t *testing.T, table *Table, oracle tableOracle) {
	t.Helper()
	want := slices.Clone(oracle)
	slices.SortFunc(want, func(a, b Binding) int { return a.IP.Compare(b.IP) })
	if got := table.Bindings(); !slices.Equal(got, []Binding(want)) {
		t.Fatalf("the table lists %v, want %v", got, want)
	}
	for _, ip := range oracleAddrs {
		mac, ok := table.Lookup(ip)
		i := oracle.index(ip)
		if ok != (i >= 0) || ok && mac != oracle[i].MAC {
			t.Fatalf("look up %s: got %s, %v, want one of %v", ip, mac, ok, want)
		}
	}
}

func TestTableAgainstOracle(t *testing.T) {
	t.Parallel()
	rnd := seed.New(t)
	for range 20 {
		input := make([]byte, 3*600)
		for i := range input {
			input[i] = byte(rnd.Uint32())
		}
		checkTable(t, input)
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 17, 5, 0, 49, 3, 1, 0, 0, 2, 0})
	f.Fuzz(func(t *testing.T, input []byte) { checkTable(t, input[:min(len(input), 3*600)]) })
}

// A table costs no more for one that is changed often: what was removed leaves
// nothing behind.
func TestIndexStaysSmall(t *testing.T) {
	t.Parallel()
	var table Table
	for n := range 100_000 {
		ip := address6(n % 60_000)
		if err := table.Bind(bindingOf(n%many, ip)); err != nil {
			t.Fatal(err)
		}
		if n >= 10 {
			table.Unbind(address6((n - 10) % 60_000))
		}
	}
	if got := len(table.Bindings()); got != 10 {
		t.Errorf("%d bindings, want 10", got)
	}
	if n := len(table.index.Load().slots); n > 64 {
		t.Errorf("the index has %d slots for 10 bindings", n)
	}
}
