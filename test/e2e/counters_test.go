package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
)

// counted is all that the switch has counted, by what people call it.
type counted struct {
	counters map[string]api.Counters // of ports, and of host links
	rules    map[string]api.Rule
}

func (h *host) counted() counted {
	h.Helper()
	c := counted{counters: map[string]api.Counters{}, rules: map[string]api.Rule{}}
	ports, err := h.Client.Ports(h.Context(), "")
	if err != nil {
		h.Fatal(err)
	}
	for _, p := range ports {
		c.counters[p.Name] = p.Counters
	}
	segments, err := h.Client.Segments(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	for _, s := range segments {
		c.counters["host link of "+s.Name] = s.HostLink.Counters
	}
	rules, err := h.Client.Rules(h.Context(), "")
	if err != nil {
		h.Fatal(err)
	}
	for _, r := range rules {
		c.rules[r.ID] = r
	}
	return c
}

// goOn wants nothing to have been counted less than before, and each frame that came from a port
// to have one outcome once all is at rest.
func (c counted) goOn(h *host, before counted) {
	h.Helper()
	for name, was := range before.counters {
		is, found := c.counters[name]
		lost := !found || is.RxFrames < was.RxFrames || is.RxBytes < was.RxBytes ||
			is.TxFrames < was.TxFrames || is.TxBytes < was.TxBytes || is.Local < was.Local ||
			is.Forwarded < was.Forwarded || is.Flooded < was.Flooded
		for reason, n := range was.Drops {
			lost = lost || is.Drops[reason] < n
		}
		if lost || !is.Since.Equal(was.Since) {
			h.Errorf("the counters of %s were\n%+v\nand are\n%+v", name, was, is)
		}
	}
	for id, was := range before.rules {
		if is := c.rules[id]; is.Hits < was.Hits || !is.Since.Equal(was.Since) {
			h.Errorf("rule %s had %d hits since %s and has %d since %s",
				id, was.Hits, was.Since, is.Hits, is.Since)
		}
	}
	h.Eventually("each frame read has one outcome", func() bool {
		for _, c := range h.counted().counters {
			if c.RxFrames != c.Forwarded+c.Flooded+c.Local+drops(c, true) {
				return false
			}
		}
		return true
	})
}

// countAll has everything counted that a listing shows, and returns what was.
func (h *host) countAll(a, b *lab.Container) counted {
	h.Helper()
	deny := api.RuleSpec{Action: api.RuleDeny, Protocol: api.ProtocolUDP}
	if _, err := h.Client.AddRule(h.Context(), "bridge", deny); err != nil {
		h.Fatal(err)
	}
	a.Reaches(b.Addr().String())
	h.Reaches(a.Addr().String())
	h.hit(a, b, "bridge", 1)
	a.Socket(experimental).Send(
		ethernet(b.MAC(), broadcast, experimental, make([]byte, 46)...))
	h.AwaitDrops("a", "bad-source", 1)
	c := h.counted()
	for name, c := range c.counters {
		if c.RxFrames == 0 {
			h.Errorf("%s has sent nothing yet", name)
		}
	}
	return c
}

// hit sends datagrams that the first rule of a segment denies until it has that many hits more.
func (h *host) hit(from, to *lab.Container, segment string, n uint64) {
	h.Helper()
	hits := func() uint64 {
		rules, err := h.Client.Rules(h.Context(), segment)
		if err != nil || len(rules) == 0 {
			h.Fatalf("%d rules of segment %s, %v", len(rules), segment, err)
		}
		return rules[0].Hits
	}
	conn := lab.Inside(from, func() (net.Conn, error) {
		return net.Dial("udp4", to.Addr().String()+":9")
	})
	defer conn.Close()
	before := hits()
	h.Eventually("the rule has decided on a frame", func() bool {
		_, err := conn.Write([]byte("x"))
		return err == nil && hits() >= before+n
	})
}

// TestCountersSurviveAKill: what was counted before the carrier died is still there, and goes on.
func TestCountersSurviveAKill(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Harmed()
	a, b := h.Attach("a"), h.Attach("b")
	before := h.countAll(a, b)
	for range 3 {
		h.KillCarrier()
		after := h.counted()
		after.goOn(h, before)
		a.Reaches(b.Addr().String())
		h.hit(a, b, "bridge", 1)
		before = h.counted()
		if before.counters["a"].Forwarded <= after.counters["a"].Forwarded {
			t.Error("the port counts no more")
		}
	}
}

// TestCountersAddUpAfterAKillUnderAStream: frames that were on their way when the carrier died
// are counted with their outcome or not at all.
func TestCountersAddUpAfterAKillUnderAStream(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Harmed()
	a, b := h.Attach("a"), h.Attach("b")
	s := openStream(t, a, b)
	for range rounds(t, 5, 50) {
		s.pause()
		before := h.counted()
		h.KillCarrier()
		s.pause()
		h.counted().goOnUnderLoad(h, before)
	}
	s.finish()
	h.counted().goOn(h, counted{})
}

// goOnUnderLoad is goOn, without rest.
func (c counted) goOnUnderLoad(h *host, before counted) {
	h.Helper()
	for name, was := range before.counters {
		if is := c.counters[name]; is.RxFrames < was.RxFrames || is.TxBytes < was.TxBytes {
			h.Errorf("the counters of %s were\n%+v\nand are\n%+v", name, was, is)
		}
	}
}

// TestCountersSurviveAnUpgrade, in place as well as to another file.
func TestCountersSurviveAnUpgrade(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.Attach("a"), h.Attach("b")
	before := h.countAll(a, b)
	h.upgradeInPlace()
	h.counted().goOn(h, before)
	other := filepath.Join(lab.ShortDir(t), "vswitchd")
	copyFile(t, other, lab.Program("vswitchd"))
	h.upgradeTo(other)
	h.counted().goOn(h, before)
	a.Reaches(b.Addr().String())
}

// anew wants all to be counted since the last moment before now, from zero.
func (c counted) anew(h *host, now time.Time) {
	h.Helper()
	for name, c := range c.counters {
		if c.Since.Before(now) || c.Since.After(time.Now()) || c.Forwarded != 0 {
			h.Errorf("the counters of %s are %+v, want them anew since %s", name, c, now)
		}
	}
	for id, r := range c.rules {
		if r.Since.Before(now) || r.Hits != 0 {
			h.Errorf("rule %s has %d hits since %s, want none since %s", id, r.Hits, r.Since, now)
		}
	}
}

// TestCountersAfterARestart begin anew, and all that lists them says when that was.
func TestCountersAfterARestart(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.1:9100"
	h := newQuietHost(t)
	h.NS.Run("ip", "link", "set", "lo", "up")
	h.Start("--metrics-listen", address)
	a, b := h.Attach("a"), h.Attach("b")
	before := h.countAll(a, b)
	h.listsSince(address, before)
	h.Stop()
	now := time.Now()
	h.Start("--metrics-listen", address)
	after := h.counted()
	after.anew(h, now)
	h.listsSince(address, after)
	a.Reaches(b.Addr().String())
	h.hit(a, b, "bridge", 1)
}

// listsSince wants each listing to say since when it is counted.
func (h *host) listsSince(address string, c counted) {
	h.Helper()
	stats, page := h.MustVsctl("stats"), h.scrape(address)
	for _, name := range []string{"a", "b", h.Segment("bridge").HostLink.Name} {
		since := c.counters[name].Since
		if name != "a" && name != "b" {
			since = c.counters["host link of bridge"].Since
		}
		row := fmt.Sprintf(`(?m)^%s .* %s *$`, name, since.Format("2006-01-02T15:04:05Z"))
		if !regexp.MustCompile(row).MatchString(stats) {
			h.Errorf("vsctl stats does not say that %s counts since %s:\n%s", name, since, stats)
		}
		series := `vswitch_port_since_timestamp_seconds{port="` + name + `",segment="bridge"}`
		if got := int64(value(page, series)); got != since.Unix() {
			h.Errorf("%s is %d, want %d", series, got, since.Unix())
		}
	}
	rules := h.MustVsctl("list-rules")
	for id, r := range c.rules {
		row := fmt.Sprintf(`(?m)^%s .* %s *$`, id[:12], r.Since.Format("2006-01-02T15:04:05Z"))
		if !regexp.MustCompile(row).MatchString(rules) {
			h.Errorf("vsctl list-rules does not say that it counts since %s:\n%s", r.Since, rules)
		}
	}
}

// TestCountersAreNotInherited: a port or rule that is added when others were deleted begins at
// zero, also one of the same name and id, and also when the carrier has died meanwhile.
func TestCountersAreNotInherited(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Harmed()
	a, b := h.Attach("a"), h.Attach("b")
	h.countAll(a, b)
	for _, die := range []bool{false, true} {
		now := time.Now()
		id := h.Port("a").ID
		h.DelPort("a")
		h.DelPort("b")
		for _, r := range h.counted().rules {
			if _, err := h.Client.DeleteRule(t.Context(), "bridge", r.ID); err != nil {
				t.Fatal(err)
			}
		}
		if die {
			h.KillCarrier()
		}
		a = h.Attach("a", func(s *api.PortSpec) { s.ID = id })
		b = h.Attach("b")
		deny := api.RuleSpec{Action: api.RuleDeny, Protocol: api.ProtocolUDP}
		if _, err := h.Client.AddRule(t.Context(), "bridge", deny); err != nil {
			t.Fatal(err)
		}
		c := h.counted()
		delete(c.counters, "host link of bridge") // goes on
		c.anew(h, now)
		a.Reaches(b.Addr().String())
		h.hit(a, b, "bridge", 1)
	}
}

// TestCountersFollowAHostLink that is made again: they go on.
func TestCountersFollowAHostLink(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a := h.Attach("a")
	h.Reaches(a.Addr().String())
	before := h.counted()
	h.Harmed()
	link := h.Segment("bridge").HostLink.Name
	h.LogAfter(func() { h.NS.Run("ip", "link", "delete", link) }, "host link made again")
	h.counted().goOn(h, before)
	h.Reaches(a.Addr().String())
	if _, err := h.Client.AddSegment(t.Context(), api.SegmentSpec{Name: "moves"}); err != nil {
		t.Fatal(err)
	}
	before = h.counted()
	subnet := netip.MustParsePrefix("10.9.0.0/24")
	update := api.SegmentUpdate{Subnet: &subnet}
	if _, err := h.Client.UpdateSegment(t.Context(), "moves", update); err != nil {
		t.Fatal(err)
	}
	h.counted().goOn(h, before)
}

// TestCountersOfManyPorts, for which their memory has grown.
func TestCountersOfManyPorts(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Harmed()
	c := h.Container()
	for i := range rounds(t, 200, 1000) {
		h.Connect(c, fmt.Sprint("p", i), func(s *api.PortSpec) {
			s.IfName, s.NoDefaultRoute = fmt.Sprint("eth", i), true
		})
	}
	last := h.Attach("last")
	last.Reaches("172.17.0.1")
	before := h.counted()
	h.KillCarrier()
	h.counted().goOn(h, before)
	last.Reaches("172.17.0.1")
	if c := h.Counters("last"); c.RxFrames <= before.counters["last"].RxFrames {
		t.Error("the last port counts no more")
	}
}

// TestForeignCountersBeginAnew: where the supervisor has none, because the version before kept
// none, or something else under their names, all is counted anew.
func TestForeignCountersBeginAnew(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"none":        {"counters other1", "hits other2"},
		"other ones":  {"counters other1", "hits counters"},
		"a device":    {"counters other1", "hits other2", "DEVICE counters"},
		"not a table": {"counters other1", "hits other2", "file hits"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newQuietHost(t)
			place := h.startReplaceable()
			a, b := h.Attach("a"), h.Attach("b")
			h.countAll(a, b)
			for i, line := range lines {
				lines[i] = strings.Replace(line, "DEVICE", keptName("p", b.Port.ID), 1)
			}
			h.replaceByPredecessor(place, lines...)
			now := time.Now()
			h.Harmed()
			h.replaceProgram(place, lab.Program("vswitchd"))
			h.counted().anew(h, now)
			a.Reaches(b.Addr().String())
			h.hit(a, b, "bridge", 1)
			before := h.counted()
			h.KillCarrier()
			h.counted().goOn(h, before)
		})
	}
}

// TestCountersWithAnotherNumberOfWorkers, by a configuration file that has changed before an
// upgrade.
func TestCountersWithAnotherNumberOfWorkers(t *testing.T) {
	t.Parallel()
	if runtime.NumCPU() < 2 {
		t.Skip("one processor, so one worker")
	}
	h := newQuietHost(t)
	config := filepath.Join(h.Dir, "vswitchd.toml")
	workers := func(n int) {
		if err := os.WriteFile(config, fmt.Appendf(nil, "workers = %d\n", n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	workers(1)
	h.Start("--config", config)
	a, b := h.Attach("a"), h.Attach("b")
	before := h.countAll(a, b)
	for _, n := range []int{2, 1} {
		workers(n)
		h.upgradeInPlace()
		h.AwaitLog(0, "msg=ready", fmt.Sprint("workers=", n))
		h.counted().goOn(h, before)
		a.Reaches(b.Addr().String())
		h.hit(a, b, "bridge", 1)
		before = h.counted()
	}
}
