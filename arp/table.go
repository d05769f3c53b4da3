package arp

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"vswitch/internal/frame"
)

// Kind says whose address a binding is.
type Kind uint8

// The kinds of a binding.
const (
	Port    Kind = iota // a container's, behind a port
	Gateway             // the segment's gateway, which the switch itself plays
)

// String returns "port" or "gateway".
func (k Kind) String() string {
	switch k {
	case Port:
		return "port"
	case Gateway:
		return "gateway"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Binding says which MAC answers for an address, and which port holds it.
type Binding struct {
	IP   netip.Addr
	MAC  frame.MAC
	Kind Kind
	Port string // name of the port that holds the address
	Slot uint32 // the switch's number of that port, > 0; the gateway has one of its own
}

// Table holds the bindings of one segment, of IPv4 and IPv6, at most one per
// address. The zero Table is empty and ready; it must not be copied after its first
// use.
//
// Readers never wait. Bind and Unbind change one slot of the index, whatever the
// table's size, and now and then put a larger index in its place: that is for the
// control side. Claim writes one atomic word of an entry, so a container may cause
// it at line rate.
type Table struct {
	mu    sync.Mutex            // held by Bind and Unbind, who change the index
	index atomic.Pointer[index] // nil as long as nothing was ever bound
}

// entry is one binding. Indexes share it until the next Bind of its address puts a
// new one in its place.
type entry struct {
	key     key
	Binding               // as given to Bind, with IPv4 for an IPv4-mapped address
	mac     atomic.Uint64 // frame.MAC.Uint64 of what answers carry: the bound MAC, or a claimed one
}

// current returns the binding with the MAC that answers carry now.
func (e *entry) current() Binding {
	b := e.Binding
	b.MAC = e.answer()
	return b
}

// answer returns the MAC that answers carry now.
func (e *entry) answer() frame.MAC { return frame.MACFromUint64(e.mac.Load()) }

// claim makes answers carry mac and reports whether they carried another before.
func (e *entry) claim(mac frame.MAC) bool {
	v := mac.Uint64()
	// A claim that changes nothing, as most do, leaves the cache line shared.
	return e.mac.Load() != v && e.mac.Swap(v) != v
}

// Bind adds b, in the place of what was bound to its address before; a MAC that
// was claimed for the address is forgotten. An IPv4-mapped IPv6 address is the
// IPv4 address. Bind returns an error, and changes nothing, when the address is
// not one host's or has a zone, or when the MAC is zero or a group's.
func (t *Table) Bind(b Binding) error {
	k, ok := keyOf(b.IP)
	if b.IP = b.IP.Unmap(); !ok || !isHost(b.IP) {
		return fmt.Errorf("bind %s to %s: the address must be the IPv4 or IPv6 address "+
			"of one host, without a zone", b.IP, b.MAC)
	}
	if !b.MAC.IsUnicast() {
		return fmt.Errorf("bind %s to %s: the MAC must be unicast and not zero", b.IP, b.MAC)
	}
	e := &entry{key: k, Binding: b}
	e.mac.Store(b.MAC.Uint64())
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.index.Load()
	if x == nil {
		x = newIndex(0)
	}
	t.index.Store(x.put(e))
	return nil
}

// isHost reports whether ip, which is not IPv4-mapped, can be the address of one host
// on a link.
func isHost(ip netip.Addr) bool {
	return ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLoopback() &&
		ip != frame.LimitedBroadcast
}

// Unbind removes the binding of ip, if there is one.
func (t *Table) Unbind(ip netip.Addr) {
	k, ok := keyOf(ip)
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.index.Load(); x != nil && ok {
		x.remove(k)
	}
}

// find returns the entry of an address without a zone, or nil.
func (t *Table) find(k key) *entry {
	if x := t.index.Load(); x != nil {
		_, e := x.find(k)
		return e
	}
	return nil
}

// Claim makes answers for ip carry mac, if ip is bound to slot, until the next
// Bind of ip. It is for an announcement that came from the port in slot itself:
// an interface's MAC can change, and an address can move to a host behind the
// port. Claim returns whether it changed the MAC; it does not, either, for a MAC
// that is zero or a group's. It takes no lock and does not allocate.
func (t *Table) Claim(ip netip.Addr, slot uint32, mac frame.MAC) bool {
	k, ok := keyOf(ip)
	e := t.find(k)
	return ok && e != nil && e.Slot == slot && mac.IsUnicast() && e.claim(mac)
}

// Lookup returns the MAC that answers for ip carry, a claimed one included, and
// whether ip is bound. It takes no lock and does not allocate.
func (t *Table) Lookup(ip netip.Addr) (frame.MAC, bool) {
	k, ok := keyOf(ip)
	if e := t.find(k); ok && e != nil {
		return e.answer(), true
	}
	return frame.MAC{}, false
}

// Bindings lists the table in the order of addresses, IPv4 first, each with the
// MAC that answers carry now. It holds up no change: of those that are made
// meanwhile the list has some.
func (t *Table) Bindings() []Binding {
	list := []Binding{}
	if x := t.index.Load(); x != nil {
		for e := range x.all {
			list = append(list, e.current())
		}
	}
	slices.SortFunc(list, func(a, b Binding) int { return a.IP.Compare(b.IP) })
	return list
}
