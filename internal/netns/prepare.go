package netns

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// PrepareLink gives a link of ns, by HostName, its MAC, MTU and queue, for others
// to move it into a container and to do the rest. What else cfg has is not looked
// at. The error wraps [ErrNoLink] when there is no such link.
func (ns *Namespace) PrepareLink(cfg LinkConfig) (Link, error) {
	var prepared Link
	err := ns.withLink(cfg.HostName, func(h *netlink.Handle, l netlink.Link) error {
		a := &adoption{ns: ns, cfg: cfg, target: h, link: l}
		for _, set := range []func(*adoption) error{
			(*adoption).setMAC, (*adoption).setMTU, (*adoption).setTxQueueLen,
		} {
			if err := set(a); err != nil {
				return fmt.Errorf("prepare interface %q in network namespace %s "+
					"with mac %s, mtu %d and a queue of %d frames: %w",
					cfg.HostName, ns, cfg.MAC, cfg.MTU, cfg.TxQueueLen, err)
			}
		}
		var err error
		if prepared, err = linkState(h, l); err != nil {
			return fmt.Errorf("inspect interface %q in network namespace %s: %w",
				cfg.HostName, ns, err)
		}
		prepared.MAC = cfg.MAC
		return nil
	})
	return prepared, err
}
