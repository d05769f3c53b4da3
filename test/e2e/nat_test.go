package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
)

func TestContainersReachTheOutsideByTheHostsAddress(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other")
	h.AddSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
	out := h.outside(1500)
	serveAs(out, "outside", ":80")
	a, b, c := h.Attach("a"), h.Attach("b", lab.On("other")), h.Attach("c", lab.On("internal"))
	for _, c := range []*lab.Container{a, b} {
		gets(c, farOutside+":80", "outside sees "+hostOutside)
		out.Misses(c.Addr().String())
	}
	c.Misses(farOutside)
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
	c := h.Attach("c")
	for range 3 {
		h.LogAfter(func() {
			h.NS.Run("nft", "flush", "ruleset")
		}, "nftables table was changed by others: put back")
		gets(c, farOutside+":80", "outside sees "+hostOutside)
	}
}

// Whoever came after us found forwarding on, as Docker does, and relies on it: it stays on when
// all that is ours is removed.
func TestForwardingOfOthersOutlivesUs(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	h := newQuietHost(t)
	h.NS.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	h.NS.Run("nft", "add", "table", "inet", "others")
	out := h.outside(1500)
	h.Start()
	neighbour := h.neighbour()
	out.Reaches(neighbour)
	h.Stop()
	for _, flags := range [][]string{nil, {"--stop-removes-ports"}, {"--stop-removes-ports"}} {
		h.Start(flags...)
		out.Reaches(neighbour)
		h.Stop()
		out.Reaches(neighbour)
		if tables := h.NS.Run("nft", "list", "tables"); !strings.Contains(tables, "inet others") {
			t.Errorf("after %q the tables are\n%s", flags, tables)
		}
	}
}

// TestHostBecomesNoRouter: one that did not forward does not begin to between networks that it
// had before us, in whatever way we run, end and come again.
func TestHostBecomesNoRouter(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	h := newQuietHost(t)
	h.NS.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	out, neighbour := h.outside(1500), h.neighbour()
	out.Misses(neighbour)
	for i, flags := range [][]string{nil, nil, {"--stop-removes-ports"}, {"--stop-removes-ports"}} {
		h.Start(flags...)
		out.Misses(neighbour)
		c := h.Attach(fmt.Sprintf("c%d", i))
		c.Reaches(farOutside)
		h.upgradeInPlace()
		out.Misses(neighbour)
		h.Stop()
		out.Misses(neighbour)
	}
	h.Start("--ip-forward-no-drop")
	out.Reaches(neighbour)
	h.Stop()
	out.Reaches(neighbour)
}

func TestWithoutNATTheHostIsLeftAlone(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	h := newQuietHost(t)
	h.NS.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	h.Start("--nat=false")
	c, out := h.Attach("c"), h.outside(1500)
	c.Reaches(c.Port.Gateway)
	c.Misses(farOutside)
	h.routes()
	c.Reaches(farOutside)
	out.Reaches(c.Addr().String())
	if tables := h.NS.Run("nft", "list", "ruleset"); strings.TrimSpace(tables) != "" {
		t.Errorf("there are rules:\n%s", tables)
	}
}

// Where the kernel's settings may not be changed, containers reach the host and no
// farther, until somebody else has changed them.
func TestReadOnlySettingsAreTold(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "unshare", "mount")
	h := newQuietHost(t)
	h.NS.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	readOnly := `mount -o bind,ro /proc/sys /proc/sys && exec "$0" "$@"`
	h.StartBy([]string{"unshare", "--mount", "--propagation=slave", "sh", "-c", readOnly})
	h.AddSegment("other")
	c, out := h.Attach("c", lab.On("other")), h.outside(1500)
	serveAs(out, "outside", ":80")
	l := h.hostLink("other", api.PortUp)
	if !strings.Contains(l.Reason, "no way out beyond the host") || !strings.Contains(l.Reason, "read-only") {
		t.Errorf("the host link says %q, want that there is no way out, and why", l.Reason)
	}
	h.Reaches(c.Addr().String())
	c.Reaches(c.Port.Gateway)
	c.Misses(farOutside)
	h.routes()
	h.Eventually("there is a way out, which the log does not say", func() bool {
		return h.Segment("other").HostLink.Reason == ""
	})
	gets(c, farOutside+":80", "outside sees "+hostOutside)
}
