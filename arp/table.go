package arp

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"vswitch/frame"
)

// Kind says whose address a binding is.
type Kind uint8

// The kinds of a binding.
const (
	Port    Kind = iota // a container's, behind a port
	Gateway             // the segment's gateway, which the switch itself plays
)

// String is "port" or "gateway".
func (k Kind) String() string {
	switch k {
	case Port:
		return "port"
	case Gateway:
		return "gateway"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Binding says which MAC answers for an IPv4 address.
type Binding struct {
	IP   netip.Addr
	MAC  frame.MAC
	Kind Kind
	Port string // name of the port that owns the address
}

// Table holds the bindings of one segment, at most one per address. The zero
// Table is empty and ready; it must not be copied after its first use.
//
// Readers load an immutable snapshot and never wait. Writers copy the snapshot,
// change the copy and publish it: a change costs time in proportion to the
// table, which a segment's few thousand addresses bear and a hot path would not.
type Table struct {
	mu       sync.Mutex // held by writers from load to store of snapshot
	snapshot atomic.Pointer[bindings]
}

// bindings is never changed once it is published. Its keys are plain IPv4
// addresses, never the IPv4-mapped form.
type bindings map[netip.Addr]Binding

// Bind adds b, in the place of what was bound to its address before. An address
// that is not one IPv4 station's, or a MAC that no station may use, is an error
// and changes nothing.
func (t *Table) Bind(b Binding) error {
	b.IP = b.IP.Unmap()
	if !b.IP.Is4() || b.IP.IsUnspecified() || b.IP.IsMulticast() || b.IP == limitedBroadcast {
		return fmt.Errorf("bind %s to %s: the address must be the IPv4 address of one station", b.IP, b.MAC)
	}
	if !b.MAC.IsUnicast() {
		return fmt.Errorf("bind %s to %s: the MAC must be unicast and not zero", b.IP, b.MAC)
	}
	t.change(func(m bindings) { m[b.IP] = b })
	return nil
}

// limitedBroadcast is the address of every station on the link (RFC 919 §7).
var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Unbind removes the binding of ip, if there is one.
func (t *Table) Unbind(ip netip.Addr) {
	t.change(func(m bindings) { delete(m, ip.Unmap()) })
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

// load is the current snapshot, nil as long as nothing was ever bound.
func (t *Table) load() bindings {
	if p := t.snapshot.Load(); p != nil {
		return *p
	}
	return nil
}

// Lookup is the MAC bound to ip, and whether there is one. It takes no lock and
// does not allocate.
func (t *Table) Lookup(ip netip.Addr) (frame.MAC, bool) {
	b, ok := t.load()[ip.Unmap()]
	return b.MAC, ok
}

// Bindings lists the table in the order of addresses.
func (t *Table) Bindings() []Binding {
	return slices.SortedFunc(maps.Values(t.load()), func(a, b Binding) int { return a.IP.Compare(b.IP) })
}
