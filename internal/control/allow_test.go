package control

import (
	"slices"
	"testing"

	"vswitch/api"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// TestAllowedMACs: what a port may use is no other's, and several may use it.
func TestAllowedMACs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	virtual := frame.MAC{0, 0, 0x5e, 0, 1, 51}
	one := &api.AllowMACs{frame.SingleMAC(virtual)}
	a, b := w.portNamed(c, "a"), w.portNamed(c, "b")
	next := w.AddNamespace("next").Name
	for _, name := range []string{"a", "b"} {
		if got := w.updatePort(c, name, api.PortUpdate{AllowMACs: one}); !slices.Equal(
			got.AllowMACs,
			*one,
		) {
			t.Errorf("port %s is allowed %v, want %v", name, got.AllowMACs, *one)
		}
	}
	for _, test := range []struct {
		what  string
		call  func() error
		kind  api.Kind
		parts []string
	}{
		{"an allowed MAC for a new port", func() error {
			_, err := c.AddPort(t.Context(), api.PortSpec{Name: "n", NetNS: next, MAC: virtual})
			return err
		}, api.Conflict, []string{virtual.String(), "is allowed to port"}},
		{"an allowed MAC for another port", func() error {
			_, err := c.UpdatePort(t.Context(), "b", api.PortUpdate{MAC: &virtual})
			return err
		}, api.Conflict, []string{virtual.String(), `is allowed to port "a"`}},
		{"another port's MAC as an allowed one", func() error {
			_, err := c.UpdatePort(t.Context(), "a", api.PortUpdate{AllowMACs: &api.AllowMACs{frame.SingleMAC(b.MAC)}})
			return err
		}, api.Conflict, []string{b.MAC.String(), `is that of port "b"`}},
		{"the gateway's among a mask's", func() error {
			gateway := api.MACMask{MAC: api.MAC{0x02, 0x42, 0xac, 0x11}, Mask: api.MAC{255, 255, 255, 255}}
			_, err := c.UpdatePort(t.Context(), "a", api.PortUpdate{AllowMACs: &api.AllowMACs{gateway}})
			return err
		}, api.Invalid, []string{"has the gateway's", "02:42:ac:11:00:01"}},
		{"no MAC of a host", func() error {
			_, err := c.UpdatePort(t.Context(), "a", api.PortUpdate{AllowMACs: &api.AllowMACs{{}}})
			return err
		}, api.Invalid, nil},
	} {
		w.refused(c, test.what, test.call, test.kind, test.parts...)
	}
	// Its own among those that it is allowed is no harm, and masks may cover others' own.
	list := &api.AllowMACs{
		frame.SingleMAC(a.MAC),
		{MAC: switchtest.MAC(0), Mask: api.MAC{255, 255, 255}},
	}
	w.updatePort(c, "a", api.PortUpdate{AllowMACs: list})
	w.updatePort(c, "b", api.PortUpdate{AllowMACs: &api.AllowMACs{}})
	w.updatePort(c, "b", api.PortUpdate{MAC: &virtual})
}

// TestAllowReserved is an alias among the protocols that a port is allowed.
func TestAllowReserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	for i, step := range []struct {
		update api.PortUpdate
		want   api.AllowProtocols
	}{
		{api.PortUpdate{AllowReserved: new(true)}, api.AllowProtocols{"reserved"}},
		{api.PortUpdate{AllowReserved: new(true)}, api.AllowProtocols{"reserved"}},
		{api.PortUpdate{AllowProtocols: &api.AllowProtocols{"ptp"}}, api.AllowProtocols{"ptp"}},
		{api.PortUpdate{AllowReserved: new(true)}, api.AllowProtocols{"ptp", "reserved"}},
		{api.PortUpdate{Isolated: new(true)}, api.AllowProtocols{"ptp", "reserved"}},
		{api.PortUpdate{AllowReserved: new(false)}, api.AllowProtocols{"ptp"}},
		{api.PortUpdate{AllowProtocols: &api.AllowProtocols{"llc"}, AllowReserved: new(true)}, api.AllowProtocols{"llc", "reserved"}},
		{api.PortUpdate{AllowProtocols: &api.AllowProtocols{}}, nil},
	} {
		got := w.updatePort(c, "a", step.update)
		if !slices.Equal(got.AllowProtocols, step.want) ||
			got.AllowReserved != slices.Contains(step.want, "reserved") {
			t.Errorf(
				"step %d: %v and %v, want %v",
				i,
				got.AllowProtocols,
				got.AllowReserved,
				step.want,
			)
		}
	}
	got := w.addPort(
		c,
		"new",
		func(s *api.PortSpec) { s.AllowProtocols = []api.LinkProtocol{"reserved"} },
	)
	if !got.AllowReserved || len(got.AllowProtocols) != 1 {
		t.Errorf("a new port has %v and %v", got.AllowProtocols, got.AllowReserved)
	}
}

// TestHints: what a port's frames are refused for says what would let them pass, and is true.
func TestHints(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		p.updatePort(p.c, "a", api.PortUpdate{Security: new(api.SecurityStrict)})
		own, virtual := p.portNamed(p.c, "a").MAC, frame.MAC{0, 0, 0x5e, 0, 1, 51}
		b := p.portNamed(p.c, "b")
		packet := func(etherType uint16) func() {
			return func() { p.Wire("a").Send(switchtest.Ethernet(frame.Broadcast, own, etherType, make([]byte, 46)...)) }
		}
		from := func(ip string) func() {
			return func() {
				p.Wire("a").Send(switchtest.Ethernet(
					frame.Broadcast,
					own,
					frame.EtherTypeIPv4,
					switchtest.IPv4(
						addr("255.255.255.255"),
						addr(ip),
						frame.ProtoTCP,
						switchtest.Ports(1, 2)...)...))
			}
		}
		for _, test := range []struct {
			send         func()
			reason, want string
			apply        api.PortUpdate
		}{
			{packet(0x8864), "unassigned-protocol", "--allow-protocol pppoe", api.PortUpdate{AllowProtocols: &api.AllowProtocols{"pppoe"}}},
			{
				func() { p.Wire("a").Send(switchtest.Frame(frame.Broadcast, virtual, "x")) }, "spoofed-mac",
				"--allow-mac 00:00:5e:00:01:33",
				api.PortUpdate{AllowMACs: &api.AllowMACs{frame.SingleMAC(virtual)}},
			},
			{from("172.17.0.88"), "spoofed-ip", "--allow-address 172.17.0.88", api.PortUpdate{AllowAddresses: &api.AllowAddresses{prefix("172.17.0.88/32")}}},
			{from(b.IPs[0].Addr().String()), "spoofed-ip", "", api.PortUpdate{}},
		} {
			before := p.portNamed(p.c, "a").Counters.Drops[test.reason]
			test.send()
			p.settle()
			got := p.portNamed(p.c, "a")
			if got.Counters.Drops[test.reason] != before+1 || got.Hints[test.reason] != test.want {
				p.Errorf(
					"drops %v with the hints %v, want one more %s with %q",
					got.Counters.Drops,
					got.Hints,
					test.reason,
					test.want,
				)
			}
			if test.want == "" {
				continue
			}
			got = p.updatePort(p.c, "a", test.apply)
			if len(got.Hints) != 0 {
				p.Errorf("with %s there are the hints %v", test.want, got.Hints)
			}
			test.send()
			p.settle()
			if got := p.portNamed(p.c, "a"); got.Counters.Drops[test.reason] != before+1 {
				p.Errorf("with %s such frames are still dropped: %v", test.want, got.Counters.Drops)
			}
		}
		if !p.has(
			"level=WARN",
			"frame refused",
			"reason=spoofed-mac",
			`allowed-by="vsctl set-port a --allow-mac 00:00:5e:00:01:33"`,
		) {
			p.Errorf("the log says %s", p.log.String())
		}
		p.updatePort(p.c, "a", api.PortUpdate{FloodLimit: new(1)})
		for range 3 {
			from(p.portNamed(p.c, "a").IPs[0].Addr().String())()
		}
		p.settle()
		if got := p.portNamed(p.c, "a"); got.Hints["flood-limit"] != "--flood-limit" {
			p.Errorf("drops %v with the hints %v", got.Counters.Drops, got.Hints)
		}
	})
}
