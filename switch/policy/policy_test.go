package policy_test

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/policy"
)

func TestPolicyErrors(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *policy.Policy){
		"unknown level": func(c *policy.Policy) { c.Security = 3 },
		"no MAC":        func(c *policy.Policy) { c.MAC = frame.MAC{} },
		"no MAC at mac-only": func(c *policy.Policy) {
			c.MAC, c.Security = frame.MAC{}, policy.SecurityMACOnly
		},
		"group MAC":           func(c *policy.Policy) { c.MAC = frame.Broadcast },
		"no address":          func(c *policy.Policy) { c.Addrs = make([]netip.Addr, 1) },
		"unspecified address": func(c *policy.Policy) { c.Addrs = append(c.Addrs, addr("::")) },
		"no IPv4 address": func(c *policy.Policy) {
			c.Addrs = append(c.Addrs, addr("0.0.0.0"))
		},
		"group address": func(c *policy.Policy) {
			c.Addrs = append(c.Addrs, addr("224.0.0.1"))
		},
		"no prefix": func(c *policy.Policy) { c.Prefixes = make([]netip.Prefix, 1) },
		"mapped prefix": func(c *policy.Policy) {
			c.Prefixes = append(c.Prefixes, netip.MustParsePrefix("::ffff:10.0.0.0/104"))
		},
		"too many addresses": func(c *policy.Policy) {
			c.Addrs = slices.Repeat([]netip.Addr{host1.IP}, policy.MaxSources)
		},
		"flood limit": func(c *policy.Policy) { c.FloodLimit = policy.MaxFloodLimit + 1 },
		"slow rate": func(c *policy.Policy) {
			c.RateIn.BitsPerSecond = policy.MinRate - 1
		},
		"fast rate": func(c *policy.Policy) {
			c.RateOut.BitsPerSecond = policy.MaxRate + 1
		},
		"burst without rate": func(c *policy.Policy) { c.RateOut.BurstBytes = 1 },
		"negative burst": func(c *policy.Policy) {
			c.RateIn = policy.Rate{BitsPerSecond: 1e6, BurstBytes: -1}
		},
		"large burst": func(c *policy.Policy) {
			c.RateIn = policy.Rate{BitsPerSecond: 1e6, BurstBytes: policy.MaxBurst + 1}
		},
	} {
		c := policy1(policy.SecurityStrict)
		change(&c)
		if g, err := policy.NewGuard(c); err == nil || g != nil {
			t.Errorf("%s: the policy was taken", name)
		}
	}
}

// TestPolicyLimits: what is just within them is taken.
func TestPolicyLimits(t *testing.T) {
	t.Parallel()
	newGuard(t, policy.Policy{}) // a MAC is needed for security only
	c := policy1(policy.SecurityStrict)
	c.Addrs, c.Prefixes = slices.Repeat([]netip.Addr{host1.IP}, policy.MaxSources), nil
	c.FloodLimit = policy.MaxFloodLimit
	c.RateIn = policy.Rate{BitsPerSecond: policy.MinRate, BurstBytes: 1}
	c.RateOut = policy.Rate{BitsPerSecond: policy.MaxRate, BurstBytes: policy.MaxBurst}
	newGuard(t, c)
}

func TestPolicyIsKept(t *testing.T) {
	t.Parallel()
	c := policy1(policy.SecurityStrict)
	c.Addrs[0], c.Prefixes[0] = addr("::ffff:172.17.0.2"), netip.MustParsePrefix("10.9.7.7/16")
	c.Addrs[2] = addr("fd00::2%eth0")
	g := newGuard(t, c)
	c.Addrs[0] = host1.Other // the caller's own business
	got := g.Policy()
	want := policy1(policy.SecurityStrict)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the policy is %+v, want %+v", got, want)
	}
}

// TestGuardLimits: what workers read of a policy beside its addresses.
func TestGuardLimits(t *testing.T) {
	t.Parallel()
	rate := policy.Rate{BitsPerSecond: 1e6}
	for name, test := range map[string]struct {
		policy         policy.Policy
		checks         policy.Checks
		macLimit       int32
		flood, in, out bool
	}{
		"zero": {policy.Policy{}, 0, policy.DefaultMACLimit, true, false, false},
		"limits": {
			policy.Policy{MACLimit: 5, FloodLimit: 7, RateOut: rate}, 0, 5, true, false, true,
		},
		"none": {
			policy.Policy{MACLimit: -1, FloodLimit: -1}, 0, policy.NoLimit, false, false, false,
		},
		"large": {policy.Policy{MACLimit: 1 << 40}, 0, policy.NoLimit, true, false, false},
		"mac": {
			policy.Policy{Security: policy.SecurityMACOnly, MAC: host1.MAC, RateIn: rate},
			0, policy.DefaultMACLimit, true, true, false,
		},
		"strict": {
			policy1(policy.SecurityStrict), policy.CheckSource, policy.DefaultMACLimit, true, false,
			false,
		},
		"strict with a rate": {
			policy.Policy{Security: policy.SecurityStrict, MAC: host1.MAC, RateIn: rate},
			policy.CheckSource, policy.DefaultMACLimit, true, true, false,
		},
	} {
		g := newGuard(t, test.policy)
		if g.Checks != test.checks || g.MACLimit != test.macLimit ||
			g.Security != test.policy.Security {
			t.Errorf(
				"%s: checks %b, limit %d, security %d; want %b, %d", name, g.Checks, g.MACLimit,
				g.Security, test.checks, test.macLimit,
			)
		}
		if g.Flood != nil != test.flood ||
			g.RateIn != nil != test.in || g.RateOut != nil != test.out {
			t.Errorf("%s: flood %v, rates %v and %v", name, g.Flood, g.RateIn, g.RateOut)
		}
		if g.Checks >= policy.CheckNext {
			t.Errorf("%s: checks %b, which are the caller's", name, g.Checks)
		}
	}
}
