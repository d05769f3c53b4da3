package control

import (
	"errors"
	"net/netip"

	"vswitch/api"
	"vswitch/internal/netns"
)

// writeResolvConf has the processes of p's namespace ask nameserver for names, where
// that is wanted.
func (ds *devices) writeResolvConf(p *port, nameserver netip.Addr, undo *undo) error {
	if !p.record.ResolvConf {
		return nil
	}
	err := ds.kernel.WriteResolvConf(p.record.NetNS, p.record.ID, nameserver, ds.hasPort)
	if errors.Is(err, netns.ErrNotOurs) {
		return api.Conflictf("%w", err)
	}
	if err != nil {
		return kernelError(err)
	}
	undo.add(func() { ds.removeResolvConf(p) })
	return nil
}

// hasPort reports whether there is a port with this id. It is called without the lock.
func (c *core) hasPort(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allPorts[id] != nil || c.pending[id] != nil
}

func (ds *devices) removeResolvConf(p *port) {
	if p.record.ResolvConf {
		ds.logFailure("remove the resolv.conf of network namespace "+p.record.NetNS,
			ds.kernel.RemoveResolvConf(p.record.NetNS, p.record.ID))
	}
}
