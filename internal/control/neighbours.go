package control

import (
	"log/slog"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/frame"
)

// neighbours are what segments answer ARP for, and the MACs of ports.
type neighbours struct {
	*core
	announcer announcer
	warned    bool // the kernel's neighbour table is too small, and the log has said so
}

func newNeighbours(c *core) *neighbours {
	nb := &neighbours{core: c}
	nb.announcer.send = nb.sendAnnouncement
	return nb
}

// follow has the segments answer ARP for the ports of the snapshot, and has those announced whose
// neighbours do not know them.
func (nb *neighbours) follow(now *view.Snapshot) {
	for _, s := range now.Segments {
		changed, err := nb.allSegments[s.Record.ID].answers.follow(s)
		nb.logFailure("bind addresses of segment "+s.Record.Name, err)
		for _, id := range changed {
			nb.announcer.add(nb.allPorts[id])
		}
	}
}

// followMAC follows a change of the interface's address in the namespace.
func (nb *neighbours) followMAC(p *port, mac frame.MAC) {
	from := p.link.mac
	p.link.mac = mac
	if p.record.Handover { // a restart cannot find it by its MAC: then its name must be known
		nb.storeSoon(p)
	}
	nb.sw.Flush(p.segment.sw, p.sw)
	if !p.sw.Trusted() {
		if mac == p.record.MAC {
			nb.note(p, noteMAC, slog.LevelInfo, "MAC address set back in the port's namespace", "from", from, "to", mac)
			return
		}
		nb.note(p, noteMAC, slog.LevelWarn, "MAC address changed in the port's namespace, and port security "+
			"refuses what is sent from it: set it back, or use vsctl set-port "+p.record.Name+" --mac "+mac.String(),
			"from", from, "to", mac)
		return
	}
	nb.note(p, noteMAC, slog.LevelInfo, "MAC address changed in the port's namespace", "from", from, "to", mac)
	if err := nb.sw.SetMAC(p.sw, mac); err != nil {
		nb.note(p, noteMAC, slog.LevelWarn, "the port's new MAC address is another port's own or has a static "+
			"entry there: what is sent to it goes there", "mac", mac, "error", err)
	}
	// It was the own address as long as the interface had it.
	if e, found := nb.store.State().Entry(p.record.SegmentID, from); found && e.PortID == p.record.ID {
		nb.logFailure("restore static entry "+from.String(), nb.sw.AddEntry(p.sw, from))
	}
}

// newMAC puts another MAC into p's record, if p may have it.
func (nb *neighbours) newMAC(p *port, record *model.Port, mac frame.MAC) error {
	if record.Handover {
		return api.Invalidf("port %q is externally managed: set the MAC of its interface there", record.Name)
	}
	record.MAC = mac
	return nb.checkMAC(p.segment, mac, p, true)
}

// setMAC gives p's interface the MAC that record has already. The interface may have another
// one even where that is p's, from a change in its namespace.
func (nb *neighbours) setMAC(p *port, record model.Port, undo *undo) error {
	mac := record.MAC
	if unchanged := mac == p.record.MAC && p.link.mac == mac; unchanged || p.lost() {
		return nil
	}
	if err := nb.setLinkMAC(p, mac); err != nil {
		return err
	}
	before := p.link.mac
	undo.add(func() {
		nb.logFailure("take back the MAC of port "+p.record.Name, nb.setLinkMAC(p, before))
		p.link.mac = before
	})
	p.link.mac = mac
	return nil
}

// setLinkMAC sets the MAC of p's interface, wherever that is.
func (nb *neighbours) setLinkMAC(p *port, mac frame.MAC) error {
	ns, err := nb.kernel.NamespaceOf(p.device, p.record.Name)
	if err != nil {
		return kernelError(err)
	}
	defer ns.Close()
	if err := ns.SetMAC(p.link.index, mac[:]); err != nil {
		return kernelError(err)
	}
	return nil
}

// checkMAC says why a port may not have mac as its own on s. except is the port itself. That an
// interface without security happens to have the address counts only if somebody asked for it:
// a container could keep others from being added otherwise.
func (nb *neighbours) checkMAC(s *segment, mac frame.MAC, except *port, asked bool) error {
	if mac == s.mac {
		return api.Conflictf("MAC %s is the gateway's on segment %q: choose another with --mac",
			mac, s.record.Name)
	}
	if q := nb.portWith(s, mac, except, asked); q != nil {
		return api.Conflictf("MAC %s is that of port %q on segment %q: choose another with --mac",
			mac, q.record.Name, s.record.Name)
	}
	if q := nb.allowedTo(s, mac, except); q != nil {
		return api.Conflictf("MAC %s is allowed to port %q on segment %q: choose another with --mac",
			mac, q.record.Name, s.record.Name)
	}
	if e, found := nb.store.State().Entry(s.record.ID, mac); found {
		return api.Conflictf("MAC %s has a static entry at port %q on segment %q: "+
			"choose another with --mac, or remove the entry with vsctl del-fdb",
			mac, nb.allPorts[e.PortID].record.Name, s.record.Name)
	}
	return nil
}

// portWith finds a port of s but except whose own MAC this is, or, if seen, whose interface has it.
func (nb *neighbours) portWith(s *segment, mac frame.MAC, except *port, seen bool) *port {
	if record, found := nb.store.State().PortOf(s.record.ID, mac); found {
		if q := nb.allPorts[record.ID]; q != nil && q != except {
			return q
		}
	}
	for _, q := range nb.pending {
		if q.segment == s && q != except && q.record.MAC == mac {
			return q
		}
	}
	if !seen {
		return nil
	}
	for _, q := range nb.portsOf(s) {
		if q != except && q.link.mac == mac && q.now().MAC() == mac {
			return q
		}
	}
	return nil
}
