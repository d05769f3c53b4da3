package vswitch_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// TestPortCountsInTheMemoryGiven, and on from what it holds.
func TestPortCountsInTheMemoryGiven(t *testing.T) {
	const workers = 2
	inLab(t, vswitch.Options{Workers: workers}, func(l *lab) {
		seg := l.segment()
		words := make([]atomic.Uint64, workers*vswitch.CounterWords)
		a, b := l.portWith(seg, 1, vswitch.PortConfig{Counters: words}), l.port(seg, 2)
		teach(a, b)
		a.send(b.mac, "once")
		a.send(a.mac, "hairpin")
		before := a.Counters()
		if before.Forwarded != 1 || before.Drops[drop.Hairpin] != 1 {
			l.t.Errorf("counted %+v, want one frame forwarded and one dropped", before)
		}
		if read := vswitch.ReadCounters(words); read != before {
			l.t.Errorf("the memory holds %+v, and the port has counted %+v", read, before)
		}
		l.sw.RemovePort(a.Port)
		a = l.portWith(seg, 1, vswitch.PortConfig{Counters: words})
		a.send(b.mac, "twice")
		balanced(l.t, a.Port)
		if c := a.Counters(); c.Forwarded != 2 || c.Drops[drop.Hairpin] != 1 {
			l.t.Errorf("counted %+v, want what there was and one frame more", c)
		}
		dev := a.Device
		if _, err := l.sw.AddPort(seg, dev, vswitch.PortConfig{Counters: words[1:]}); err == nil {
			l.t.Error("a port with too little memory to count in was added")
		}
	})
}

// TestRuleCountsInTheMemoryGiven, and on from what it holds.
func TestRuleCountsInTheMemoryGiven(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		teach(p...)
		rule := vswitch.Rule{Action: policy.Deny, Hits: make([]atomic.Uint64, policy.HitWords)}
		rule.Hits[0].Store(40)
		for range 2 {
			l.setRules(seg, vswitch.Rule{From: ports(p[1])}, rule)
			p[0].send(p[1].mac, "denied")
		}
		if hits := seg.RuleHits(); !slices.Equal(hits, []uint64{0, 42}) {
			l.t.Errorf("hits are %v, want 0 and 42", hits)
		}
		rule.Hits = rule.Hits[1:]
		err := seg.SetRules([]vswitch.Rule{rule})
		if err == nil || !strings.Contains(err.Error(), "rule 1") {
			l.t.Errorf("a rule with too little memory to count in: %v", err)
		}
	})
}

// TestCountersHaveNames of their own: another version finds them by these.
func TestCountersHaveNames(t *testing.T) {
	t.Parallel()
	names := vswitch.CounterNames()
	if all := slices.Compact(slices.Sorted(slices.Values(names))); len(all) != len(names) {
		t.Errorf("%d names of %d counters", len(all), len(names))
	}
	words := make([]atomic.Uint64, vswitch.CounterWords)
	for i := range names {
		words[i].Store(uint64(i + 1))
	}
	c := vswitch.ReadCounters(words)
	for name, n := range map[string]uint64{
		"rx-frames": c.RxFrames, "rx-bytes": c.RxBytes, "tx-frames": c.TxFrames,
		"tx-bytes": c.TxBytes, "forwarded": c.Forwarded, "flooded": c.Flooded, "local": c.Local,
		"drop-runt": c.Drops[drop.Runt], "drop-rate-limit-out": c.Drops[drop.RateLimitOut],
	} {
		if i := slices.Index(names, name); uint64(i+1) != n {
			t.Errorf("the counter %s is word %d, and was read from word %d", name, i, n-1)
		}
	}
}

// TestRecoverCounters: what a process that was killed has not counted of a burst is made up for,
// and what cannot be a port's is refused.
func TestRecoverCounters(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rx, forwarded, dropped uint64
		refused                bool
	}{
		"nothing":                 {},
		"at rest":                 {rx: 5, forwarded: 3, dropped: 2},
		"drops, and not the rest": {rx: 5, forwarded: 5, dropped: 7},
		"the last was forwarded":  {rx: 37, forwarded: 3, dropped: 2},
		"wrapped around":          {rx: 1, forwarded: 1<<64 - 2, dropped: 3},
		"too few read":            {rx: 5, forwarded: 30, dropped: 8, refused: true},
		"too many read":           {rx: 38, forwarded: 3, dropped: 2, refused: true},
		"anything":                {rx: 1 << 63, refused: true},
	} {
		words := make([]atomic.Uint64, 2*vswitch.CounterWords)
		at := func(name string) *atomic.Uint64 {
			return &words[vswitch.CounterWords+slices.Index(vswitch.CounterNames(), name)]
		}
		at("rx-frames").Store(test.rx)
		at("forwarded").Store(test.forwarded)
		at("drop-hairpin").Store(test.dropped)
		at("drop-queue-full").Store(1000) // of frames that came from elsewhere
		if vswitch.RecoverCounters(words) == test.refused {
			t.Errorf("%s: refused is %v, want %v", name, !test.refused, test.refused)
		}
		c := vswitch.ReadCounters(words)
		sum := c.Forwarded + c.IngressDrops()
		if !test.refused && (c.RxFrames != sum || c.RxFrames < test.rx || c.Forwarded < test.forwarded) {
			t.Errorf("%s: %d frames read and %d accounted for", name, c.RxFrames, sum)
		}
	}
	if vswitch.RecoverCounters(nil) || vswitch.RecoverCounters(make([]atomic.Uint64, 3)) {
		t.Error("no memory was taken for a port's counters")
	}
}

// TestStoppedWorkerHasCountedAll: a process that ends in order leaves nothing to recover.
func TestStoppedWorkerHasCountedAll(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		words := make([]atomic.Uint64, vswitch.CounterWords)
		a, b := l.portWith(seg, 1, vswitch.PortConfig{Counters: words}), l.port(seg, 2)
		teach(b)
		for range 100 {
			a.Send(switchtest.Frame(b.mac, a.mac, ""))
		}
		synctest.Wait()
		l.sw.Close()
		before := vswitch.ReadCounters(words)
		if !vswitch.RecoverCounters(words) || vswitch.ReadCounters(words) != before {
			l.t.Errorf("counted %+v, and as recovered %+v", before, vswitch.ReadCounters(words))
		}
	})
}
