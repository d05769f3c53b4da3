package netns

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DefaultName is what an interface is called in its container unless
// [LinkConfig] says otherwise.
const DefaultName = "eth0"

// LinkConfig says which link to move into a namespace and how to set it up there.
// What is zero stays as it is, but for Name.
type LinkConfig struct {
	HostName     string           // the link's name in the calling thread's namespace
	Name         string           // its name in the container; "" means DefaultName
	MAC          net.HardwareAddr // six bytes, unicast
	MTU          int              // in bytes, without the Ethernet header
	TxQueueLen   int              // in frames: for a TAP, the size of its ring
	Address      netip.Prefix     // of the container, with the length of the segment's prefix
	Gateway      netip.Addr       // inside Address's prefix
	DefaultRoute bool             // send via Gateway what has no other route
	DisableIPv6  bool             // for this link alone, which the container can undo
	SysctlDir    string           // where the kernel's settings are; "" means /proc/sys
}

// Adopted says what [Namespace.AdoptLink] has made.
type Adopted struct {
	Name         string // in the container
	Index        int    // in the container; it may differ from the one before
	DefaultRoute bool   // false when not asked for, or when there was one already
	IPv6         error  // why it could not be disabled, though the kernel has it
}

// AdoptLink moves a link from the calling thread's namespace into ns, sets it up
// there and brings it up, and lo as well. As with a container's second network in
// Docker, a default route that is there already stays, and none is added.
//
// When a step fails everything is undone: what has not moved stays where it was,
// what has moved is deleted, so that its owner finds it gone, and lo goes down
// again. The error wraps [ErrLinkExists] when Name is taken, which is found out
// before anything is changed, and [ErrNoLink] when there is no HostName.
func (ns *Namespace) AdoptLink(cfg LinkConfig) (Adopted, error) {
	return ns.adopt(cfg, adoptionSteps())
}

// adoption is one AdoptLink under way.
type adoption struct {
	ns     *Namespace
	cfg    LinkConfig
	target *netlink.Handle // in ns

	link       netlink.Link // in ns, once it has moved
	loopbackUp bool         // by us
	result     Adopted
}

// step is one change, with what to call it when it fails.
type step struct {
	what func(LinkConfig) string
	do   func(*adoption) error
}

// adoptionSteps are in the order that the kernel needs: a link can be renamed and
// its address changed while it is down, which moving makes it, and a route needs
// its interface up.
func adoptionSteps() []step {
	return []step{
		{func(LinkConfig) string { return "move it" }, (*adoption).move},
		{func(LinkConfig) string { return "rename it" }, (*adoption).rename},
		{func(c LinkConfig) string { return fmt.Sprintf("set mac address %s", c.MAC) }, (*adoption).setMAC},
		{func(c LinkConfig) string { return fmt.Sprintf("set mtu %d", c.MTU) }, (*adoption).setMTU},
		{func(c LinkConfig) string { return fmt.Sprintf("set a queue of %d frames", c.TxQueueLen) }, (*adoption).setTxQueueLen},
		{func(c LinkConfig) string { return fmt.Sprintf("add address %s", c.Address) }, (*adoption).addAddress},
		{func(LinkConfig) string { return "disable IPv6" }, (*adoption).disableIPv6},
		{func(LinkConfig) string { return "bring up lo" }, (*adoption).bringUpLoopback},
		{func(LinkConfig) string { return "bring it up" }, (*adoption).bringUp},
		{func(c LinkConfig) string { return fmt.Sprintf("add a default route via %s", c.Gateway) }, (*adoption).addDefaultRoute},
	}
}

func (ns *Namespace) adopt(cfg LinkConfig, steps []step) (Adopted, error) {
	if cfg.Name == "" {
		cfg.Name = DefaultName
	}
	h, err := ns.handle()
	if err != nil {
		return Adopted{}, err
	}
	defer h.Close()
	a := &adoption{ns: ns, cfg: cfg, target: h}
	if err := a.checkFree(); err != nil {
		return Adopted{}, err
	}
	for _, s := range steps {
		if err := s.do(a); err != nil {
			return Adopted{}, a.undo(fmt.Errorf("attach interface %q to network namespace %s as %q: %s: %w", cfg.HostName, ns, cfg.Name, s.what(cfg), err))
		}
	}
	return a.result, nil
}

// checkFree refuses a name that is taken.
func (a *adoption) checkFree() error {
	switch _, err := findLink(a.target, a.cfg.Name); {
	case err == nil:
		return &kindError{fmt.Sprintf("interface %q already exists in network namespace %s: choose another with --ifname", a.cfg.Name, a.ns), ErrLinkExists}
	case !errors.Is(err, ErrNoLink):
		return fmt.Errorf("look for interface %q in network namespace %s: %w", a.cfg.Name, a.ns, err)
	}
	return nil
}

func (a *adoption) move() error {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer host.Close()
	l, err := findLink(host, a.cfg.HostName)
	if err != nil {
		return err
	}
	if err := host.LinkSetNsFd(l, a.ns.fd); err != nil {
		return err
	}
	// Its index changes when another link has that one already. Until it is known
	// the name will do, for undo.
	a.link = &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: l.Attrs().Name}}
	moved, err := a.target.LinkByName(l.Attrs().Name)
	if err != nil {
		return err
	}
	a.link = moved
	a.result.Name, a.result.Index = a.cfg.Name, a.link.Attrs().Index
	return nil
}

func (a *adoption) rename() error { return a.target.LinkSetName(a.link, a.cfg.Name) }

func (a *adoption) setMAC() error {
	if a.cfg.MAC == nil {
		return nil
	}
	return a.target.LinkSetHardwareAddr(a.link, a.cfg.MAC)
}

func (a *adoption) setMTU() error {
	if a.cfg.MTU == 0 {
		return nil
	}
	return a.target.LinkSetMTU(a.link, a.cfg.MTU)
}

func (a *adoption) setTxQueueLen() error {
	if a.cfg.TxQueueLen == 0 {
		return nil
	}
	return a.target.LinkSetTxQLen(a.link, a.cfg.TxQueueLen)
}

func (a *adoption) addAddress() error {
	if !a.cfg.Address.IsValid() {
		return nil
	}
	return a.target.AddrAdd(a.link, &netlink.Addr{IPNet: toIPNet(a.cfg.Address)})
}

// disableIPv6 keeps the container's kernel from making a link-local address for the link and
// from sending multicasts about it each time that the link's carrier comes back (addrconf_notify,
// net/ipv6/addrconf.c). The link works without.
func (a *adoption) disableIPv6() error {
	if !a.cfg.DisableIPv6 {
		return nil
	}
	// No interface can be called all or default, which would be all those of the container
	// (sysctl_dev_name_is_allowed, include/net/ip.h).
	file := filepath.Join(cmp.Or(a.cfg.SysctlDir, "/proc/sys"), "net/ipv6/conf", a.cfg.Name, "disable_ipv6")
	err := a.ns.Do(func() error { return writeSetting(file, "1") })
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // no IPv6 in this kernel
		a.result.IPv6 = fmt.Errorf("disable IPv6 on interface %q in network namespace %s: %w",
			a.cfg.Name, a.ns, err)
	}
	return nil
}

// writeSetting writes one of the kernel's settings, which it does not make if there is none.
func writeSetting(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func (a *adoption) bringUpLoopback() error {
	lo, err := findLink(a.target, "lo")
	if err != nil {
		return err
	}
	if lo.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := a.target.LinkSetUp(lo); err != nil {
		return err
	}
	a.loopbackUp = true
	return nil
}

func (a *adoption) bringUp() error { return a.target.LinkSetUp(a.link) }

func (a *adoption) addDefaultRoute() error {
	if !a.cfg.DefaultRoute {
		return nil
	}
	there, err := hasDefaultRoute(a.target, a.cfg.Gateway)
	if err != nil || there {
		return err
	}
	err = a.target.RouteAdd(&netlink.Route{
		LinkIndex: a.link.Attrs().Index,
		Dst:       toIPNet(netip.PrefixFrom(unspecified(a.cfg.Gateway), 0)),
		Gw:        a.cfg.Gateway.AsSlice(),
	})
	if errors.Is(err, unix.EEXIST) { // another was quicker
		return nil
	}
	a.result.DefaultRoute = err == nil
	return err
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// undo takes back what was done, last things first, and returns why, together
// with what could not be taken back.
func (a *adoption) undo(why error) error {
	if a.loopbackUp {
		lo, err := findLink(a.target, "lo")
		if err == nil {
			err = a.target.LinkSetDown(lo)
		}
		if err != nil {
			why = fmt.Errorf("%w; and take lo down again: %w", why, err)
		}
	}
	if a.link != nil {
		if err := a.target.LinkDel(a.link); err != nil && !errors.Is(err, unix.ENODEV) {
			why = fmt.Errorf("%w; and delete it: %w", why, err)
		}
	}
	return why
}
