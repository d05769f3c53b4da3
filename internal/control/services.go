package control

import (
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/control/view"
	"vswitch/internal/frame"
	"vswitch/internal/gateway"
	"vswitch/internal/gateway/dhcp"
	"vswitch/internal/gateway/dns"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
)

// gateways are what answers at the segments' gateway addresses.
type gateways struct {
	*core
	prefixes  *gateway.Prefixes // subnets of all segments
	forwarder *dns.Forwarder    // to the host's resolvers
}

func newGateways(c *core) *gateways {
	return &gateways{
		core: c, prefixes: new(gateway.Prefixes),
		forwarder: dns.NewForwarder(dns.NewHostServers(c.config.ResolvConf).List),
	}
}

// services are what a segment's gateway has to offer beside ARP and echo: names
// and leases. What the ports are is published to them whenever it changes, so that
// no answer waits for a change under way.
type services struct {
	segment  atomic.Pointer[string] // its name
	sw       *vswitch.Switch
	gateway  *gateway.Gateway
	bindings *arp.Table
	port     *vswitch.Port // the gateway's
	room     int           // bytes that a datagram may hold
	inbox    *gateway.Inbox
	names    dns.Names
	stations []dns.Station // that names has; guarded by the lock of the changes
	resolver *dns.Resolver
	leases   atomic.Pointer[map[frame.MAC]dhcp.Lease]
	notice   func(dhcp.Event, dhcp.Lease)
	busy     func(frame.MAC)
	sockets  *sockets // where the host has the gateway's address; else nil

	stop    chan struct{}
	running sync.WaitGroup
}

// udpHeaders is the size of the headers before a datagram's payload, in bytes.
const udpHeaders = frame.IPv4HeaderLen + 8

// newServices makes the services of s, and has its gateway hand them what is
// theirs. They begin to answer with run. Outside names are for those who have a
// way out.
func (gs *gateways) newServices(s *segment) *services {
	v := &services{
		sw: gs.sw, gateway: s.gateway, bindings: s.bindings, room: s.record.MTU - udpHeaders,
		stop: make(chan struct{}),
	}
	v.segment.Store(new(s.record.Name))
	v.notice, v.busy = gs.leaseNotice(&v.segment), gs.busyNotice(&v.segment)
	config := dns.Config{
		Subnets: s.record.Prefixes(), Names: &v.names, OnLimit: gs.limitNotice(&v.segment),
	}
	if view.UplinkOf(s.record) == api.UplinkHost {
		config.Forwarder = gs.forwarder
	}
	v.resolver = dns.NewResolver(config)
	v.inbox = gateway.NewInbox(v.resolver.Unanswered)
	v.leases.Store(new(map[frame.MAC]dhcp.Lease))
	s.gateway.Serve(v.inbox)
	return v
}

// run answers from the gateway's port in the switch until close is called.
func (v *services) run(port *vswitch.Port) {
	v.port = port
	v.running.Go(func() {
		for {
			select {
			case <-v.stop:
				return
			case <-v.inbox.Ready():
				if datagram, ok := v.inbox.Take(); ok {
					v.handle(datagram)
				}
			case mac := <-v.inbox.Busy():
				v.busy(mac)
			}
		}
	})
}

func (v *services) close() {
	v.unlisten()
	close(v.stop)
	v.running.Wait()
	v.resolver.Close()
}

// handle answers one datagram, and waits for nobody with it.
func (v *services) handle(d gateway.Datagram) {
	switch d.Dst.Port() {
	case gateway.DNSPort:
		v.resolver.Handle(d.Payload, d.Src.Addr(), v.room, func(answer []byte) {
			v.sw.Answer(v.port, v.gateway.Frame(d, d.Src, answer))
		})
	case gateway.DHCPPort:
		v.lease(d)
	}
}

// answerAside sends an answer to a question that the host's socket has taken from the gateway's
// port in the switch, to an address that the segment answers for: in the host link's queue the
// answers to one container are in the way of all others. It returns false for other addresses, and
// for what must be fragmented.
func (v *services) answerAside(to net.Addr, answer []byte) bool {
	client, ok := to.(*net.UDPAddr)
	if !ok || len(answer) > v.room {
		return false
	}
	at := netip.AddrPortFrom(client.AddrPort().Addr().Unmap(), client.AddrPort().Port())
	mac, bound := v.bindings.Lookup(at.Addr())
	if !bound {
		return false
	}
	d := gateway.Datagram{MAC: mac, Dst: netip.AddrPortFrom(netip.Addr{}, gateway.DNSPort)}
	v.sw.Answer(v.port, v.gateway.Frame(d, at, answer))
	return true
}

// lease answers a DHCP client, which must be at the port whose lease it is: a port
// with security can send with its own MAC only.
func (v *services) lease(d gateway.Datagram) {
	lease, ok := (*v.leases.Load())[d.MAC]
	if !ok {
		return // it has gone meanwhile
	}
	answer := dhcp.Respond(d.Payload, lease)
	if answer.Message != nil {
		v.sw.Answer(v.port, v.gateway.Frame(d, netip.AddrPortFrom(answer.To, dhcp.ClientPort), answer.Message))
	}
	v.notice(answer.Event, lease)
}

// noticeEvery bounds how often a container can have the log written.
const noticeEvery = time.Minute

// leaseNotice tells people of what a client should not have to say.
func (gs *gateways) leaseNotice(segment *atomic.Pointer[string]) func(dhcp.Event, dhcp.Lease) {
	var last time.Time
	return func(event dhcp.Event, lease dhcp.Lease) {
		gs.log.Debug("lease", "event", event.String(), "segment", *segment.Load(), "port", lease.HostName, "address", lease.Addr)
		if event == dhcp.Declined && (last.IsZero() || time.Since(last) >= noticeEvery) {
			last = time.Now()
			gs.log.Warn("a container declines its address: it has seen another station use it", "segment", *segment.Load(), "port", lease.HostName, "address", lease.Addr)
		}
	}
}

// limitNotice tells people of limits that a segment's resolver has met.
func (gs *gateways) limitNotice(segment *atomic.Pointer[string]) func(dns.Limit, netip.Addr) {
	return func(l dns.Limit, client netip.Addr) {
		args := []any{"segment", *segment.Load(), "reason", l.String()}
		if client.IsValid() {
			args = append(args, "address", client.String())
		}
		if l == dns.Waited {
			gs.log.Info("questions for names wait until others are answered", args...)
		} else {
			gs.log.Warn("questions for names are dropped", args...)
		}
	}
}

// busyNotice tells people of a container that asks its gateway too much.
func (gs *gateways) busyNotice(segment *atomic.Pointer[string]) func(frame.MAC) {
	return func(mac frame.MAC) {
		gs.log.Warn("questions to the gateway are dropped",
			"segment", *segment.Load(), "reason", drop.GatewayBusy.String(), "mac", mac.String())
	}
}

// follow has the segments' gateways serve what is now: names, and leases. Those of a segment in
// which nothing has changed are left alone.
func (gs *gateways) follow(now *view.Snapshot) {
	for _, s := range now.Segments {
		gs.allSegments[s.Record.ID].services.follow(s)
	}
}

func (v *services) follow(now *view.Segment) {
	v.segment.Store(&now.Record.Name)
	if stations := now.Stations(); !slices.EqualFunc(stations, v.stations, sameStation) {
		v.stations = stations
		v.names.Set(stations)
	}
	if leases := now.Leases(); !reflect.DeepEqual(leases, *v.leases.Load()) {
		clients := make(map[frame.MAC]struct{}, len(leases))
		for mac := range leases {
			clients[mac] = struct{}{}
		}
		v.leases.Store(&leases)
		v.inbox.SetClients(clients)
	}
}

func sameStation(a, b dns.Station) bool {
	return a.Name == b.Name && slices.Equal(a.Addrs, b.Addrs) && slices.Equal(a.Aliases, b.Aliases)
}
