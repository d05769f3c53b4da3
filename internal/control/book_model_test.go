package control

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"vswitch/api"
)

// plainBook is who has which address, as the rules read: nothing is indexed, and each question
// looks at everything.
type plainBook struct {
	segments []*plainSegment
	ports    []*plainPort
	pools    []*plainPool
}

type plainSegment struct {
	id, name       string
	subnet, within netip.Prefix // within: where automatic addresses are taken from
	gateway        netip.Addr
	aux            map[string]netip.Addr
	pool           *plainPool // nil: its own subnet
	network        bool       // it is one of Docker's
	internal       bool
}

type plainPort struct {
	id, name string
	on       *plainSegment
	addr     netip.Addr
	allow    []netip.Prefix
	pending  bool // it is being added
	endpoint bool // it is one of Docker's
}

type plainPool struct {
	id             string
	subnet, within netip.Prefix
	gateway        netip.Addr
	leases         []netip.Addr
}

func (p *plainPort) allows(a netip.Addr) bool {
	return slices.Contains(p.allow, netip.PrefixFrom(a, 32))
}

// owner is the port of a segment that has an address; nil: none.
func (b *plainBook) owner(s *plainSegment, a netip.Addr) *plainPort {
	for _, p := range b.ports {
		if p.on == s && p.addr == a {
			return p
		}
	}
	return nil
}

// over is the segment over a pool; nil: none.
func (b *plainBook) over(p *plainPool) *plainSegment {
	for _, s := range b.segments {
		if s.pool == p {
			return s
		}
	}
	return nil
}

func (s *plainSegment) isAux(a netip.Addr) bool {
	return slices.Contains(slices.Collect(maps.Values(s.aux)), a)
}

func (s *plainSegment) leased(a netip.Addr) bool {
	return s.pool != nil && slices.Contains(s.pool.leases, a)
}

// isHost reports whether a host of the subnet can have an address, beside its gateway.
func isHost(subnet netip.Prefix, gateway, a netip.Addr) bool {
	if subnet.Bits() >= 31 { // RFC 3021
		return subnet.Contains(a) && a != gateway
	}
	return subnet.Contains(a.Prev()) && subnet.Contains(a) && subnet.Contains(a.Next()) && a != gateway
}

// reserved reports whether an address is kept from every port but one.
func (b *plainBook) reserved(s *plainSegment, a netip.Addr, except *plainPort) bool {
	if s.isAux(a) {
		return true
	}
	for _, p := range b.ports {
		if p.on == s && p != except && p.allows(a) {
			return true
		}
	}
	return false
}

// mayHave reports whether a new port may have an address that it asks for.
func (b *plainBook) mayHave(s *plainSegment, a netip.Addr) bool {
	return isHost(s.subnet, s.gateway, a) && b.owner(s, a) == nil && !b.reserved(s, a, nil)
}

// mayMove reports whether a port may have an address that it asks for instead of its own, while it
// is allowed these. What it may use itself it may have.
func (b *plainBook) mayMove(p *plainPort, a netip.Addr, allow []netip.Prefix) bool {
	owner := b.owner(p.on, a)
	return isHost(p.on.subnet, p.on.gateway, a) && (owner == nil || owner == p) &&
		(owner == p || !b.reserved(p.on, a, p)) && b.mayAllow(p.on, p, a, allow)
}

// mayGet reports whether a new port that is allowed these may get an address without asking.
func (b *plainBook) mayGet(s *plainSegment, a netip.Addr, allow []netip.Prefix) bool {
	return s.within.Contains(a) && b.mayHave(s, a) && !s.leased(a) &&
		!(&plainPort{allow: allow}).allows(a)
}

// mayLease reports whether an address of a pool may be leased.
func (b *plainBook) mayLease(p *plainPool, a netip.Addr) bool {
	s := b.over(p)
	return isHost(p.subnet, p.gateway, a) && !slices.Contains(p.leases, a) &&
		(s == nil || b.owner(s, a) == nil && !b.reserved(s, a, nil))
}

// mayAllow reports whether a port that has the address own may be allowed these. self is nil for
// a new one.
func (b *plainBook) mayAllow(s *plainSegment, self *plainPort, own netip.Addr, list []netip.Prefix) bool {
	for _, prefix := range list {
		a := prefix.Addr()
		if !prefix.IsSingleIP() || !s.subnet.Contains(a) || a == own {
			continue
		}
		if owner := b.owner(s, a); a == s.gateway || owner != nil && owner != self || s.leased(a) && !s.isAux(a) {
			return false
		}
	}
	return true
}

// allOf lists the addresses of a small prefix.
func allOf(p netip.Prefix) (all []netip.Addr) {
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		all = append(all, a)
	}
	return all
}

// textOf is the text of an address, empty for none.
func textOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// picture is what the book says that users see.
func (b *plainBook) picture() []string {
	var lines []string
	for _, s := range b.segments {
		lines = append(lines, fmt.Sprintln("segment", s.name, s.subnet, textOf(s.gateway), s.aux))
	}
	for _, p := range b.ports {
		if !p.pending {
			lines = append(lines, fmt.Sprintln("port", p.id, p.on.name, p.addr, p.allow))
		}
	}
	for _, p := range b.pools {
		over := ""
		if s := b.over(p); s != nil {
			over = s.name
		}
		lines = append(lines, fmt.Sprintln("pool", p.id, p.subnet, textOf(p.gateway), len(p.leases), over))
	}
	slices.Sort(lines)
	return lines
}

// pictureOf is the same of what there is, and breaks tells of rules that it breaks.
func pictureOf(segments []api.Segment, ports []api.Port, pools []api.Pool) (lines []string, breaks error) {
	owners := make(map[string]string) // by segment and address
	take := func(segment string, a any, who string) {
		key := fmt.Sprintln(segment, a)
		if owners[key] != "" {
			breaks = fmt.Errorf("%s is that of %s and of %s", key, owners[key], who)
		}
		owners[key] = who
	}
	for _, s := range segments {
		if s.Name == api.DefaultSegment {
			continue
		}
		lines = append(lines, fmt.Sprintln("segment", s.Name, s.Subnet, s.Gateway, s.AuxAddresses))
		if s.Gateway != "" {
			take(s.Name, s.Gateway, "its gateway")
		}
		for name, a := range s.AuxAddresses {
			take(s.Name, a, "aux "+name)
		}
	}
	for _, p := range ports {
		lines = append(lines, fmt.Sprintln("port", p.ID, p.Segment, p.IPs[0].Addr(), p.AllowAddresses))
		take(p.Segment, p.IPs[0].Addr(), p.Name)
	}
	for _, p := range ports {
		for _, prefix := range p.AllowAddresses {
			by := owners[fmt.Sprintln(p.Segment, prefix.Addr())]
			if prefix.IsSingleIP() && by != "" && by != p.Name && by[:3] != "aux" {
				breaks = fmt.Errorf("%s is that of %s, and %s may use it", prefix.Addr(), by, p.Name)
			}
		}
	}
	for _, p := range pools {
		lines = append(lines, fmt.Sprintln("pool", p.ID, p.Subnet, textOf(p.Gateway), p.Leases, p.Segment))
	}
	slices.Sort(lines)
	return lines, breaks
}
