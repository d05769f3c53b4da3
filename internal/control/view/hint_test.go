package view

import (
	"maps"
	"net/netip"
	"testing"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

func TestHints(t *testing.T) {
	t.Parallel()
	bound := netip.MustParseAddr("172.17.0.3")
	refused := func(r drop.Reason, lacks policy.Allowance) func(*Port, *place) {
		return func(_ *Port, at *place) { at.refusals = []vswitch.Refusal{{Reason: r, Lacks: lacks}} }
	}
	lacksAddr := func(a string) policy.Allowance { return policy.Allowance{Addr: netip.MustParseAddr(a)} }
	dropped := map[string]uint64{
		"bpdu-guard":     1,
		"isolated":       1,
		"rate-limit-in":  1,
		"rate-limit-out": 1,
		"mac-limit":      1,
	}
	for name, test := range map[string]struct {
		edit  func(*Port, *place)
		drops map[string]uint64
		want  map[string]string
	}{
		"none":             {func(*Port, *place) {}, nil, nil},
		"what has no hint": {func(*Port, *place) {}, map[string]uint64{"runt": 1, "spoofed-gateway": 1, "flood-limit": 0}, nil},
		"limits":           {func(*Port, *place) {}, dropped, map[string]string{"mac-limit": "--mac-limit"}},
		"limits that were asked for": {
			func(p *Port, _ *place) {
				p.Record.BPDUGuard, p.Record.Isolated, p.Record.RateIn, p.Record.RateOut = true, true, 1, 1
			}, dropped, map[string]string{
				"bpdu-guard": "--bpdu-guard=false", "isolated": "--isolated=false", "rate-limit-in": "--rate-in",
				"rate-limit-out": "--rate-out", "mac-limit": "--mac-limit",
			},
		},
		"router": {func(*Port, *place) {}, map[string]uint64{"rogue-ra": 1}, map[string]string{"rogue-ra": "--security mac"}},
		"protocol": {
			refused(drop.UnassignedProtocol, policy.Allowance{Protocol: "mpls"}), nil,
			map[string]string{"unassigned-protocol": "--allow-protocol mpls"},
		},
		"mac": {
			refused(drop.SpoofedMAC, policy.Allowance{MAC: other}), nil,
			map[string]string{"spoofed-mac": "--allow-mac " + other.String()},
		},
		"address": {
			refused(drop.SpoofedARP, lacksAddr("172.17.0.9")), nil,
			map[string]string{"spoofed-arp": "--allow-address 172.17.0.9"},
		},
		"another port's address": {refused(drop.SpoofedARP, lacksAddr(bound.String())), nil, nil},
		"link-local address": {
			refused(drop.SpoofedND, lacksAddr("fe80::1234:5678:9abc:def0")), nil,
			map[string]string{"spoofed-nd": "--allow-address fe80::/64"},
		},
		"IPv6 address": {
			refused(drop.SpoofedND, lacksAddr("fd00::77")), nil,
			map[string]string{"spoofed-nd": "--allow-address fd00::77"},
		},
	} {
		p := aPort(test.edit)
		p.Segment.Bindings = new(arp.Table)
		if err := p.Segment.Bindings.Bind(arp.Binding{IP: bound, MAC: frame.MAC{2}, Kind: arp.Port, Port: "b", Slot: 9}); err != nil {
			t.Fatal(err)
		}
		if got := p.hints(test.drops); !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		for _, option := range test.want {
			checkOption(t, option)
		}
	}
}

// checkOption: what a hint names for what was refused can be asked for.
func checkOption(t *testing.T, option string) {
	t.Helper()
	for flag, parse := range map[string]func(string) error{
		"--allow-mac ":      func(s string) error { _, err := api.ParseAllowedMAC(s); return err },
		"--allow-protocol ": func(s string) error { _, err := api.ParseAllowedProtocol(s); return err },
		"--allow-address ":  func(s string) error { _, err := api.ParseAllowed(s); return err },
	} {
		if len(option) > len(flag) && option[:len(flag)] == flag {
			if err := parse(option[len(flag):]); err != nil {
				t.Errorf("%s: %v", option, err)
			}
		}
	}
}
