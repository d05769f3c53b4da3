package control

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
)

// policyOf is what a spec says of the policy, as an update.
func policyOf(spec api.PortSpec) api.PortUpdate {
	return api.PortUpdate{
		Security: new(cmp.Or(spec.Security, api.SecurityStrict)), AllowAddresses: &spec.AllowAddresses,
		AllowReserved: &spec.AllowReserved, BPDUGuard: &spec.BPDUGuard, Isolated: &spec.Isolated,
		MACLimit: &spec.MACLimit, FloodLimit: &spec.FloodLimit,
		RateIn: &spec.RateIn, RateOut: &spec.RateOut,
	}
}

// setPolicy brings into a record what update says of the policy. The server has
// checked the values' form.
func setPolicy(record *model.Port, s *segment, update api.PortUpdate) (err error) {
	if update.Security != nil {
		record.Security = string(*update.Security)
	}
	set(&record.AllowReserved, update.AllowReserved)
	set(&record.BPDUGuard, update.BPDUGuard)
	set(&record.Isolated, update.Isolated)
	set(&record.MACLimit, update.MACLimit)
	set(&record.FloodLimit, update.FloodLimit)
	if update.AllowAddresses != nil {
		if record.AllowAddresses, err = allowed(*update.AllowAddresses, s); err != nil {
			return err
		}
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
