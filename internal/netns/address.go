package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ReplaceAddress gives the interface of this index the IPv4 address to, with the length of its
// subnet's prefix, in the place of from, which may be missing there. The zero Prefix as to gives
// it none, as from takes none away. The interface's routes stay, but for those that the container
// has bound to from by their source, and so do its other addresses. On failure all is as before.
// The error wraps [ErrNoLink] when there is no such interface.
func (ns *Namespace) ReplaceAddress(index int, from, to netip.Prefix) error {
	what := fmt.Sprintf("address %s instead of %s", to, from)
	return ns.set(index, what, func(h *netlink.Handle, l netlink.Link) error {
		return replaceAddress(h, l, from, to)
	})
}

// addressHandle is what a replacement does by a [netlink.Handle].
type addressHandle interface {
	AddrList(l netlink.Link, family int) ([]netlink.Addr, error)
	AddrAdd(netlink.Link, *netlink.Addr) error
	AddrDel(netlink.Link, *netlink.Addr) error
}

func replaceAddress(h addressHandle, l netlink.Link, from, to netip.Prefix) error {
	addrs, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(l, netlink.FAMILY_V4) })
	if err != nil {
		return err
	}
	r := replacement{h: h, link: l, before: addrs}
	if err := r.replace(from, to); err != nil {
		return r.undo(err)
	}
	return nil
}

// replacement is one ReplaceAddress under way.
type replacement struct {
	h      addressHandle
	link   netlink.Link
	before []netlink.Addr // of the interface
	hold   *netlink.Addr  // keeps the interface from having no address for a moment
}

// replace makes the change. With its last address an interface loses its routes (fib_inetaddr_event,
// net/ipv4/fib_frontend.c), and so to is there as an address of no subnet before from goes. As one
// of the subnet it would go with from, unless promote_secondaries says otherwise, as the
// container's own addresses of the subnet do (__inet_del_ifa, net/ipv4/devinet.c): those are put
// back.
func (r *replacement) replace(from, to netip.Prefix) error {
	i := slices.IndexFunc(r.before, func(a netlink.Addr) bool { return hasAddress(a, from.Addr()) })
	if i >= 0 && to.IsValid() {
		if err := r.holdRoutes(to.Addr()); err != nil {
			return err
		}
	}
	if i >= 0 {
		if err := r.h.AddrDel(r.link, &r.before[i]); err != nil && !isGone(err) {
			return err
		}
	}
	if to.IsValid() {
		if err := r.add(&netlink.Addr{IPNet: toIPNet(to)}); err != nil {
			return err
		}
	}
	if err := r.putBack(func(a netlink.Addr) bool { return !hasAddress(a, from.Addr()) }); err != nil {
		return err
	}
	return r.letGo()
}

func (r *replacement) add(a *netlink.Addr) error {
	if err := r.h.AddrAdd(r.link, a); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// holdRoutes gives the interface an address in no subnet, unless it has that already.
func (r *replacement) holdRoutes(a netip.Addr) error {
	hold := &netlink.Addr{IPNet: toIPNet(netip.PrefixFrom(a, a.BitLen()))}
	err := r.h.AddrAdd(r.link, hold)
	switch {
	case errors.Is(err, unix.EEXIST):
		return nil
	case err == nil:
		r.hold = hold
	}
	return err
}

// letGo takes that address away.
func (r *replacement) letGo() error {
	if r.hold == nil {
		return nil
	}
	if err := r.h.AddrDel(r.link, r.hold); err != nil && !isGone(err) {
		return err
	}
	r.hold = nil
	return nil
}

// putBack adds those of the addresses from before that have gone.
func (r *replacement) putBack(these func(netlink.Addr) bool) error {
	var errs []error
	for _, a := range r.before {
		if these(a) {
			errs = append(errs, r.add(&a))
		}
	}
	return errors.Join(errs...)
}

// undo puts everything back, and returns why, together with what could not be put back.
func (r *replacement) undo(why error) error {
	now, err := dump(func() ([]netlink.Addr, error) { return r.h.AddrList(r.link, netlink.FAMILY_V4) })
	errs := []error{why, err}
	for _, a := range now {
		same := func(b netlink.Addr) bool { return b.IPNet.String() == a.IPNet.String() }
		held := r.hold != nil && same(*r.hold)
		if !held && !slices.ContainsFunc(r.before, same) {
			errs = append(errs, r.h.AddrDel(r.link, &a))
		}
	}
	errs = append(errs, r.putBack(func(netlink.Addr) bool { return true }), r.letGo())
	return errors.Join(errs...)
}

// isGone reports whether an address could not be deleted because it is not there.
func isGone(err error) bool { return errors.Is(err, unix.EADDRNOTAVAIL) }

func hasAddress(a netlink.Addr, want netip.Addr) bool {
	p, ok := toPrefix(a.IPNet)
	return ok && p.Addr() == want
}
