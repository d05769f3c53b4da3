package daemon

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"vswitch/api"
	"vswitch/store"
	vswitch "vswitch/switch"
)

// securities are the names of the levels of security. A record without one is of
// a version that had no levels.
var securities = map[string]vswitch.Security{
	api.SecurityOff:    vswitch.SecurityOff,
	api.SecurityMAC:    vswitch.SecurityMACOnly,
	api.SecurityStrict: vswitch.SecurityStrict,
}

// policy is what record lets p do. A level that we do not know is a later
// version's: it is taken for the strictest.
func (p *port) policy(record store.Port) vswitch.Policy {
	level, known := securities[record.Security]
	if !known {
		level = vswitch.SecurityStrict
	}
	c := vswitch.Policy{
		Security: level, MAC: p.mac, Addrs: []netip.Addr{record.Addr},
		IPv6:          true, // stations have their link-local addresses on every segment
		AllowReserved: record.AllowReserved, Isolated: record.Isolated, MACLimit: record.MACLimit, FloodLimit: record.FloodLimit,
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

func rate(bits, burst uint64) vswitch.Rate {
	return vswitch.Rate{BitsPerSecond: int64(min(bits, vswitch.MaxRate)), BurstBytes: int64(min(burst, vswitch.MaxBurst))}
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
func setPolicy(record *store.Port, s *segment, update api.PortUpdate) (err error) {
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
		if p.IsSingleIP() && p.Addr() == s.record.Gateway {
			return nil, api.Invalidf("allowed address %s is the gateway's on segment %q, which no port may use: give another", p.Addr(), s.record.Name)
		}
		if !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes, nil
}

// enforcePolicy puts p under the policy of record, unless it is under that already.
func (d *Daemon) enforcePolicy(p *port, record store.Port, undo *undo) error {
	old, policy := p.policy(p.record), p.policy(record)
	if p.lost() || reflect.DeepEqual(old, policy) { // what the limits have counted would begin anew
		return nil
	}
	if err := p.sw.SetPolicy(policy); err != nil {
		return api.Invalidf("policy of port %q: %w", record.Name, err)
	}
	undo.add(func() { d.logFailure("take back the policy of port "+p.record.Name, p.sw.SetPolicy(old)) })
	return nil
}

// viewPolicy shows what a record lets its port do, with the defaults filled in.
func viewPolicy(v *api.Port, r store.Port) {
	v.Security = cmp.Or(r.Security, api.SecurityStrict)
	for _, p := range r.AllowAddresses {
		v.AllowAddresses = append(v.AllowAddresses, p.String())
	}
	v.AllowReserved, v.BPDUGuard, v.Isolated = r.AllowReserved, r.BPDUGuard, r.Isolated
	v.MACLimit, v.FloodLimit = limit(r.MACLimit, vswitch.DefaultMACLimit), limit(r.FloodLimit, vswitch.DefaultFloodLimit)
	v.RateIn, v.RateOut = rateView(r.RateIn, r.RateInBurst), rateView(r.RateOut, r.RateOutBurst)
}

func limit(n, standard int) int { return max(cmp.Or(n, standard), api.NoLimit) }

func rateView(bits, burst uint64) string {
	if bits == 0 {
		return ""
	}
	return api.Rate{BitsPerSecond: bits, BurstBytes: burst}.String()
}
