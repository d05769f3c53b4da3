package dns

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"

	mdns "github.com/miekg/dns"
)

// Station is what a segment knows of one of its ports.
type Station struct {
	// Addrs are the station's addresses, of IPv4 and IPv6. One with a zone has no
	// place in DNS and is left out.
	Addrs []netip.Addr
	Name  string // what its addresses are called, and one of its names
	// Aliases are further names, which it may share with other stations.
	Aliases []string
}

// Names holds the stations of one segment. Lookups take no lock; the zero value
// is empty.
type Names struct {
	table atomic.Pointer[table]
}

type table struct {
	addrs map[string]addresses  // by canonical name
	names map[netip.Addr]string // fully qualified
}

// addresses are those of a name.
type addresses struct{ v4, v6 []netip.Addr }

// add adds an address that is not there yet.
func (a *addresses) add(addr netip.Addr) {
	list := &a.v6
	if addr.Is4() {
		list = &a.v4
	}
	if !slices.Contains(*list, addr) {
		*list = append(*list, addr)
	}
}

// Set replaces all stations. A name that DNS cannot express, such as "a..b", is
// left out.
func (n *Names) Set(stations []Station) {
	t := &table{addrs: make(map[string]addresses), names: make(map[netip.Addr]string)}
	for _, s := range stations {
		for _, addr := range s.Addrs {
			if addr.IsValid() && addr.Zone() == "" {
				t.add(addr.Unmap(), s)
			}
		}
	}
	n.table.Store(t)
}

// add puts an address of a station under each of its names.
func (t *table) add(addr netip.Addr, s Station) {
	for _, name := range append([]string{s.Name}, s.Aliases...) {
		if key, ok := nameKey(name); ok {
			all := t.addrs[key]
			all.add(addr)
			t.addrs[key] = all
		}
	}
	if _, ok := nameKey(s.Name); ok {
		t.names[addr] = mdns.Fqdn(s.Name)
	}
}

// nameKey returns the canonical form of a name, and false for one that DNS cannot
// express and for the root.
func nameKey(name string) (string, bool) {
	key := mdns.CanonicalName(name)
	_, ok := mdns.IsDomainName(key)
	return key, ok && key != "."
}

// lookup returns the addresses of a fully qualified name, and whether there is such a
// name.
func (n *Names) lookup(name string) (all addresses, ok bool) {
	if t := n.table.Load(); t != nil {
		all, ok = t.addrs[mdns.CanonicalName(name)]
	}
	return all, ok
}

// shuffled returns a list in any order, so that those who share a name share the
// load.
func shuffled(addrs []netip.Addr) []netip.Addr {
	addrs = slices.Clone(addrs)
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return addrs
}

// reverse returns the fully qualified name of an address; "" if it has none.
func (n *Names) reverse(addr netip.Addr) string {
	if t := n.table.Load(); t != nil {
		return t.names[addr]
	}
	return ""
}
