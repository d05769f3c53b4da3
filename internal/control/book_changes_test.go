package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vswitch/api"
)

// settled returns the ports that are not being added.
func (r *bookRun) settled() []*plainPort {
	return slices.DeleteFunc(slices.Clone(r.book.ports), func(p *plainPort) bool { return p.pending })
}

func (r *bookRun) allow() {
	p, found := choose(r, r.settled())
	if !found {
		return
	}
	list := r.allowances(p.on)
	may := r.book.mayAllow(p.on, p, p.addr, list)
	_, err := r.checked().UpdatePort(r.Context(), p.id, api.PortUpdate{AllowAddresses: &list})
	if r.did(err, may, "allow %s %v", p.name, list) {
		p.allow = list
	}
}

func (r *bookRun) forgetPort(p *plainPort) {
	r.book.ports = slices.DeleteFunc(r.book.ports, func(o *plainPort) bool { return o == p })
}

func (r *bookRun) deletePort() {
	p, found := choose(r, r.settled())
	if !found {
		return
	}
	_, err := r.c.DeletePort(r.Context(), p.id)
	if r.did(err, true, "delete port %s", p.name) {
		r.forgetPort(p)
	}
}

func (r *bookRun) addPool() {
	subnet, within := r.subnet()
	gateway := gatewayOf(subnet, within)
	got, err := r.c.AddPool(r.Context(), api.PoolSpec{Subnet: subnet, IPRange: within})
	may := r.free(subnet, nil) && leasable(subnet, within, gateway)
	if r.did(err, may, "add pool %s, range %s", subnet, within) {
		r.book.pools = append(r.book.pools, &plainPool{
			id: got.ID, subnet: subnet, within: within, gateway: gateway,
		})
	}
}

func (r *bookRun) deletePool() {
	p, found := choose(r, r.book.pools)
	if !found {
		return
	}
	_, err := r.c.DeletePool(r.Context(), p.id)
	if r.did(err, true, "delete pool %s", p.subnet) {
		r.forgetPool(p)
	}
}

func (r *bookRun) forgetPool(p *plainPool) {
	r.book.pools = slices.DeleteFunc(r.book.pools, func(o *plainPool) bool { return o == p })
	if s := r.book.over(p); s != nil {
		s.pool = nil
	}
}

// lease leases an address, or the gateway's, or any that is free.
func (r *bookRun) lease() {
	p, found := choose(r, r.book.pools)
	if !found {
		return
	}
	var want netip.Addr
	may := slices.ContainsFunc(allOf(p.within), func(a netip.Addr) bool { return r.book.mayLease(p, a) })
	if r.IntN(2) == 0 {
		want = r.inside(p.subnet)
		may = r.book.mayLease(p, want)
	}
	if want.IsValid() && r.IntN(4) == 0 {
		r.leaseGateway(p, want)
		return
	}
	got, err := r.c.Lease(r.Context(), p.id, want)
	if !r.did(err, may, "lease %q of %s, got %s", want, p.subnet, got) {
		return
	}
	if a := got.Addr(); !r.book.mayLease(p, a) || want.IsValid() && a != want || !want.IsValid() && !p.within.Contains(a) {
		r.Errorf("leased is %s, which is not free", a)
	}
	p.leases = append(p.leases, got.Addr())
}

func (r *bookRun) leaseGateway(p *plainPool, want netip.Addr) {
	may := want == p.gateway || r.book.over(p) == nil && r.book.mayLease(p, want) && leasable(p.subnet, p.within, want)
	_, err := r.c.LeaseGateway(r.Context(), p.id, want)
	if r.did(err, may, "make %s the gateway of %s", want, p.subnet) {
		p.gateway = want
	}
}

func (r *bookRun) release() {
	p, found := choose(r, r.book.pools)
	if !found {
		return
	}
	a := r.inside(p.subnet)
	err := r.c.Release(r.Context(), p.id, a)
	if r.did(err, a == p.gateway || slices.Contains(p.leases, a), "release %s of %s", a, p.subnet) {
		p.leases = slices.DeleteFunc(p.leases, func(o netip.Addr) bool { return o == a })
	}
}

func (r *bookRun) addOver() {
	p, found := choose(r, r.book.pools)
	if !found {
		return
	}
	name := fmt.Sprint("s", r.IntN(6))
	aux, may := r.aux(p.subnet, p.gateway)
	may = may && r.segmentNamed(name) == nil && r.book.over(p) == nil
	got, err := api.CheckedPools(r.c).AddSegmentOver(r.Context(), p.id, api.SegmentSpec{
		Name: name, Subnet: p.subnet, AuxAddresses: aux, Internal: p.subnet.IsSingleIP(),
	})
	if r.did(err, may, "add segment %s over %s, aux %v", name, p.subnet, aux) {
		r.book.segments = append(r.book.segments, &plainSegment{
			id: got.ID, name: name, subnet: p.subnet, within: p.within, gateway: p.gateway, aux: aux,
			pool: p, internal: p.subnet.IsSingleIP(),
		})
	}
}

// dockerError is what Docker is told of a request that has failed.
type dockerError string

func (e dockerError) Error() string { return string(e) }

// ask sends a request of Docker's.
func (r *bookRun) ask(method string, request map[string]any) (answer map[string]any, err error) {
	r.Helper()
	body, err := json.Marshal(request)
	r.wantNil(err)
	recorder := httptest.NewRecorder()
	r.docker.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/"+method, strings.NewReader(string(body))))
	r.wantNil(json.Unmarshal(recorder.Body.Bytes(), &answer))
	for _, field := range []string{"Err", "Error"} {
		if text, failed := answer[field].(string); failed {
			return nil, dockerError(text)
		}
	}
	return answer, nil
}

// createNetwork is what Docker does to create a network, whose addresses are ours to give or
// Docker's.
func (r *bookRun) createNetwork() {
	if r.IntN(3) == 0 {
		s := &plainSegment{id: newID(), network: true}
		s.subnet, _ = r.subnet()
		s.within, s.gateway = s.subnet, gatewayOf(s.subnet, s.subnet)
		aux, may := r.aux(s.subnet, s.gateway)
		s.aux = aux
		r.putNetwork(s, may && r.free(s.subnet, nil), "LocalDefault")
		return
	}
	p, s := &plainPool{}, &plainSegment{id: newID(), network: true}
	p.subnet, p.within = r.subnet()
	p.gateway = gatewayOf(p.subnet, p.within)
	answer, err := r.ask("IpamDriver.RequestPool", map[string]any{
		"AddressSpace": "vswitch", "Pool": p.subnet.String(), "SubPool": p.within.String(),
	})
	may := r.free(p.subnet, nil) && leasable(p.subnet, p.within, p.gateway)
	if !r.did(err, may, "Docker requests pool %s, range %s", p.subnet, p.within) {
		return
	}
	p.id = answer["PoolID"].(string)
	r.book.pools = append(r.book.pools, p)
	s.subnet, s.within, s.gateway, s.pool = p.subnet, p.within, p.gateway, p
	wanted, _ := r.aux(p.subnet, p.gateway)
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		a := wanted[name]
		_, err := r.ask("IpamDriver.RequestAddress", map[string]any{"PoolID": p.id, "Address": a.String()})
		if !r.did(err, r.book.mayLease(p, a), "Docker requests auxiliary address %s", a) {
			r.releasePool(p)
			return
		}
		p.leases = append(p.leases, a)
	}
	s.aux = wanted
	r.putNetwork(s, true, "vswitch")
	if !slices.Contains(r.book.segments, s) {
		r.releasePool(p)
	}
}

// releasePool is what Docker does of a network that it does not create, or has ended.
func (r *bookRun) releasePool(p *plainPool) {
	_, err := r.ask("IpamDriver.ReleasePool", map[string]any{"PoolID": p.id})
	if r.did(err, true, "Docker releases pool %s", p.subnet) {
		r.forgetPool(p)
	}
}

// putNetwork has Docker create a network.
func (r *bookRun) putNetwork(s *plainSegment, may bool, space string) {
	s.internal = s.subnet.IsSingleIP()
	gateway := s.gateway
	if !gateway.IsValid() { // as Docker is told
		gateway = s.subnet.Addr()
	}
	aux := make(map[string]string)
	for name, a := range s.aux {
		aux[name] = fmt.Sprintf("%s/%d", a, s.subnet.Bits())
	}
	if name := fmt.Sprint("s", r.IntN(6)); r.segmentNamed(name) == nil {
		s.name = name
	} else {
		return
	}
	_, err := r.ask("NetworkDriver.CreateNetwork", map[string]any{
		"NetworkID": s.id,
		"Options": map[string]any{
			"com.docker.network.generic":  map[string]string{"vswitch.name": s.name},
			"com.docker.network.internal": s.internal,
		},
		"IPv4Data": []any{map[string]any{
			"AddressSpace": space, "Pool": s.subnet.String(), "AuxAddresses": aux,
			"Gateway": fmt.Sprintf("%s/%d", gateway, s.subnet.Bits()),
		}},
	})
	if r.did(err, may, "Docker creates network %s on %s, aux %v", s.name, s.subnet, s.aux) {
		r.book.segments = append(r.book.segments, s)
	}
}

// networks returns the segments that are Docker's.
func (r *bookRun) networks() []*plainSegment {
	return slices.DeleteFunc(slices.Clone(r.book.segments), func(s *plainSegment) bool { return !s.network })
}

// runContainer has a container join a network, at an address that Docker has chosen, or asks us
// for. Docker gives none of a container's out again.
func (r *bookRun) runContainer() {
	s, found := choose(r, r.networks())
	if !found {
		return
	}
	var want netip.Addr
	if s.pool == nil || r.IntN(2) == 0 {
		want = r.inside(s.subnet)
		if q := r.book.owner(s, want); !s.subnet.Contains(want) || q != nil && q.endpoint {
			return
		}
	}
	if s.pool != nil {
		request := map[string]any{"PoolID": s.pool.id}
		may := slices.ContainsFunc(allOf(s.within), func(a netip.Addr) bool { return r.book.mayLease(s.pool, a) })
		if want.IsValid() {
			request["Address"], may = want.String(), r.book.mayLease(s.pool, want)
		}
		answer, err := r.ask("IpamDriver.RequestAddress", request)
		if !r.did(err, may, "Docker requests %q of %s, got %v", want, s.subnet, answer) {
			return
		}
		got := prefix(answer["Address"].(string)).Addr()
		if !r.book.mayLease(s.pool, got) || want.IsValid() && got != want {
			r.Errorf("Docker gets %s, which is not free", got)
		}
		want = got
		s.pool.leases = append(s.pool.leases, got)
	}
	p := &plainPort{id: newID(), on: s, addr: want, endpoint: true}
	p.name = "docker-" + p.id[:12]
	_, err := r.ask("NetworkDriver.CreateEndpoint", map[string]any{
		"NetworkID": s.id, "EndpointID": p.id,
		"Interface": map[string]string{"Address": fmt.Sprintf("%s/%d", want, s.subnet.Bits())},
	})
	if r.did(err, r.book.mayHave(s, want), "Docker creates endpoint %s at %s", p.name, want) {
		r.book.ports = append(r.book.ports, p)
	} else if s.pool != nil {
		r.releaseAddress(s, want)
	}
}

func (r *bookRun) releaseAddress(s *plainSegment, a netip.Addr) {
	if s.pool == nil {
		return
	}
	_, err := r.ask("IpamDriver.ReleaseAddress", map[string]any{"PoolID": s.pool.id, "Address": a.String()})
	if r.did(err, true, "Docker releases %s", a) {
		s.pool.leases = slices.DeleteFunc(s.pool.leases, func(o netip.Addr) bool { return o == a })
	}
}

func (r *bookRun) removeContainer() {
	p, found := choose(r, slices.DeleteFunc(r.settled(), func(p *plainPort) bool { return !p.endpoint }))
	if !found {
		return
	}
	_, err := r.ask("NetworkDriver.DeleteEndpoint", map[string]any{"NetworkID": p.on.id, "EndpointID": p.id})
	if r.did(err, true, "Docker deletes endpoint %s", p.name) {
		r.forgetPort(p)
		r.releaseAddress(p.on, p.addr)
	}
}

// removeNetwork removes a network of Docker's. It takes forgotten endpoints along.
func (r *bookRun) removeNetwork() {
	s, found := choose(r, r.networks())
	if !found {
		return
	}
	ports, pending := r.portsOn(s)
	for _, p := range ports {
		if !p.endpoint || pending {
			return
		}
	}
	_, err := r.ask("NetworkDriver.DeleteNetwork", map[string]any{"NetworkID": s.id})
	pool := s.pool
	switch {
	case r.did(err, true, "Docker deletes network %s", s.name):
		r.forgetSegment(s)
		if pool != nil {
			r.releasePool(pool)
		}
	default: // a part of its ports may have gone
		for _, p := range ports {
			if _, err := r.c.Port(r.Context(), p.id); err != nil {
				r.forgetPort(p)
			}
		}
	}
}

// losePort ends a container's namespace.
func (r *bookRun) losePort() {
	p, found := choose(r, slices.DeleteFunc(r.settled(), func(p *plainPort) bool { return p.endpoint }))
	if !found || r.Named[p.name] == nil {
		return
	}
	r.trace = append(r.trace, "the namespace of "+p.name+" ends")
	r.RemoveNamespace(p.name)
	r.rest()
}

// restart ends the process in one of the ways in which one ends, and starts the next one.
func (r *bookRun) restart() {
	names := slices.Sorted(maps.Keys(ways))
	way := names[r.IntN(len(names))]
	r.Plan(0, 0)
	r.trace = append(r.trace, "the process is "+way)
	r.begin(r.watchedWorld.restart(r.c, ways[way]))
	r.c.Settle()
	r.rest()
}

// wait is so long that lost ports are released.
func (r *bookRun) wait() {
	ports, err := r.c.Ports(r.Context(), "")
	r.wantNil(err)
	r.Plan(0, 0)
	time.Sleep(lostFor)
	r.rest()
	for _, lost := range ports {
		if p := r.portNamed(lost.Name); lost.State == api.PortLost && p != nil {
			r.trace = append(r.trace, "lost port "+p.name+" is released")
			r.forgetPort(p)
		}
	}
}
