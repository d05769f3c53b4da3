package view

import (
	"net/netip"
	"slices"

	"vswitch/internal/control/model"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// hints returns the options of vsctl set-port that let pass frames as the port has dropped, by
// the reasons that they were dropped for; nil without any.
func (p *Port) hints(drops map[string]uint64) map[string]string {
	hints := make(map[string]string)
	for r, option := range limitOptions(p.Record) {
		if option != "" && drops[r.String()] > 0 {
			hints[r.String()] = option
		}
	}
	for _, r := range policy.Allowable {
		if option := p.Allowance(r); option != "" {
			hints[r.String()] = option
		}
	}
	if len(hints) == 0 {
		return nil
	}
	return hints
}

// limitOptions are the options that lift what a record holds its port to, whatever a frame is.
func limitOptions(r model.Port) map[drop.Reason]string {
	options := map[drop.Reason]string{
		drop.MACLimit: "--mac-limit", drop.FloodLimit: "--flood-limit",
		drop.RogueDHCP: "--security mac", drop.RogueRA: "--security mac",
	}
	if r.RateIn != 0 {
		options[drop.RateLimitIn] = "--rate-in"
	}
	if r.RateOut != 0 {
		options[drop.RateLimitOut] = "--rate-out"
	}
	if r.BPDUGuard {
		options[drop.BPDUGuard] = "--bpdu-guard=false"
	}
	if r.Isolated {
		options[drop.Isolated] = "--isolated=false"
	}
	return options
}

// linkLocals is where hosts make their IPv6 link-local addresses (RFC 4291 §2.5.6).
var linkLocals = netip.MustParsePrefix("fe80::/64")

// Allowance returns the option of vsctl set-port that gives the port what it lacks for one of
// the last frames that were dropped for a reason of [policy.Allowable]; empty for an address
// that the segment's gateway or another of its ports has.
func (p *Port) Allowance(r drop.Reason) string {
	all := p.Place.Refusals()
	i := slices.IndexFunc(all, func(refused vswitch.Refusal) bool { return refused.Reason == r })
	if i < 0 {
		return ""
	}
	switch lacks := all[i].Lacks; {
	case lacks.Protocol != "":
		return "--allow-protocol " + string(lacks.Protocol)
	case !lacks.MAC.IsZero():
		return "--allow-mac " + lacks.MAC.String()
	case linkLocals.Contains(lacks.Addr):
		return "--allow-address " + linkLocals.String()
	default:
		if _, bound := p.Segment.Bindings.Lookup(lacks.Addr); bound {
			return ""
		}
		return "--allow-address " + lacks.Addr.String()
	}
}
