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
	Addr netip.Addr
	Name string // what its address is called, and one of its names
	// Aliases are further names, which it may share with other stations.
	Aliases []string
}

// Names holds the stations of one segment. Lookups take no lock; the zero value
// is empty.
type Names struct {
	table atomic.Pointer[table]
}

type table struct {
	addrs map[string][]netip.Addr // by canonical name
	names map[netip.Addr]string   // fully qualified
}

// Set replaces all stations. A name that DNS cannot express, such as "a..b", is
// left out.
func (n *Names) Set(stations []Station) {
	t := &table{addrs: make(map[string][]netip.Addr), names: make(map[netip.Addr]string)}
	for _, s := range stations {
		if !s.Addr.Is4() {
			continue
		}
		for _, name := range append([]string{s.Name}, s.Aliases...) {
			key := mdns.CanonicalName(name)
			if _, ok := mdns.IsDomainName(key); ok && key != "." && !slices.Contains(t.addrs[key], s.Addr) {
				t.addrs[key] = append(t.addrs[key], s.Addr)
			}
		}
		if full := mdns.Fqdn(s.Name); t.addrs[mdns.CanonicalName(full)] != nil {
			t.names[s.Addr] = full
		}
	}
	n.table.Store(t)
}

// lookup returns the addresses of a fully qualified name, in any order, so that
// those who share it share the load.
func (n *Names) lookup(name string) []netip.Addr {
	t := n.table.Load()
	if t == nil {
		return nil
	}
	addrs := slices.Clone(t.addrs[mdns.CanonicalName(name)])
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
