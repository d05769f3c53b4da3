package host

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"go4.org/netipx"
)

// setID names one of the sets and maps of the table. All that depends on a [Config] is in them.
type setID uint8

const (
	setLinks   setID = iota // the host's links in segments
	setSubnets              // subnets of the segments that are masqueraded
	mapAny                  // where ports of all addresses of the host lead
	mapOne                  // where ports of one address lead

	setBefore   // see others
	setBridged  // each of them twice, as where a packet comes from and goes to
	setUnrouted // the protocols that are not forwarded between them
)

// kinds are what the sets and maps are.
var kinds = [...]struct {
	name       string
	key, value nftables.SetDatatype // a set has no value
	ranges     bool                 // the keys are the first and the last of a range
}{
	setLinks:   {name: "links", key: nftables.TypeIFName},
	setSubnets: {name: "subnets", key: nftables.TypeIPAddr, ranges: true},
	mapAny: {
		name:  "published",
		key:   nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
		value: target,
	},
	mapOne: {
		name: "published-on",
		key: nftables.MustConcatSetType(
			nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService),
		value: target,
	},
	setBefore:   {name: "before", key: nftables.TypeIFIndex},
	setBridged:  {name: "bridged", key: nftables.MustConcatSetType(nftables.TypeIFIndex, nftables.TypeIFIndex)},
	setUnrouted: {name: "unrouted", key: nftables.TypeNFProto},
}

// target is the type of what a port leads to.
var target = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)

// element is an element of a set or map, as the bytes that the kernel compares. What a field does
// not take is zero: thousands of elements are compared at each change, and pointers would cost.
type element struct {
	set   setID
	key   [linkSize]byte
	end   [4]byte // of a range, the first key after it; zero for an open one
	value [8]byte // what a map has for the key
}

func (e element) compare(o element) int {
	return cmp.Or(cmp.Compare(e.set, o.set), bytes.Compare(e.key[:], o.key[:]),
		bytes.Compare(e.end[:], o.end[:]), bytes.Compare(e.value[:], o.value[:]))
}

// content is what the sets and maps of the table hold. It is not changed once it is made.
type content map[element]struct{}

// contentOf returns the content that makes the table do what c says.
func contentOf(c Config) content {
	n := 2 * len(c.Segments)
	for _, f := range c.Forwards {
		n += f.count()
	}
	all := make(content, n)
	var subnets netipx.IPSetBuilder
	for _, s := range c.Segments {
		link := element{set: setLinks}
		copy(link.key[:], s.Link)
		all[link] = struct{}{}
		if s.Masquerade {
			subnets.AddPrefix(s.Subnet)
		}
	}
	masqueraded, err := subnets.IPSet()
	if err != nil { // only of invalid prefixes, which no segment has
		masqueraded = new(netipx.IPSet)
	}
	// Neighbours are one range: the one's end would be the other's beginning.
	for _, r := range masqueraded.Ranges() {
		e := element{set: setSubnets}
		putAddr(e.key[:], r.From())
		if end := r.To().Next(); end.IsValid() {
			putAddr(e.end[:], end)
		}
		all[e] = struct{}{}
	}
	for _, f := range c.Forwards {
		all.addForward(f)
	}
	return all
}

// addForward adds an element for each port of f. In keys and values each field takes 4 bytes.
func (c content) addForward(f Forward) {
	e := element{set: mapAny}
	key := e.key[:]
	if !f.anyHost() {
		e.set = mapOne
		putAddr(key, f.HostIP)
		key = key[4:]
	}
	key[0], _ = f.Protocol.number()
	putAddr(e.value[:], f.To)
	for i := range f.count() {
		binary.BigEndian.PutUint16(key[4:], f.HostPort+uint16(i))
		binary.BigEndian.PutUint16(e.value[4:], f.ToPort+uint16(i))
		c[e] = struct{}{}
	}
}

func putAddr(b []byte, a netip.Addr) {
	address := a.As4()
	copy(b, address[:])
}

// difference returns the elements that turn one content into another when they are removed and
// then added, in a fixed order.
func difference(from, to content) (remove, add []element) {
	for e := range from {
		if _, stays := to[e]; !stays {
			remove = append(remove, e)
		}
	}
	for e := range to {
		if _, there := from[e]; !there {
			add = append(add, e)
		}
	}
	slices.SortFunc(remove, element.compare)
	slices.SortFunc(add, element.compare)
	return remove, add
}

// equal reports whether both hold the same elements.
func (c content) equal(o content) bool { return maps.Equal(c, o) }

// minRoom is more than the ports that are published and the segments that there may be.
const minRoom = 8192

// room returns the size of a set that is made for c; a change that exceeds it fails, and the table
// is built anew. Without a size the kernel takes a hash table that grows (nft_rhash), and shows
// some elements twice and others not at all while it does. A set of ranges is none.
func (c content) room(set setID) uint32 {
	if kinds[set].ranges {
		return 0
	}
	n := 0
	for e := range c {
		if e.set == set {
			n++
		}
	}
	return uint32(max(minRoom, 2*n))
}

// encode returns e as the kernel takes it: a range as its first key and, marked as an end, the
// first key after it.
func (e element) encode() []nftables.SetElement {
	kind := kinds[e.set]
	list := []nftables.SetElement{{Key: e.key[:kind.key.Bytes], Val: e.value[:kind.value.Bytes]}}
	if kind.ranges && e.end != [4]byte{} {
		list = append(list, nftables.SetElement{Key: e.end[:], IntervalEnd: true})
	}
	return list
}

// addFound adds what the kernel says that a set or map holds, which may be in any order. An end
// without a beginning is left out: nft puts one at 0.0.0.0 before the first range.
func (c content) addFound(set setID, found []nftables.SetElement) {
	slices.SortFunc(found, func(a, b nftables.SetElement) int {
		if order := bytes.Compare(a.Key, b.Key); order != 0 || a.IntervalEnd == b.IntervalEnd {
			return order
		}
		if a.IntervalEnd { // a range ends before the next one begins
			return -1
		}
		return 1
	})
	for i, f := range found {
		if f.IntervalEnd {
			continue
		}
		e := element{set: set}
		copy(e.key[:], f.Key)
		copy(e.value[:], f.Val)
		if next := i + 1; next < len(found) && found[next].IntervalEnd {
			copy(e.end[:], found[next].Key)
		}
		c[e] = struct{}{}
	}
}
