package control

import (
	"fmt"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

func TestUpdatePort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	b := w.portNamed(c, "b")
	many := make(map[string]*string)
	for i := range api.MaxLabels + 1 {
		many[fmt.Sprint("k", i)] = new("v")
	}
	for name, test := range map[string]struct {
		ref    string
		update api.PortUpdate
		kind   api.Kind
		parts  []string
	}{
		"of no port":                   {"nobody", api.PortUpdate{}, api.NotFound, []string{`"nobody"`, "list-ports"}},
		"to a name that is taken":      {"a", api.PortUpdate{Name: new("b")}, api.Conflict, []string{`"b"`}},
		"to a name on another segment": {"a", api.PortUpdate{Name: new("x")}, api.Conflict, []string{`"x"`}},
		"to a MAC that is taken":       {"a", api.PortUpdate{MAC: &b.MAC}, api.Conflict, []string{b.MAC.String(), `"b"`}},
		"to the gateway's MAC":         {"a", api.PortUpdate{MAC: new(frame.MACFromIPv4(addr("172.17.0.1")))}, api.Conflict, []string{"gateway"}},
		"to a MAC with an entry":       {"b", api.PortUpdate{MAC: &api.MAC{2, 0, 0, 0, 0, 7}}, api.Conflict, []string{"static entry", `"a"`}},
		"to too many labels":           {"a", api.PortUpdate{Labels: many}, api.Invalid, []string{"66 labels", "64"}},
		"to the gateway's address":     {"a", api.PortUpdate{AllowAddresses: &api.AllowAddresses{prefix("172.17.0.1/32")}}, api.Invalid, []string{"172.17.0.1"}},
		"to an address that is no host's": {"a", api.PortUpdate{
			Name: new("other"), AllowAddresses: &api.AllowAddresses{prefix("224.0.0.1/32")},
		}, api.Invalid, []string{`"other"`, "224.0.0.1"}},
	} {
		w.refused(c, "a change "+name, func() error {
			_, err := c.UpdatePort(t.Context(), test.ref, test.update)
			return err
		}, test.kind, test.parts...)
	}
	mac := switchtest.MAC(40)
	got := w.updatePort(c, "a", api.PortUpdate{
		Name: new("web"), MAC: &mac, Labels: map[string]*string{"role": nil, "tier": new("1")},
		Aliases: &api.Aliases{"www", "w3"}, Security: new(api.SecurityMAC), Isolated: new(true),
		MACLimit: new(5), FloodLimit: new(100), RateOut: &api.Rate{BitsPerSecond: 1e9},
		AllowAddresses: &api.AllowAddresses{prefix("10.9.0.0/16"), prefix("10.9.0.0/16")},
	})
	if got.Name != "web" || got.MAC != mac || fmt.Sprint(got.Labels) != "map[tier:1]" || len(got.Aliases) != 2 ||
		got.Security != api.SecurityMAC || !got.Isolated || got.MACLimit != 5 || got.FloodLimit != 100 ||
		got.RateOut != "1gbit" || len(got.AllowAddresses) != 1 || got.State != api.PortUp || got.IPs[0] != prefix("172.17.0.2/24") {
		t.Errorf("it is %+v", got)
	}
	for _, l := range w.Named["a"].Links {
		if l.MAC.String() != mac.String() {
			t.Errorf("its interface has %s", l.MAC)
		}
	}
	w.wantBinding(c, "web", "172.17.0.2", mac)
	got = w.updatePort(c, "web", api.PortUpdate{
		AllowAddresses: &api.AllowAddresses{}, RateOut: &api.Rate{}, Aliases: &api.Aliases{}, Isolated: new(false), MACLimit: new(0),
	})
	if len(got.AllowAddresses) > 0 || got.RateOut != "" || len(got.Aliases) > 0 || got.Isolated || got.MACLimit != 16 || got.FloodLimit != 100 {
		t.Errorf("without them it is %+v", got)
	}
	before := w.shown(c)
	w.wantShown(w.crash(), "after a restart", before)
}

// wantBinding wants the default segment to answer for an address that way, and not at all for the
// zero MAC.
func (w *world) wantBinding(c *Control, name, ip string, mac api.MAC) {
	w.Helper()
	for _, b := range must[[]api.Binding](w.T)(c.ARP(w.Context(), "")) {
		if b.IP == addr(ip) {
			if b.Port != name || b.MAC != mac {
				w.Errorf("for %s it answers %+v, want %s of port %q", ip, b, mac, name)
			}
			return
		}
	}
	if mac != (api.MAC{}) {
		w.Errorf("for %s it does not answer, want %s of port %q", ip, mac, name)
	}
}

// TestPortThatIsSetDown neither sends nor gets anything, and is up again when that is asked for,
// whatever processes there were between.
func TestPortThatIsSetDown(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		p.wantReach("at first", "bd")
		b := p.portNamed(p.c, "b")
		p.Plan(1, 0)
		p.refused(p.c, "a change for a disk that is full", func() error {
			_, err := p.c.UpdatePort(p.Context(), "b", api.PortUpdate{Up: new(false)})
			return err
		}, api.Internal, `"b"`, kerneltest.ErrStep.Error())
		p.Plan(0, 0)
		p.wantReach("still", "bd")
		if got := p.updatePort(p.c, "b", api.PortUpdate{Up: new(false)}); got.State != api.PortDown || !strings.Contains(got.Reason, "set-port") {
			p.Errorf("it is %s: %s", got.State, got.Reason)
		}
		p.wantReach("while b is down", "d")
		p.wantBinding(p.c, "b", "172.17.0.3", api.MAC{})
		p.c = p.crash()
		p.wantReach("after a restart", "d")
		if got := p.updatePort(p.c, "b", api.PortUpdate{Up: new(true)}); got.State != api.PortUp || got.Reason != "" {
			p.Errorf("it is %s: %s", got.State, got.Reason)
		}
		p.wantReach("once b is up", "bd")
		p.wantBinding(p.c, "b", "172.17.0.3", b.MAC)
	})
}

// TestMACOfAPortWithoutSecurity: frames go to the new address and no more to the old one.
func TestMACOfAPortWithoutSecurity(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		old, mac := p.portNamed(p.c, "b").MAC, switchtest.MAC(50)
		p.Plan(1, 0)
		p.refused(p.c, "a MAC that the kernel does not take", func() error {
			_, err := p.c.UpdatePort(p.Context(), "b", api.PortUpdate{MAC: &mac})
			return err
		}, api.Internal, kerneltest.ErrStep.Error())
		p.Plan(2, 0) // to set it, and to store it
		p.refused(p.c, "a MAC for a disk that is full", func() error {
			_, err := p.c.UpdatePort(p.Context(), "b", api.PortUpdate{MAC: &mac})
			return err
		}, api.Internal, kerneltest.ErrStep.Error())
		p.Plan(0, 0)
		p.wantBinding(p.c, "b", "172.17.0.3", old)
		for _, l := range p.Named["b"].Links {
			if l.MAC.String() != old.String() {
				p.Errorf("its interface has %s, want %s", l.MAC, old)
			}
		}
		p.wantReach("as before", "bd")
		p.updatePort(p.c, "b", api.PortUpdate{MAC: &mac})
		p.settle()
		p.Wire("b").Frames()
		p.wantReach("at its new address", "bd")
		p.wantBinding(p.c, "b", "172.17.0.3", mac)
		p.updatePort(p.c, "d", api.PortUpdate{MAC: &old}) // which is free
		p.wantReach("with the other at its old one", "bd")
	})
}

// TestMACOfAPortThatIsLost is what the port gets when its namespace comes back.
func TestMACOfAPortThatIsLost(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		mac := switchtest.MAC(60)
		p.RemoveNamespace("b")
		p.settle()
		got := p.updatePort(p.c, "b", api.PortUpdate{MAC: &mac, Name: new("renamed"), Up: new(true)})
		if got.State != api.PortLost || got.MAC != mac || got.Name != "renamed" {
			p.Errorf("it is %+v", got)
		}
		p.renewNamespace("b")
		p.c.mountsChanged()
		got = p.portNamed(p.c, "renamed")
		if got.State != api.PortUp || got.MAC != mac {
			p.Errorf("it is %+v", got)
		}
		for _, l := range p.Named["b"].Links {
			if l.MAC.String() != mac.String() {
				p.Errorf("its interface has %s, want %s", l.MAC, mac)
			}
		}
		p.wantBinding(p.c, "renamed", "172.17.0.3", mac)
		must[api.Port](p.T)(p.c.DeletePort(p.Context(), "renamed"))
	})
}

func TestWithLabels(t *testing.T) {
	t.Parallel()
	full := make(map[string]string)
	for i := range api.MaxLabels {
		full[fmt.Sprint("k", i)] = "v"
	}
	over := map[string]string{"one": "more"} // as a version before allowed
	for k, v := range full {
		over[k] = v
	}
	for name, test := range map[string]struct {
		labels map[string]string
		change map[string]*string
		want   int // -1: it is refused
	}{
		"nothing for none":          {nil, nil, 0},
		"one for none":              {nil, map[string]*string{"a": new("b")}, 1},
		"the end of none":           {nil, map[string]*string{"a": nil}, 0},
		"another value":             {full, map[string]*string{"k0": new("w")}, api.MaxLabels},
		"one for another":           {full, map[string]*string{"k0": nil, "new": new("w")}, api.MaxLabels},
		"one too many":              {full, map[string]*string{"new": new("w")}, -1},
		"another value of too many": {over, map[string]*string{"k0": new("w")}, api.MaxLabels + 1},
		"one less of too many":      {over, map[string]*string{"k0": nil}, api.MaxLabels},
		"one more of too many":      {over, map[string]*string{"new": new("w")}, -1},
	} {
		before := fmt.Sprint(test.labels)
		got, err := withLabels(test.labels, test.change)
		if test.want < 0 {
			wantRefused(t, name, err, api.Invalid, "labels", fmt.Sprint(api.MaxLabels))
		} else if err != nil || len(got) != test.want {
			t.Errorf("%s: %d labels, %v; want %d", name, len(got), err, test.want)
		}
		if fmt.Sprint(test.labels) != before {
			t.Errorf("%s: the labels from before were changed", name)
		}
	}
	if p := (model.Port{}); p.IPv4().IsValid() {
		t.Errorf("a port without addresses has %s", p.IPv4())
	}
}
