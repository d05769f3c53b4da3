package daemon

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/switch/policy"
)

// securities are the names of the levels of security. A record without one is of
// a version that had no levels.
var securities = map[string]policy.Security{
	api.SecurityOff:    policy.SecurityOff,
	api.SecurityMAC:    policy.SecurityMACOnly,
	api.SecurityStrict: policy.SecurityStrict,
}

// policyFor is what record lets its port do. A level that we do not know is a later
// version's: it is taken for the strictest.
func policyFor(record model.Port) policy.Policy {
	level, known := securities[record.Security]
	if !known {
		level = policy.SecurityStrict
	}
	c := policy.Policy{
		Security: level, MAC: record.MAC, Addrs: slices.Clone(record.Addrs),
		IPv6:          true, // stations have their link-local addresses on every segment
		AllowReserved: record.AllowReserved, BPDUGuard: record.BPDUGuard, Isolated: record.Isolated,
		MACLimit: record.MACLimit, FloodLimit: record.FloodLimit,
		RateIn: rate(record.RateIn, record.RateInBurst), RateOut: rate(record.RateOut, record.RateOutBurst),
	}
	for _, allowed := range record.AllowAddresses {
		if allowed.IsSingleIP() {
			c.Addrs = append(c.Addrs, allowed.Addr())
		} else {
			c.Prefixes = append(c.Prefixes, allowed)
		}
	}
	return c
}

func rate(bits, burst uint64) policy.Rate {
	return policy.Rate{BitsPerSecond: int64(min(bits, policy.MaxRate)), BurstBytes: int64(min(burst, policy.MaxBurst))}
}

// policyOf is what a spec says of the policy, as an update.
func policyOf(spec api.PortSpec) api.PortUpdate {
	return api.PortUpdate{
		Security: new(cmp.Or(spec.Security, api.SecurityStrict)), AllowAddresses: &spec.AllowAddresses,
		AllowReserved: &spec.AllowReserved, BPDUGuard: &spec.BPDUGuard, Isolated: &spec.Isolated,
		MACLimit: &spec.MACLimit, FloodLimit: &spec.FloodLimit,
		RateIn: new(cmp.Or(spec.RateIn, api.Rate{}.String())), RateOut: new(cmp.Or(spec.RateOut, api.Rate{}.String())),
	}
}

// setPolicy brings into a record what update says of the policy. The server has
// checked the values' form.
func setPolicy(record *model.Port, s *segment, update api.PortUpdate) (err error) {
	set(&record.Security, update.Security)
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
	if err := setRate(&record.RateIn, &record.RateInBurst, update.RateIn); err != nil {
		return err
	}
	return setRate(&record.RateOut, &record.RateOutBurst, update.RateOut)
}

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

func setRate(bits, burst *uint64, text *string) error {
	if text == nil || *text == "" {
		return nil
	}
	r, err := api.ParseRate(*text)
	if err != nil {
		return err
	}
	*bits, *burst = r.BitsPerSecond, r.BurstBytes
	return nil
}

func allowed(list []string, s *segment) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range list {
		p, err := api.ParseAllowed(text)
		if err != nil {
			return nil, err
		}
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
func (d *Daemon) enforcePolicy(p *port, record model.Port, undo *undo) error {
	before, after := policyFor(p.record), policyFor(record)
	if reflect.DeepEqual(before, after) { // what the limits have counted would begin anew
		return nil
	}
	if err := p.sw.SetPolicy(after); err != nil {
		return api.Invalidf("policy of port %q: %w", record.Name, err)
	}
	undo.add(func() { d.logFailure("take back the policy of port "+p.record.Name, p.sw.SetPolicy(before)) })
	return nil
}

// viewPolicy shows what a record lets its port do, with the defaults filled in.
func viewPolicy(v *api.Port, r model.Port) {
	v.Security = cmp.Or(r.Security, api.SecurityStrict)
	for _, p := range r.AllowAddresses {
		v.AllowAddresses = append(v.AllowAddresses, p.String())
	}
	v.AllowReserved, v.BPDUGuard, v.Isolated = r.AllowReserved, r.BPDUGuard, r.Isolated
	v.MACLimit, v.FloodLimit = limit(r.MACLimit, policy.DefaultMACLimit), limit(r.FloodLimit, policy.DefaultFloodLimit)
	v.RateIn, v.RateOut = rateView(r.RateIn, r.RateInBurst), rateView(r.RateOut, r.RateOutBurst)
}

func limit(n, standard int) int { return max(cmp.Or(n, standard), api.NoLimit) }

func rateView(bits, burst uint64) string {
	if bits == 0 {
		return ""
	}
	return api.Rate{BitsPerSecond: bits, BurstBytes: burst}.String()
}
