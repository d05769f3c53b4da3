package arp

import (
	"fmt"
	"maps"
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

// Table holds the bindings of one segment, at most one per address. The zero
// Table is empty and ready; it must not be copied after its first use.
//
// Readers load an immutable snapshot and never wait. Bind and Unbind copy the
// snapshot, change the copy and publish it: a change costs time in proportion to
// the table, which is acceptable for the few thousand addresses of a segment on
// the control side and would not be on the data side. Claim writes one atomic
// word of an entry instead, so a container may cause it at line rate.
type Table struct {
	mu       sync.Mutex // held by Bind and Unbind from load to store of snapshot
	snapshot atomic.Pointer[bindings]
}

// bindings is never changed once it is published. Its keys are as [key] returns
// them.
type bindings map[netip.Addr]*entry

// entry is one binding. Snapshots share it until the next Bind of its address
// puts a new one in its place.
type entry struct {
	Binding               // as given to Bind, with its key for IP
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
	ip := key(b.IP)
	if !isHost(ip) {
		return fmt.Errorf("bind %s to %s: the address must be the IPv4 or IPv6 address "+
			"of one host, without a zone", ip, b.MAC)
	}
	if !b.MAC.IsUnicast() {
		return fmt.Errorf("bind %s to %s: the MAC must be unicast and not zero", ip, b.MAC)
	}
	b.IP = ip
	e := &entry{Binding: b}
	e.mac.Store(b.MAC.Uint64())
	t.change(func(m bindings) { m[ip] = e })
	return nil
}

// key returns ip as the table knows it: an IPv4-mapped address as IPv4. One with
// a zone stays as it is, and so is never found.
func key(ip netip.Addr) netip.Addr {
	if ip.Zone() != "" {
		return ip
	}
	return ip.Unmap()
}

// limitedBroadcast is the address of all hosts on the link (RFC 919 §7).
var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// isHost reports whether ip can be the address of one host on a link.
func isHost(ip netip.Addr) bool {
	return ip.IsValid() && ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast() &&
		ip != limitedBroadcast
}

// Unbind removes the binding of ip, if there is one.
func (t *Table) Unbind(ip netip.Addr) {
	ip = key(ip)
	t.change(func(m bindings) { delete(m, ip) })
}

// change publishes a copy of the table after edit worked on it.
func (t *Table) change(edit func(bindings)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := maps.Clone(t.load())
	if next == nil {
		next = bindings{}
	}
	edit(next)
	t.snapshot.Store(&next)
}

// load returns the current snapshot, nil as long as nothing was ever bound.
func (t *Table) load() bindings {
	if p := t.snapshot.Load(); p != nil {
		return *p
	}
	return nil
}

// Claim makes answers for ip carry mac, if ip is bound to slot, until the next
// Bind of ip. It is for an announcement that came from the port in slot itself:
// an interface's MAC can change, and an address can move to a host behind the
// port. Claim returns whether it changed the MAC; it does not, either, for a MAC
// that is zero or a group's. It takes no lock and does not allocate.
func (t *Table) Claim(ip netip.Addr, slot uint32, mac frame.MAC) bool {
	e := t.load()[key(ip)]
	return e != nil && e.Slot == slot && mac.IsUnicast() && e.claim(mac)
}

// Lookup returns the MAC that answers for ip carry, a claimed one included, and
// whether ip is bound. It takes no lock and does not allocate.
func (t *Table) Lookup(ip netip.Addr) (frame.MAC, bool) {
	if e := t.load()[key(ip)]; e != nil {
		return e.answer(), true
	}
	return frame.MAC{}, false
}

// Bindings lists the table in the order of addresses, IPv4 first, each with the
// MAC that answers carry now.
func (t *Table) Bindings() []Binding {
	all := t.load()
	list := make([]Binding, 0, len(all))
	for _, e := range all {
		list = append(list, e.current())
	}
	slices.SortFunc(list, func(a, b Binding) int { return a.IP.Compare(b.IP) })
	return list
}
