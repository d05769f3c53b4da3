package netns

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkByName returns the state of the link of this name in ns. The error wraps
// [ErrNoLink] when there is none.
func (ns *Namespace) LinkByName(name string) (Link, error) {
	return ns.link(fmt.Sprintf("%q", name), func(h *netlink.Handle) (netlink.Link, error) {
		return findLink(h, name)
	})
}

// LinkByIndex returns the state of the link of this index in ns. The error wraps
// [ErrNoLink] when there is none.
func (ns *Namespace) LinkByIndex(index int) (Link, error) {
	return ns.link(fmt.Sprintf("%d", index), func(h *netlink.Handle) (netlink.Link, error) {
		return findIndex(h, index)
	})
}

// LinkByMAC returns the state of the first link with this MAC in ns, whatever its
// name is there. The error wraps [ErrNoLink] when there is none.
func (ns *Namespace) LinkByMAC(mac net.HardwareAddr) (Link, error) {
	return ns.link("with MAC "+mac.String(), func(h *netlink.Handle) (netlink.Link, error) {
		links, err := dump(h.LinkList)
		if err != nil {
			return nil, err
		}
		for _, l := range links {
			if bytes.Equal(l.Attrs().HardwareAddr, mac) {
				return l, nil
			}
		}
		return nil, ErrNoLink
	})
}

// link returns the state of the link that find finds.
func (ns *Namespace) link(
	which string, find func(*netlink.Handle) (netlink.Link, error),
) (Link, error) {
	h, err := ns.lookHandle()
	if err != nil {
		return Link{}, err
	}
	l, err := find(h)
	if err != nil {
		return Link{}, fmt.Errorf("look for interface %s in network namespace %s: %w", which, ns, err)
	}
	state, err := linkState(h, l)
	if err != nil {
		return Link{}, fmt.Errorf("inspect interface %s in network namespace %s: %w", which, ns, err)
	}
	return state, nil
}

// linkState returns the state of l, with the addresses that it has now.
func linkState(h *netlink.Handle, l netlink.Link) (Link, error) {
	addrs, changing, err := usableAddrs(h, l)
	if err != nil {
		return Link{}, fmt.Errorf("list addresses: %w", err)
	}
	a := l.Attrs()
	up := a.Flags&net.FlagUp != 0
	return Link{
		Index: a.Index, Name: a.Name, MAC: a.HardwareAddr, Up: up, TxQueueLen: a.TxQLen,
		Addrs: addrs, Changing: changing,
	}, nil
}

// usableAddrs lists the addresses of l for [Link], and reports whether they were changing.
// It does not begin anew then: that can go on for as long as a container likes.
func usableAddrs(h *netlink.Handle, l netlink.Link) (addrs []netip.Addr, changing bool, err error) {
	list, err := h.AddrList(l, netlink.FAMILY_ALL)
	if changing = errors.Is(err, netlink.ErrDumpInterrupted); err != nil && !changing {
		return nil, false, err
	}
	for _, a := range list {
		if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			continue
		}
		if p, ok := toPrefix(a.IPNet); ok {
			addrs = append(addrs, p.Addr())
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), changing, nil // IPv4 allows one address with several prefix lengths
}

// findIndex finds a link by its index. The error is [ErrNoLink] when there is none.
func findIndex(h *netlink.Handle, index int) (netlink.Link, error) {
	if index <= 0 {
		return nil, ErrNoLink // to the kernel, a request without an index
	}
	l, err := h.LinkByIndex(index)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, ErrNoLink
	}
	return l, err
}
