package control

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/engine/docker"
	"vswitch/test/lab/seed"
)

// bookRun changes a Control at random, and wants it to do what a plain book says.
type bookRun struct {
	*watchedWorld
	*rand.Rand
	c      *Control
	docker http.Handler // Docker's driver in front of c
	book   plainBook
	nested bool // in the middle of another change
	trace  []string
}

const (
	bookSteps = 30 // of each run
	// lostFor is longer than all pauses of a run, but for the one that waits for it.
	lostFor = 5 * time.Minute
)

// TestTheBookAgainstAPlainOne: whatever segments, ports, allowances, auxiliary addresses, pools,
// leases, Docker's requests, losses and restarts come after each other, in the middle of each
// other and with a step of the kernel or the disk that fails: no address is given out twice, and
// none that is reserved, and each that is free can be had.
func TestTheBookAgainstAPlainOne(t *testing.T) {
	t.Parallel()
	random := seed.New(t)
	runs := bookRuns
	if testing.Short() {
		runs /= 20
	}
	for i := range runs {
		runInBubble(t, func(w *watchedWorld) {
			r := &bookRun{watchedWorld: w, Rand: random}
			w.adjust = func(c *core) { c.config.LostPortTTL = lostFor }
			r.begin(w.start())
			for range bookSteps {
				r.step()
				r.compare()
				if w.Failed() {
					w.Fatalf("run %d:\n%s", i, strings.Join(r.trace, "\n"))
				}
			}
		})
		if t.Failed() {
			return
		}
	}
}

func (r *bookRun) begin(c *Control) {
	r.c = c
	r.docker = docker.New(docker.Options{Backend: c, Pools: c, Log: slog.New(slog.DiscardHandler)})
}

// did notes a change for the one who reads a failure, and wants it to have succeeded where it may.
// It returns whether it has. may is what the book says.
func (r *bookRun) did(err error, may bool, format string, args ...any) bool {
	r.Helper()
	what := fmt.Sprintf(format, args...)
	r.trace = append(r.trace, fmt.Sprintf("%s: %v", what, err))
	switch {
	case err != nil && r.HasFailed():
	case (err == nil) != may:
		r.Errorf("%s: got %v, want success: %t", what, err, may)
	case err != nil && api.KindOf(err) == api.Internal && !errors.As(err, new(dockerError)):
		r.Errorf("%s: got %v, want a refusal", what, err)
	}
	return err == nil
}

// compare wants there to be what the book says.
func (r *bookRun) compare() {
	r.Helper()
	segments, err := r.c.Segments(r.Context())
	r.wantNil(err)
	ports, err := r.c.Ports(r.Context(), "")
	r.wantNil(err)
	pools, err := r.c.Pools(r.Context())
	r.wantNil(err)
	got, breaks := pictureOf(segments, ports, pools)
	if want := r.book.picture(); !slices.Equal(got, want) {
		r.Errorf("there is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	r.wantNil(breaks)
	for p, err := range r.Store().State().Conflicts() {
		r.Errorf("port %s: %v", p.Name, err)
	}
}

// step makes one change.
func (r *bookRun) step() {
	changes := []func(){
		r.addSegment, r.addSegment, r.deleteSegment, r.addPort, r.addPort, r.addPort, r.addPort,
		r.allow, r.allow, r.setIP, r.setIP, r.deletePort, r.addPool, r.lease, r.lease, r.release, r.addOver,
		r.deletePool, r.createNetwork, r.runContainer, r.runContainer, r.removeContainer,
		r.removeNetwork, r.renumber,
	}
	if r.nested {
		changes[r.IntN(len(changes))]()
		return
	}
	changes = append(changes, r.losePort, r.losePort, r.restart, r.wait)
	if r.IntN(6) == 0 {
		r.Plan(1+r.IntN(8), 0)
		defer r.Plan(0, 0)
	}
	changes[r.IntN(len(changes))]()
}

// choose returns one of a list at random; found is false for an empty one.
func choose[T any](r *bookRun, list []T) (one T, found bool) {
	if len(list) == 0 {
		return one, false
	}
	return list[r.IntN(len(list))], true
}

// subnet returns one of few subnets, and a range in it that automatic addresses come from.
func (r *bookRun) subnet() (subnet, within netip.Prefix) {
	subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(16 * r.IntN(5))}), 28+r.IntN(2))
	if r.IntN(8) == 0 { // as small as can be
		subnet = netip.PrefixFrom(subnet.Addr(), 31+r.IntN(2))
	}
	within = subnet
	if subnet.Bits() < 30 && r.IntN(3) == 0 {
		within = netip.PrefixFrom(allOf(subnet)[r.IntN(8)], 30).Masked()
	}
	return subnet, within
}

// inside returns an address of a subnet, now and then one beside it.
func (r *bookRun) inside(subnet netip.Prefix) netip.Addr {
	if r.IntN(20) == 0 {
		return addr("10.9.9.9")
	}
	all := allOf(subnet)
	return all[r.IntN(len(all))]
}

// free reports whether a subnet overlaps none that is there but those.
func (r *bookRun) free(subnet netip.Prefix, except *plainSegment) bool {
	for _, s := range r.book.segments {
		if s != except && s.subnet.Overlaps(subnet) {
			return false
		}
	}
	for _, p := range r.book.pools {
		if p.subnet.Overlaps(subnet) {
			return false
		}
	}
	return true
}

// aux returns auxiliary addresses, and whether a subnet with that gateway may have them.
func (r *bookRun) aux(subnet netip.Prefix, gateway netip.Addr) (aux map[string]netip.Addr, may bool) {
	may = true
	for i := range r.IntN(3) {
		a := r.inside(subnet)
		may = may && isHost(subnet, gateway, a) && !slices.Contains(slices.Collect(maps.Values(aux)), a)
		if aux == nil {
			aux = make(map[string]netip.Addr)
		}
		aux[fmt.Sprint("aux", i)] = a
	}
	return aux, may
}

// gatewayOf is the gateway of a subnet for which nobody has named one.
func gatewayOf(subnet, within netip.Prefix) netip.Addr {
	switch a := within.Addr(); {
	case subnet.IsSingleIP():
		return netip.Addr{}
	case a != subnet.Addr(), subnet.Bits() == 31:
		return a
	}
	return subnet.Addr().Next()
}

// leasable reports whether a range has an address beside the gateway.
func leasable(subnet, within netip.Prefix, gateway netip.Addr) bool {
	return slices.ContainsFunc(allOf(within), func(a netip.Addr) bool { return isHost(subnet, gateway, a) })
}

// checked is c as all who ask from outside have it.
func (r *bookRun) checked() api.Backend { return api.Checked(r.c) }

func (r *bookRun) addSegment() {
	subnet, within := r.subnet()
	gateway := gatewayOf(subnet, within)
	aux, may := r.aux(subnet, gateway)
	name := fmt.Sprint("s", r.IntN(6))
	may = may && r.free(subnet, nil) && r.segmentNamed(name) == nil && leasable(subnet, within, gateway)
	got, err := r.checked().AddSegment(r.Context(), api.SegmentSpec{
		Name: name, Subnet: subnet, IPRange: within, AuxAddresses: aux, Internal: subnet.IsSingleIP(),
	})
	if r.did(err, may, "add segment %s on %s, range %s, aux %v", name, subnet, within, aux) {
		r.book.segments = append(r.book.segments, &plainSegment{
			id: got.ID, name: name, subnet: subnet, within: within, gateway: gateway, aux: aux,
			internal: subnet.IsSingleIP(),
		})
	}
}

func (r *bookRun) segmentNamed(name string) *plainSegment {
	for _, s := range r.book.segments {
		if s.name == name {
			return s
		}
	}
	return nil
}

// portsOn returns the ports on a segment, and whether one of them is being added.
func (r *bookRun) portsOn(s *plainSegment) (ports []*plainPort, pending bool) {
	for _, p := range r.book.ports {
		if p.on == s {
			ports, pending = append(ports, p), pending || p.pending
		}
	}
	return ports, pending
}

func (r *bookRun) deleteSegment() {
	s, found := choose(r, r.book.segments)
	if !found {
		return
	}
	_, pending := r.portsOn(s)
	_, err := r.c.DeleteSegment(r.Context(), s.name, true)
	if r.did(err, !pending, "delete segment %s", s.name) {
		r.forgetSegment(s)
	}
}

func (r *bookRun) forgetSegment(s *plainSegment) {
	r.book.ports = slices.DeleteFunc(r.book.ports, func(p *plainPort) bool { return p.on == s })
	r.book.segments = slices.DeleteFunc(r.book.segments, func(o *plainSegment) bool { return o == s })
}

func (r *bookRun) renumber() {
	s, found := choose(r, r.book.segments)
	if !found {
		return
	}
	subnet, _ := r.subnet()
	ports, _ := r.portsOn(s)
	gateway := gatewayOf(subnet, subnet)
	may := subnet == s.subnet ||
		len(ports) == 0 && s.pool == nil && r.free(subnet, s) && (s.internal || !subnet.IsSingleIP())
	for _, a := range s.aux {
		may = may && (subnet == s.subnet || isHost(subnet, gateway, a))
	}
	_, err := r.c.UpdateSegment(r.Context(), s.name, api.SegmentUpdate{Subnet: &subnet})
	if r.did(err, may, "move segment %s to %s", s.name, subnet) && subnet != s.subnet {
		s.subnet, s.within, s.gateway = subnet, subnet, gateway
	}
}

// allowances returns addresses and networks that a port may be allowed.
func (r *bookRun) allowances(s *plainSegment) (list []netip.Prefix) {
	for range r.IntN(4) {
		p := netip.PrefixFrom(r.inside(s.subnet), 32-r.IntN(2)).Masked()
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

func (r *bookRun) portNamed(name string) *plainPort {
	for _, p := range r.book.ports {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (r *bookRun) addPort() {
	s, found := choose(r, r.book.segments)
	if !found {
		return
	}
	p := &plainPort{name: fmt.Sprint("p", r.IntN(12)), on: s, allow: r.allowances(s), pending: true}
	if r.portNamed(p.name) != nil {
		return
	}
	spec := api.PortSpec{Name: p.name, NetNS: r.AddNamespace(p.name).Name, Segment: s.name, AllowAddresses: p.allow}
	may := slices.ContainsFunc(allOf(s.within), func(a netip.Addr) bool { return r.book.mayGet(s, a, p.allow) })
	if r.IntN(2) == 0 {
		spec.IP.Addr = r.inside(s.subnet)
		may = r.book.mayHave(s, spec.IP.Addr)
	}
	may = may && r.book.mayAllow(s, nil, spec.IP.Addr, p.allow)
	r.OnMove = func(string) { r.inTheMiddle(p, !spec.IP.Addr.IsValid()) }
	got, err := r.checked().AddPort(r.Context(), spec)
	r.OnMove = nil
	done := r.did(err, may, "add port %s to %s at %q, allowed %v", p.name, s.name, spec.IP, p.allow)
	if !done {
		r.book.ports = slices.DeleteFunc(r.book.ports, func(o *plainPort) bool { return o == p })
		return
	}
	p.id, p.pending = got.ID, false
	if asked := spec.IP.Addr; asked.IsValid() && asked != p.addr || got.IPs[0].Addr() != p.addr {
		r.Errorf("port %s got %s, was to have %s", p.name, got.IPs[0], p.addr)
	}
}

// inTheMiddle enters a port that is being added into the book, and makes other changes. automatic
// says that the port has asked for no address.
func (r *bookRun) inTheMiddle(p *plainPort, automatic bool) {
	r.OnMove = nil
	r.c.mu.Lock()
	for _, q := range r.c.pending {
		if q.record.Name == p.name {
			p.addr = q.record.IPv4()
		}
	}
	r.c.mu.Unlock()
	if automatic && !r.book.mayGet(p.on, p.addr, p.allow) {
		r.Errorf("port %s gets %s, which is not free", p.name, p.addr)
	}
	r.book.ports = append(r.book.ports, p)
	if r.nested {
		return
	}
	r.nested = true
	r.trace = append(r.trace, "in the middle, "+p.name+" with "+p.addr.String()+":")
	for range r.IntN(3) {
		r.step()
	}
	r.nested = false
}

// setIP gives a port another address, now and then with other allowances.
func (r *bookRun) setIP() {
	p, found := choose(r, r.settled())
	if !found {
		return
	}
	update := api.PortUpdate{IP: new(r.inside(p.on.subnet))}
	allow := p.allow
	if r.IntN(3) == 0 {
		allow = r.allowances(p.on)
		update.AllowAddresses = &allow
	}
	may := !p.endpoint && r.book.mayMove(p, *update.IP, allow)
	_, err := r.checked().UpdatePort(r.Context(), p.id, update)
	if r.did(err, may, "give %s, which has %s, address %s, allowed %v", p.name, p.addr, update.IP, allow) {
		p.addr, p.allow = *update.IP, allow
	}
}
