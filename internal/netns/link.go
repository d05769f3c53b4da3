package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkExists says whether an interface of this name is in the namespace.
func (ns *Namespace) LinkExists(name string) (bool, error) {
	err := ns.withLink(name, func(*netlink.Handle, netlink.Link) error { return nil })
	if errors.Is(err, ErrNoLink) {
		return false, nil
	}
	return err == nil, err
}

// DeleteLink deletes an interface. The error wraps [ErrNoLink] when there is none.
func (ns *Namespace) DeleteLink(name string) error {
	return ns.change("delete", name, (*netlink.Handle).LinkDel)
}

// SetMAC gives the interface of this index a unicast MAC address of six bytes. The
// interface may be up where its driver allows that, as a TAP's does
// (IFF_LIVE_ADDR_CHANGE, drivers/net/tun.c). The error wraps [ErrNoLink] when there
// is no such interface.
func (ns *Namespace) SetMAC(index int, mac net.HardwareAddr) error {
	return ns.set(index, fmt.Sprintf("mac address %s", mac), func(h *netlink.Handle, l netlink.Link) error {
		return h.LinkSetHardwareAddr(l, mac)
	})
}

// SetTxQueueLen gives the interface of this index a queue of n frames: for a TAP, the size of its
// ring. The error wraps [ErrNoLink] when there is no such interface.
func (ns *Namespace) SetTxQueueLen(index, n int) error {
	return ns.set(index, fmt.Sprintf("a queue of %d frames", n), func(h *netlink.Handle, l netlink.Link) error {
		return h.LinkSetTxQLen(l, n)
	})
}

// set sets what says of the interface of this index.
func (ns *Namespace) set(index int, what string, set func(*netlink.Handle, netlink.Link) error) error {
	h, err := ns.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	err = unix.ENODEV // of an index that to the kernel is none
	if index > 0 {
		err = set(h, &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}})
	}
	if errors.Is(err, unix.ENODEV) {
		err = ErrNoLink
	}
	if err != nil {
		return fmt.Errorf("set %s on interface %d in network namespace %s: %w", what, index, ns, err)
	}
	return nil
}

// change does one thing to one link and says in an error what it was.
func (ns *Namespace) change(what, name string, do func(*netlink.Handle, netlink.Link) error) error {
	return ns.withLink(name, func(h *netlink.Handle, l netlink.Link) error {
		if err := do(h, l); err != nil {
			return fmt.Errorf("%s %q in network namespace %s: %w", what, name, ns, err)
		}
		return nil
	})
}

// withLink runs f with the link of this name.
func (ns *Namespace) withLink(name string, f func(*netlink.Handle, netlink.Link) error) error {
	h, err := ns.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := findLink(h, name)
	if errors.Is(err, ErrNoLink) {
		return &kindError{fmt.Sprintf("interface %q does not exist in network namespace %s", name, ns), ErrNoLink}
	}
	if err != nil {
		return fmt.Errorf("look for interface %q in network namespace %s: %w", name, ns, err)
	}
	return f(h, l)
}

// findLink finds a link by its name or alternative name. The error is
// [ErrNoLink] when there is none; an empty or overlong name has none.
func findLink(h *netlink.Handle, name string) (netlink.Link, error) {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return nil, ErrNoLink
	}
	l, err := h.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, ErrNoLink
	}
	return l, err
}

// dumpAttempts bounds how often a listing is begun again because the kernel's
// tables changed under it (NLM_F_DUMP_INTR).
const dumpAttempts = 16

func dump[T any](list func() ([]T, error)) (items []T, err error) {
	for range dumpAttempts {
		if items, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return items, err
}

// toPrefix keeps the host bits of n.
func toPrefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if addr = addr.Unmap(); !ok || bits != addr.BitLen() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, ones), true
}

// toIPNet is the reverse of toPrefix.
func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
