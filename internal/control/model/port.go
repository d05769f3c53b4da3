package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
	"vswitch/internal/wellformed"
)

// Port is the record of a port with its addresses.
type Port struct {
	ID             string            `json:"id"`
	Name           string            `json:"name"`
	SegmentID      string            `json:"segment_id"`
	MAC            frame.MAC         `json:"mac"`
	Addrs          []netip.Addr      `json:"addrs"`           // at most one of each subnet of the segment
	NetNS          string            `json:"netns,omitempty"` // a name or a path as the daemon sees it; empty with PID
	PID            int               `json:"pid,omitempty"`
	AllowHostNetNS bool              `json:"allow_host_netns,omitempty"` // that is vswitchd's own
	IfName         string            `json:"ifname,omitempty"`
	Handover       bool              `json:"handover,omitempty"` // the device is moved and configured by others
	NoDefaultRoute bool              `json:"no_default_route,omitempty"`
	Down           bool              `json:"down,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Created        time.Time         `json:"created,omitzero"`

	// Namespace is the identity of the network namespace that the device is in.
	Namespace string `json:"namespace,omitempty"`

	// What the port may send, and how much of it.
	AllowAddresses []netip.Prefix `json:"allow_addresses,omitempty"` // sources beside Addrs
	Security       string         `json:"security,omitempty"`        // the mode's name; empty: the default
	// AllowMACs are sources beside MAC, AllowProtocols what frames may carry beside IP and ARP.
	AllowMACs      []frame.MACMask      `json:"allow_macs,omitempty"`
	AllowProtocols []ethertype.Protocol `json:"allow_protocols,omitempty"`
	BPDUGuard      bool                 `json:"bpdu_guard,omitempty"`     // drop its BPDUs instead of forwarding them
	Isolated       bool                 `json:"isolated,omitempty"`       // reaches no other isolated port
	MACLimit       int                  `json:"mac_limit,omitempty"`      // addresses learned at once; 0: the default; below 0: no limit
	FloodLimit     int                  `json:"flood_limit,omitempty"`    // frames per second; 0: the default; below 0: no limit
	RateIn         uint64               `json:"rate_in,omitempty"`        // bit/s; 0: no limit
	RateInBurst    uint64               `json:"rate_in_burst,omitempty"`  // bytes; 0: the default
	RateOut        uint64               `json:"rate_out,omitempty"`       // bit/s; 0: no limit
	RateOutBurst   uint64               `json:"rate_out_burst,omitempty"` // bytes; 0: the default

	Offload string `json:"offload,omitempty"` // on, off; empty or auto: the segment's

	Published []Publication `json:"published,omitempty"`
	// What the container is called and told.
	Aliases    []string `json:"aliases,omitempty"`     // names beside Name
	DHCP       bool     `json:"dhcp,omitempty"`        // it has a client that gets its IPv4 address
	ResolvConf bool     `json:"resolv_conf,omitempty"` // the namespace's resolv.conf was written for it

	LostSince  time.Time `json:"lost_since,omitzero"` // when its namespace or link was found gone; zero: it is there
	LostReason string    `json:"lost_reason,omitempty"`
	// LostBoot and LostUptime say the same by a clock that nobody sets: in which boot of the
	// machine, and how long after its begin. A version before did not keep them.
	LostBoot   string        `json:"lost_boot,omitempty"`
	LostUptime time.Duration `json:"lost_uptime,omitempty"`
}

// Lose notes why the port is lost, now in this boot of the machine, which has lasted for uptime.
// For how long it has been lost counts from the first time within one boot.
func (p *Port) Lose(reason string, now time.Time, boot string, uptime time.Duration) {
	p.LostReason = reason
	if p.LostSince.IsZero() {
		p.LostSince = now.UTC()
	}
	if p.LostBoot == "" || p.LostBoot != boot {
		p.LostBoot, p.LostUptime = boot, uptime
	}
}

// Find notes that the port is not lost.
func (p *Port) Find() {
	p.LostSince, p.LostReason, p.LostBoot, p.LostUptime = time.Time{}, "", "", 0
}

// IPv4 returns the port's IPv4 address; the zero Addr if it has none.
func (p Port) IPv4() netip.Addr {
	for _, a := range p.Addrs {
		if a.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// Key returns the id.
func (p Port) Key() string { return p.ID }

// Check says what is wrong with the record alone.
func (p Port) Check() error {
	switch {
	case !wellformed.ID(p.ID):
		return fmt.Errorf("id %q is not 64 hex digits", wellformed.Clip(p.ID))
	case !validName(p.Name):
		return fmt.Errorf("name %q is not 1 to %d letters, digits, '_', '.' or '-' behind a letter or digit", wellformed.Clip(p.Name), wellformed.MaxName)
	case !wellformed.ID(p.SegmentID):
		return fmt.Errorf("segment id %q is not 64 hex digits", wellformed.Clip(p.SegmentID))
	case !p.MAC.IsUnicast():
		return fmt.Errorf("mac %q is not a unicast address such as 02:42:ac:11:00:02", p.MAC)
	case len(p.NetNS) > wellformed.MaxPath || !wellformed.Printable(p.NetNS):
		return fmt.Errorf("netns %q is not the name or path of a namespace", wellformed.Clip(p.NetNS))
	case len(p.Namespace) > wellformed.MaxPath || !wellformed.Printable(p.Namespace):
		return fmt.Errorf("namespace %q is not a namespace's identity", wellformed.Clip(p.Namespace))
	case p.PID < 0 || p.PID > 0 && p.NetNS != "":
		return fmt.Errorf("pid %d is negative, or given beside netns %q", p.PID, wellformed.Clip(p.NetNS))
	case p.IfName != "" && !wellformed.IfName(p.IfName): // not every kind of port has an interface
		return fmt.Errorf("ifname %q is not an interface's, such as eth0", wellformed.Clip(p.IfName))
	case len(p.LostBoot) > wellformed.MaxName || !wellformed.Printable(p.LostBoot) || p.LostUptime < 0:
		return fmt.Errorf("lost in boot %q after %s is no time", wellformed.Clip(p.LostBoot), p.LostUptime)
	case len(p.Security) > wellformed.MaxName || !wellformed.Printable(p.Security):
		return fmt.Errorf("security %q is not the name of a mode", wellformed.Clip(p.Security))
	}
	return cmp.Or(checkAddrs(p.Addrs), checkAliases(p.Aliases), checkAllowed(p.AllowAddresses),
		checkAllowedLink(p.AllowMACs, p.AllowProtocols), checkOffload(p.Offload), checkPublished(p.Published), checkLabels(p.Labels))
}

func checkAddrs(addrs []netip.Addr) error {
	if len(addrs) == 0 {
		return fmt.Errorf("there is no address: want one such as 172.17.0.2")
	}
	for _, a := range addrs {
		if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			return fmt.Errorf("address %q is not one such as 172.17.0.2", wellformed.Clip(a.String()))
		}
	}
	return nil
}

func checkAllowed(list []netip.Prefix) error {
	for _, a := range list {
		if !a.IsValid() {
			return fmt.Errorf("allowed address %q is not a prefix such as 10.1.0.0/24", a)
		}
	}
	return nil
}

func checkAllowedLink(macs []frame.MACMask, protocols []ethertype.Protocol) error {
	for _, m := range macs {
		if !m.MAC.IsUnicast() || m.Mask[0]&1 == 0 || m.Masked() != m {
			return fmt.Errorf("allowed mac %q is not unicast, or has bits outside its mask", m)
		}
	}
	for _, p := range protocols {
		if known, err := ethertype.Parse(string(p)); err != nil || known != p {
			return fmt.Errorf("allowed protocol %q is not one such as ptp or 0x88b5", wellformed.Clip(string(p)))
		}
	}
	return nil
}

func checkAliases(aliases []string) error {
	if len(aliases) > wellformed.MaxAliases {
		return fmt.Errorf("%d aliases are more than %d", len(aliases), wellformed.MaxAliases)
	}
	for _, a := range aliases {
		if !validName(a) {
			return fmt.Errorf("alias %q is not 1 to %d letters, digits, '_', '.' or '-' behind a letter or digit", wellformed.Clip(a), wellformed.MaxName)
		}
	}
	return nil
}

type putPort struct{ Port }

// PutPort adds a port, or replaces the one with its id. It is refused without a segment that
// has its addresses, with another port's name, or address or MAC on that segment, and with what
// breaks the rules of the book of addresses.
func PutPort(p Port) Change {
	p.Created, p.LostSince = utc(p.Created), utc(p.LostSince)
	return putPort{p}
}

func (c putPort) String() string {
	return fmt.Sprintf("port %q, id %s", wellformed.Clip(c.Name), wellformed.Clip(c.ID))
}

func (c putPort) apply(t *txn) error {
	p := c.Port
	if err := t.checkPort(p); err != nil {
		return err
	}
	t.forgetPort(p.ID)
	t.ports.set(p.ID, p)
	t.portNames.set(p.Name, p.ID)
	t.members.set(p.SegmentID+p.ID, p.ID)
	t.macs.set(macKey(p.SegmentID, p.MAC), p.ID)
	for _, a := range p.Addrs {
		t.addrs.set(addrKey(p.SegmentID, a), p.ID)
	}
	for a := range p.allowedAddrs() {
		t.allowed.set(allowedKey(p.SegmentID, a, p.ID), p.ID)
	}
	t.touch(KindPort, p.ID)
	return nil
}

// checkPort says why p cannot be put beside what is there, or instead of the port with its id.
func (t *txn) checkPort(p Port) error {
	if err := p.Check(); err != nil {
		return err
	}
	s, exists := t.segments.get(p.SegmentID)
	if !exists {
		return fmt.Errorf("segment %s does not exist", p.SegmentID)
	}
	if err := t.checkPortAddrs(p, s); err != nil {
		return err
	}
	if old, _ := t.ports.get(p.ID); !t.stored {
		if err := t.checkBook(p, old, s); err != nil {
			return err
		}
	}
	if id, taken := t.portNames.get(p.Name); taken && id != p.ID {
		return fmt.Errorf("name %q is that of port %s as well", p.Name, id)
	}
	if id, taken := t.macs.get(macKey(p.SegmentID, p.MAC)); taken && id != p.ID {
		other, _ := t.ports.get(id)
		return fmt.Errorf("mac %s is that of port %q as well", p.MAC, other.Name)
	}
	if old, exists := t.ports.get(p.ID); exists && old.SegmentID != p.SegmentID {
		for range t.portEntries.within(p.ID) {
			return fmt.Errorf("segment %q is another than that of the port's static entries", s.Name)
		}
	}
	return nil
}

// checkPortAddrs says why p cannot have its addresses on s.
func (t *txn) checkPortAddrs(p Port, s Segment) error {
	for i, a := range p.Addrs {
		subnet, found := s.SubnetOf(a)
		if !found || !subnet.hasRoomFor(a) {
			return fmt.Errorf("address %s is a gateway's or outside the subnets of segment %q", a, s.Name)
		}
		if slices.ContainsFunc(p.Addrs[:i], subnet.Prefix.Contains) {
			return fmt.Errorf("address %s is the second of subnet %s", a, subnet.Prefix)
		}
		if id, taken := t.addrs.get(addrKey(s.ID, a)); taken && id != p.ID {
			other, _ := t.ports.get(id)
			return fmt.Errorf("address %s is that of port %q as well", a, other.Name)
		}
	}
	return nil
}

// forgetPort takes a port out of all tables but that of its entries.
func (t *txn) forgetPort(id string) {
	p, exists := t.ports.get(id)
	if !exists {
		return
	}
	t.portNames.delete(p.Name)
	t.members.delete(p.SegmentID + id)
	t.macs.delete(macKey(p.SegmentID, p.MAC))
	for _, a := range p.Addrs {
		t.addrs.delete(addrKey(p.SegmentID, a))
	}
	for a := range p.allowedAddrs() {
		t.allowed.delete(allowedKey(p.SegmentID, a, id))
	}
	t.ports.delete(id)
}

type deletePort struct{ id string }

// DeletePort deletes a port with its static entries.
func DeletePort(id string) Change { return deletePort{id} }

func (c deletePort) String() string { return "end of port " + wellformed.Clip(c.id) }

func (c deletePort) apply(t *txn) error {
	if _, exists := t.ports.get(c.id); !exists {
		return nil
	}
	var entries []string
	for _, key := range t.portEntries.within(c.id) {
		entries = append(entries, key)
	}
	for _, key := range entries {
		t.forgetEntry(key)
	}
	t.forgetPort(c.id)
	t.touch(KindPort, c.id)
	return nil
}
