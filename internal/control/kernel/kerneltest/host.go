package kerneltest

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"

	"vswitch/internal/control/kernel"
	"vswitch/internal/host"
	"vswitch/internal/netns"
)

// LinkNames implements [kernel.HostStack].
func (k Kernel) LinkNames() ([]string, error) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	var names []string
	for _, l := range k.Own.Links {
		names = append(names, l.Name)
	}
	return names, nil
}

// LinkIndex implements [kernel.HostStack].
func (k Kernel) LinkIndex(name string) (int, error) {
	l, err := k.Own.LinkByName(name)
	return l.Index, err
}

// HostPrefixes implements [kernel.HostStack]: the host has none.
func (Kernel) HostPrefixes() ([]netip.Prefix, error) { return nil, nil }

// HostConflict implements [kernel.HostStack]. It is called "conflict".
func (k Kernel) HostConflict(subnet netip.Prefix) (string, error) {
	err := k.failure("conflict")
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if !k.HostNet.Overlaps(subnet) {
		return "", err
	}
	return "route to " + k.HostNet.String(), err
}

// SetUpHostLink implements [kernel.HostStack]. It is called "set up".
func (k Kernel) SetUpHostLink(index int, c netns.HostLink) (int, []string, error) {
	if err := k.failure("set up"); err != nil {
		return 0, nil, err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if err := k.step("set up %s", c.Name); err != nil {
		return 0, nil, err
	}
	k.SetUps++
	k.Aliases[c.Name] = c.Alias
	for _, l := range k.Own.Links {
		if l.Index != index && (index != 0 || l.Name != c.Name) {
			continue
		}
		var mended []string
		for what, is := range map[string]bool{
			"name": l.Name == c.Name, "mac address": slices.Equal(l.MAC, c.MAC), "up": l.Up,
		} {
			if !is {
				mended = append(mended, what)
			}
		}
		slices.Sort(mended)
		l.Name, l.MAC, l.Up = c.Name, slices.Clone(c.MAC), true
		return l.Index, mended, nil
	}
	return 0, nil, fs.ErrNotExist
}

// HardenHostLink implements [kernel.HostStack]. It is called "harden".
func (k Kernel) HardenHostLink(string, string) error { return k.failure("harden") }

// ForgetUDP implements [kernel.HostStack]. It is called "forget".
func (k Kernel) ForgetUDP(at netip.Addr, first, last uint16) error {
	if k.OnForget != nil {
		k.OnForget()
	}
	k.With(func() { k.Forgot = append(k.Forgot, fmt.Sprintf("%s:%d-%d", at, first, last)) })
	return k.failure("forget")
}

// ruleset is the machine's firewall.
type ruleset struct{ m *Machine }

// OpenRuleset implements [kernel.HostStack]. It is called "open rules"; what the ruleset does,
// "apply" and "remove rules".
func (k Kernel) OpenRuleset(*slog.Logger, string) (kernel.Ruleset, error) {
	if err := k.failure("open rules"); err != nil {
		return nil, err
	}
	return &ruleset{k.Machine}, nil
}

func (r *ruleset) Apply(c host.Config) error {
	if err := r.m.failure("apply"); err != nil {
		return err
	}
	r.m.Mu.Lock()
	defer r.m.Mu.Unlock()
	err := r.m.step("apply %d segments and %d forwards", len(c.Segments), len(c.Forwards))
	if err != nil {
		return err
	}
	r.m.Rules, r.m.RulesThere = c, true
	return nil
}

func (r *ruleset) Remove() error {
	r.m.With(func() { r.m.Rules, r.m.RulesThere = host.Config{}, false })
	return r.m.failure("remove rules")
}

func (r *ruleset) Foreign() (list []host.Foreign) {
	r.m.With(func() { list = r.m.Foreign })
	return list
}

func (r *ruleset) Run(ctx context.Context) error {
	r.m.With(func() { r.m.RulesWatched++ })
	<-ctx.Done()
	return nil
}

func (*ruleset) Close() error { return nil }

// reservation keeps ports of the machine.
type reservation struct {
	m     *Machine
	ports []HostPort
}

// firstFree is the first of the ports that the kernel chooses itself.
const firstFree = 32768

// Reserve implements [kernel.HostStack]. It is called "reserve"; sharing a port of it, "share".
func (k Kernel) Reserve(
	p host.Protocol, at netip.Addr, port uint16, count int,
) (kernel.Reservation, error) {
	if err := k.failure("reserve"); err != nil {
		return nil, err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if err := k.step("reserve %d ports from %d on", count, port); err != nil {
		return nil, err
	}
	if port == 0 {
		for port = firstFree; k.Reserved[HostPort{p, netip.AddrPortFrom(at, port)}]; {
			port++
		}
	}
	r := &reservation{m: k.Machine}
	for i := range uint16(count) {
		own := HostPort{p, netip.AddrPortFrom(at, port+i)}
		if k.Reserved[own] || slices.ContainsFunc(k.Sockets, func(s *Socket) bool {
			return s.open() && s.At.Port() == port+i && (!at.IsValid() || s.At.Addr() == at)
		}) {
			return nil, fmt.Errorf("%w: %s", host.ErrInUse, own.At)
		}
		r.ports = append(r.ports, own)
	}
	for _, own := range r.ports {
		k.Reserved[own] = true
	}
	return r, nil
}

func (r *reservation) Port() uint16 { return r.ports[0].At.Port() }

func (r *reservation) Share(port uint16) error {
	r.m.With(func() { r.m.Shared = append(r.m.Shared, port) })
	return r.m.failure("share")
}

func (r *reservation) Close() {
	r.m.Mu.Lock()
	defer r.m.Mu.Unlock()
	for _, p := range r.ports {
		delete(r.m.Reserved, p)
	}
}
