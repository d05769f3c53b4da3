package control

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
)

// policyOf is what a spec says of the policy, as an update.
func policyOf(spec api.PortSpec) api.PortUpdate {
	u := api.PortUpdate{
		Security: new(cmp.Or(spec.Security, api.SecurityStrict)), AllowAddresses: &spec.AllowAddresses,
		AllowMACs: &spec.AllowMACs, AllowProtocols: &spec.AllowProtocols,
		BPDUGuard: &spec.BPDUGuard, Isolated: &spec.Isolated,
		MACLimit: &spec.MACLimit, FloodLimit: &spec.FloodLimit,
		RateIn: &spec.RateIn, RateOut: &spec.RateOut, Offload: &spec.Offload,
	}
	if spec.AllowReserved {
		u.AllowReserved = &spec.AllowReserved
	}
	return u
}

// setPolicy brings into a record what update says of the policy. The server has
// checked the values' form.
func setPolicy(record *model.Port, s *segment, update api.PortUpdate) (err error) {
	if update.Security != nil {
		record.Security = string(*update.Security)
	}
	set(&record.AllowMACs, update.AllowMACs)
	set(&record.AllowProtocols, update.AllowProtocols)
	if update.AllowReserved != nil {
		record.AllowProtocols = allowReserved(record.AllowProtocols, *update.AllowReserved)
	}
	set(&record.BPDUGuard, update.BPDUGuard)
	set(&record.Isolated, update.Isolated)
	set(&record.MACLimit, update.MACLimit)
	set(&record.FloodLimit, update.FloodLimit)
	if update.AllowAddresses != nil {
		if record.AllowAddresses, err = allowed(*update.AllowAddresses, s); err != nil {
			return err
		}
	}
	if update.Offload != nil {
		record.Offload = string(*update.Offload)
	}
	setRate(&record.RateIn, &record.RateInBurst, update.RateIn)
	setRate(&record.RateOut, &record.RateOutBurst, update.RateOut)
	return nil
}

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

func setRate(bits, burst *uint64, to *api.Rate) {
	if to != nil {
		*bits, *burst = to.BitsPerSecond, to.BurstBytes
	}
}

// allowReserved returns a list with the reserved groups among them, or without.
func allowReserved(list []ethertype.Protocol, on bool) []ethertype.Protocol {
	reserved := func(p ethertype.Protocol) bool { return p == ethertype.ReservedGroups }
	if list = slices.DeleteFunc(slices.Clone(list), reserved); on {
		list = append(list, ethertype.ReservedGroups)
	}
	return list
}

// checkAllowedMACs says why the port of a record may not use MACs beside its own on s: the
// gateway has one, or another port has it as its own. One that a mask covers besides others
// stays that port's all the same. except is the port itself.
func (nb *neighbours) checkAllowedMACs(record model.Port, s *segment, except *port) error {
	for _, m := range record.AllowMACs {
		if m.Contains(s.mac) {
			return api.Invalidf("allowed mac %s has the gateway's on segment %q, %s, which no port may use: give another",
				m, s.record.Name, s.mac)
		}
		if !m.IsSingle() {
			continue
		}
		if q := nb.portWith(s, m.MAC, except, false); q != nil {
			return api.Conflictf("allowed mac %s is that of port %q on segment %q: give another, or that port another with --mac",
				m, q.record.Name, s.record.Name)
		}
	}
	return nil
}

// allowedTo finds a port of s but except that may use a single MAC beside its own.
func (nb *neighbours) allowedTo(s *segment, mac frame.MAC, except *port) *port {
	for _, ports := range []map[string]*port{nb.allPorts, nb.pending} {
		for _, q := range ports {
			if q.segment == s && q != except && slices.Contains(q.record.AllowMACs, frame.SingleMAC(mac)) {
				return q
			}
		}
	}
	return nil
}

func allowed(list []netip.Prefix, s *segment) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, p := range list {
		if p.IsSingleIP() && p.Addr() == s.record.IPv4().Gateway {
			return nil, api.Invalidf("allowed address %s is the gateway's on segment %q, which no port may use: give another", p.Addr(), s.record.Name)
		}
		if !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes, nil
}

// enforcePolicy puts p under the policy of record, unless it is under that already.
func (pc *ports) enforcePolicy(p *port, record model.Port, undo *undo) error {
	before, after := view.Policy(p.record), view.Policy(record)
	if reflect.DeepEqual(before, after) { // what the limits have counted would begin anew
		return nil
	}
	if err := p.sw.SetPolicy(after); err != nil {
		return api.Invalidf("policy of port %q: %w", record.Name, err)
	}
	undo.add(func() { pc.logFailure("take back the policy of port "+p.record.Name, p.sw.SetPolicy(before)) })
	return nil
}
