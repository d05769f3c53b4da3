package control

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
)

func TestSetPolicy(t *testing.T) {
	t.Parallel()
	s := &segment{record: model.Segment{Name: "bridge", Subnets: []model.SegmentSubnet{{Subnet: model.Subnet{
		Prefix: netip.MustParsePrefix("172.17.0.0/16"), Gateway: netip.MustParseAddr("172.17.0.1"),
	}}}}}
	record := model.Port{Name: "a"}
	routed := netip.MustParsePrefix("10.8.0.0/24")
	spec := api.PortSpec{
		AllowAddresses: []netip.Prefix{routed, routed, netip.MustParsePrefix("fd00::1/128")}, BPDUGuard: true,
		MACLimit: 3, RateIn: api.Rate{BitsPerSecond: 1e9, BurstBytes: 65536},
	}
	if err := setPolicy(&record, s, policyOf(spec)); err != nil {
		t.Fatal(err)
	}
	want := model.Port{
		Name: "a", Security: string(api.SecurityStrict), BPDUGuard: true, MACLimit: 3, RateIn: 1e9, RateInBurst: 65536,
		AllowAddresses: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24"), netip.MustParsePrefix("fd00::1/128")},
	}
	if !reflect.DeepEqual(record, want) {
		t.Errorf("got %+v, want %+v", record, want)
	}
	// What is not named stays; "none" lifts a bound.
	if err := setPolicy(&record, s, api.PortUpdate{RateIn: new(api.Rate{}), Isolated: new(true), BPDUGuard: new(false)}); err != nil {
		t.Fatal(err)
	}
	want.RateIn, want.RateInBurst, want.Isolated, want.BPDUGuard = 0, 0, true, false
	if !reflect.DeepEqual(record, want) {
		t.Errorf("got %+v, want %+v", record, want)
	}
	gateway := []netip.Prefix{netip.MustParsePrefix("172.17.0.1/32")}
	if err := setPolicy(&record, s, api.PortUpdate{AllowAddresses: &gateway}); api.KindOf(err) != api.Invalid {
		t.Errorf("the gateway's address: got %v, want it refused", err)
	}
}

// TestPolicyIsInForce at once when it is changed, and after a restart.
func TestPolicyIsInForce(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		p.updatePort(p.c, "a", api.PortUpdate{Isolated: new(true)})
		p.wantReach("isolated alone", "bd")
		p.updatePort(p.c, "b", api.PortUpdate{Isolated: new(true)})
		p.wantReach("with b isolated too", "d")
		p.Plan(1, 0)
		p.refused(p.c, "an end of it for a disk that is full", func() error {
			_, err := p.c.UpdatePort(p.Context(), "b", api.PortUpdate{Isolated: new(false)})
			return err
		}, api.Internal, `"b"`, kerneltest.ErrStep.Error())
		p.Plan(0, 0)
		p.wantReach("as before", "d")
		p.c = p.crash()
		p.wantReach("after a restart", "d")
		p.updatePort(p.c, "b", api.PortUpdate{Isolated: new(false)})
		p.wantReach("no longer", "bd")
	})
}

// TestPortSecurity: what a port may not send is dropped, counted by its reason, and logged with
// the port that is meant.
func TestPortSecurity(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		own := p.portNamed(p.c, "a").MAC
		spoof := func(text string) bool {
			p.texts("d")
			p.Wire("a").Send(switchtest.Frame(p.portNamed(p.c, "d").MAC, switchtest.MAC(66), text))
			p.settle()
			return slices.Contains(p.texts("d"), text)
		}
		if !spoof("before") {
			p.Error("without security, a frame from another MAC does not arrive")
		}
		p.updatePort(p.c, "a", api.PortUpdate{Security: new(api.SecurityMAC), Name: new("renamed")})
		if spoof("after") {
			p.Error("with security, a frame from another MAC arrives")
		}
		p.Wire("a").Send(switchtest.Frame(p.portNamed(p.c, "d").MAC, own, "own"))
		p.settle()
		if !slices.Contains(p.texts("d"), "own") {
			p.Error("with security, a frame from its own MAC does not arrive")
		}
		var drops uint64
		for reason, n := range p.portNamed(p.c, "renamed").Counters.Drops {
			if strings.Contains(reason, "mac") {
				drops += n
			}
		}
		if drops != 1 {
			p.Errorf("it shows the drops %v, want one for the MAC", p.portNamed(p.c, "renamed").Counters.Drops)
		}
		if !p.has("level=WARN", "frame refused", "port=renamed", "segment=bridge", switchtest.MAC(66).String()) {
			p.Errorf("the log says %s", p.log.String())
		}
	})
}

// TestPolicyThatStays is not set anew, with which what its limits have counted would be forgotten.
func TestPolicyThatStays(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		p.updatePort(p.c, "a", api.PortUpdate{FloodLimit: new(1)})
		flood := func(text string) bool {
			p.Wire("a").Send(switchtest.Frame(frame.Broadcast, p.portNamed(p.c, "a").MAC, text))
			p.settle()
			return slices.Contains(p.texts("b"), text)
		}
		if !flood("first") || flood("second") {
			p.Fatal("the limit of one frame a second does not bite")
		}
		p.updatePort(p.c, "a", api.PortUpdate{Labels: map[string]*string{"a": new("b")}, FloodLimit: new(1)})
		if flood("third") {
			p.Error("another label has the limit begin anew")
		}
		p.updatePort(p.c, "a", api.PortUpdate{FloodLimit: new(api.NoLimit)})
		if !flood("fourth") || !flood("fifth") {
			p.Error("without a limit not all arrives")
		}
	})
}

// TestLoop: ports through which frames come back are taken out for a while, which is shown and
// logged, and their addresses are not answered for.
func TestLoop(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		p.Wire("b").Bridge(p.Wire("d")) // as a container does that bridges its two ports
		p.Wire("a").Send(switchtest.Frame(frame.Broadcast, p.portNamed(p.c, "a").MAC, "hello"))
		p.settle()
		disabled := ""
		for _, name := range []string{"a", "b", "d"} {
			if got := p.portNamed(p.c, name); got.State == api.PortDown {
				disabled += name
				p.wantBinding(p.c, name, got.IPs[0].Addr().String(), api.MAC{})
				if !strings.Contains(got.Reason, "err-disabled") {
					p.Errorf("port %s is down because %s", name, got.Reason)
				}
				if !p.has("level=WARN", "port err-disabled", "port="+name, "segment=bridge") {
					p.Errorf("the log says %s", p.log.String())
				}
			}
		}
		if disabled != "b" && disabled != "d" && disabled != "bd" {
			p.Fatalf("err-disabled are %q, want one of b and d at least", disabled)
		}
		p.Wire("b").Relay(func([]byte) {})
		p.Wire("d").Relay(func([]byte) {})
		time.Sleep(2 * vswitch.DefaultLoopHold)
		p.settle()
		p.wantReach("once the loop is gone and the time over", "bd")
		if !p.has("level=INFO", "no longer err-disabled", "port="+disabled[:1]) {
			p.Errorf("the log says %s", p.log.String())
		}
		sw := p.placeOf("b")
		must[api.Port](p.T)(p.c.DeletePort(p.Context(), "b"))
		before := p.log.String()
		p.c.loopFound(sw, true) // too late
		p.c.violated(vswitch.Violation{Port: sw})
		if p.log.String() != before {
			p.Errorf("of a port that has gone the log says %s", strings.TrimPrefix(p.log.String(), before))
		}
	})
}

// placeOf is the place of a port in the switch.
func (p threePorts) placeOf(name string) *vswitch.Port {
	p.Helper()
	p.c.lock()
	defer p.c.unlock()
	return must[*port](p.T)(p.c.findPort(name)).sw
}
