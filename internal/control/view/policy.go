package view

import (
	"cmp"
	"slices"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/ethertype"
	"vswitch/switch/policy"
)

// securities are the names of the levels of security. A record without one is of
// a version that had no levels.
var securities = map[api.Security]policy.Security{
	api.SecurityOff:    policy.SecurityOff,
	api.SecurityMAC:    policy.SecurityMACOnly,
	api.SecurityStrict: policy.SecurityStrict,
}

// Policy returns what a record lets its port do. A level that we do not know is a later
// version's: it is taken for the strictest.
func Policy(record model.Port) policy.Policy {
	level, known := securities[api.Security(record.Security)]
	if !known {
		level = policy.SecurityStrict
	}
	c := policy.Policy{
		Security: level, MAC: record.MAC, Addrs: slices.Clone(record.Addrs),
		IPv6: true, // stations have their link-local addresses on every segment
		MACs: slices.Clone(record.AllowMACs), Protocols: slices.Clone(record.AllowProtocols),
		BPDUGuard: record.BPDUGuard, Isolated: record.Isolated,
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

// viewPolicy shows what a record lets its port do, with the defaults filled in.
func viewPolicy(v *api.Port, r model.Port) {
	v.Security = cmp.Or(api.Security(r.Security), api.SecurityStrict)
	v.AllowAddresses = slices.Clone(r.AllowAddresses)
	v.AllowMACs, v.AllowProtocols = slices.Clone(r.AllowMACs), slices.Clone(r.AllowProtocols)
	v.AllowReserved = slices.Contains(r.AllowProtocols, ethertype.ReservedGroups)
	v.BPDUGuard, v.Isolated = r.BPDUGuard, r.Isolated
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
