package e2e

import (
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
)

func TestContainersReachTheOutsideByTheHostsAddress(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.addSegment("other")
	h.addSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
	out := h.outside(1500)
	serveAs(out, "outside", ":80")
	a, b, c := h.attach("a"), h.attach("b", on("other")), h.attach("c", on("internal"))
	for _, c := range []*container{a, b} {
		c.gets(farOutside+":80", "outside sees "+hostOutside)
		out.misses(c.addr().String())
	}
	c.misses(farOutside)
	if page, err := get(c, farOutside+":80", 300*time.Millisecond); err == nil {
		t.Errorf("a container of an internal segment gets %q from outside", page)
	}
}

func TestFlushedRulesComeBack(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	h := newHost(t)
	out := h.outside(1500)
	serveAs(out, "outside", ":80")
	c := h.attach("c")
	for range 3 {
		h.ns.Run("nft", "flush", "ruleset")
		h.await("the container is masqueraded again", func() bool {
			page, err := get(c, farOutside+":80", time.Second)
			return err == nil && page == "outside sees "+hostOutside
		})
	}
}

func TestForwardingIsPutBackWhenAsked(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	h := newQuietHost(t)
	forwarding := func() string {
		return strings.TrimSpace(h.ns.Run("cat", "/proc/sys/net/ipv4/ip_forward"))
	}
	h.ns.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	h.ns.Run("nft", "add", "table", "inet", "others")
	for _, test := range []struct {
		flags []string
		left  string
	}{{nil, "1"}, {[]string{"--stop-removes-ports"}, "0"}, {[]string{"--stop-removes-ports"}, "0"}} {
		h.start(test.flags...)
		if got := forwarding(); got != "1" {
			t.Errorf("ip_forward is %s under %q, want 1", got, test.flags)
		}
		h.stop()
		if got := forwarding(); got != test.left {
			t.Errorf("ip_forward is %s after %q, want %s", got, test.flags, test.left)
		}
		tables := h.ns.Run("nft", "list", "tables")
		if there := strings.Contains(tables, "inet vswitch"); there != (test.left == "1") || !strings.Contains(tables, "inet others") {
			t.Errorf("after %q the tables are\n%s", test.flags, tables)
		}
	}
}

func TestWithoutNATTheHostIsLeftAlone(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	h := newQuietHost(t)
	h.ns.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	h.start("--nat=false")
	c, out := h.attach("c"), h.outside(1500)
	c.reaches(c.port.Gateway)
	c.misses(farOutside)
	h.routes()
	c.reaches(farOutside)
	out.reaches(c.addr().String())
	if tables := h.ns.Run("nft", "list", "ruleset"); strings.TrimSpace(tables) != "" {
		t.Errorf("there are rules:\n%s", tables)
	}
}

// Where the kernel's settings may not be changed, containers reach the host and no
// farther, until somebody else has changed them.
func TestReadOnlySettingsAreTold(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "unshare", "mount")
	h := newQuietHost(t)
	h.ns.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	readOnly := `mount -o bind,ro /proc/sys /proc/sys && exec "$0" "$@"`
	h.startBy("unshare", "--mount", "--propagation=slave", "sh", "-c", readOnly)
	h.addSegment("other")
	c, out := h.attach("c", on("other")), h.outside(1500)
	serveAs(out, "outside", ":80")
	l := h.awaitHostLink("other", api.PortUp)
	if !strings.Contains(l.Reason, "no way out beyond the host") || !strings.Contains(l.Reason, "read-only") {
		t.Errorf("the host link says %q, want that there is no way out, and why", l.Reason)
	}
	h.reaches(c.addr().String())
	c.reaches(c.port.Gateway)
	c.misses(farOutside)
	h.routes()
	h.await("there is a way out", func() bool { return h.segment("other").HostLink.Reason == "" })
	c.gets(farOutside+":80", "outside sees "+hostOutside)
}
