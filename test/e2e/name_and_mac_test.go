package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// refusesCommand wants vsctl to fail with these words, and nothing to change.
func (h *host) refusesCommand(says []string, args ...string) {
	h.Helper()
	before := h.picture()
	status, out := h.Vsctl(args...)
	if status != 1 && status != 2 || strings.Count(out, "\n") != 1 {
		h.Errorf("vsctl %q: exit status %d, want 1 or 2 and one line:\n%s", args, status, out)
	}
	for _, word := range says {
		if !strings.Contains(out, word) {
			h.Errorf("vsctl %q says %q, want %q in it", args, out, word)
		}
	}
	if after := h.picture(); after != before {
		h.Errorf("after vsctl %q the switch was\n%s\nand is\n%s", args, before, after)
	}
}

// The tables call the gateway's port by that name, and no other.
func TestNameOfTheGatewayIsReserved(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Attach("a")
	c := h.Container()
	h.refusesCommand([]string{"gateway", "reserved"}, "add-port", "gateway", "--netns", c.Name())
	h.refusesCommand([]string{"gateway", "reserved"}, "set-port", "a", "--rename", "gateway")
}

// Two ports of one MAC would take each other's frames.
func TestMACOfAPortIsItsOwn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other")
	a := h.Attach("a")
	h.Attach("b", func(s *api.PortSpec) { s.MAC = parsedMAC("02:00:00:00:66:01") })
	c := h.Container()
	for _, mac := range []string{a.Port.MAC.String(), "02:00:00:00:66:01", "02:42:ac:11:00:01"} {
		h.refusesCommand([]string{mac}, "add-port", "c", "--netns", c.Name(), "--mac", mac)
	}
	h.MustVsctl(
		"add-port",
		"c",
		"--netns",
		c.Name(),
		"--segment",
		"other",
		"--mac",
		"02:00:00:00:66:01",
	)
}

// A container that has changed its MAC at a port that holds it to its own is told
// how to go on.
func TestChangedMACAtAStrictPortIsExplained(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.Attach("a"), h.Attach("b")
	const mac = "02:00:00:00:66:02"
	from := h.Daemon.Lines()
	b.Run("ip", "link", "set", "eth0", "address", mac)
	b.Ping(a.Addr().String(), "-W", "0.5")
	explained := func() (n int) {
		for line := range strings.Lines(h.Daemon.Output()) {
			if containsAll(line, "level=WARN", "set-port", "--mac", mac, b.Port.MAC.String()) {
				n++
			}
		}
		return n
	}
	h.AwaitLog(from, "level=WARN", "set-port", "--mac", mac, b.Port.MAC.String())
	before := h.Counters("b").Drops["spoofed-mac"]
	b.Ping(a.Addr().String(), "-W", "0.5")
	h.AwaitDrops("b", "spoofed-mac", before+1)
	if n := explained(); n != 1 {
		t.Errorf("the log explains it %d times, want once", n)
	}
}

func containsAll(s string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// macKind is the kind of the forwarding table's entry for a MAC, and its port.
func (h *host) macKind(mac string) (kind, port string) {
	h.Helper()
	var list []struct{ MAC, Kind, Port string }
	out := h.MustVsctl("list-fdb", "bridge", "--format", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		h.Fatal(err)
	}
	for _, e := range list {
		if e.MAC == mac {
			return e.Kind, e.Port
		}
	}
	return "", ""
}

// hasMAC wants the port to have this MAC everywhere, and to work with it.
func (h *host) hasMAC(b *lab.Container, mac string, peer *lab.Container) {
	h.Helper()
	if p := h.Port("b"); p.MAC.String() != mac {
		h.Errorf("the port's MAC is %s, want %s", p.MAC, mac)
	}
	if out := b.Run("ip", "link", "show", "dev", "eth0"); !strings.Contains(out, "link/ether "+mac) {
		h.Errorf("the interface's MAC is not %s:\n%s", mac, out)
	}
	if kind, port := h.macKind(mac); kind != "own" || port != "b" {
		h.Errorf("the forwarding table has %s as kind %q at port %q, want own at b", mac, kind, port)
	}
	reachesNow(b, peer)
	reachesNow(peer, b)
	reachesNow(h.onHost("bridge"), b)
}

func TestSetPortMAC(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.Attach("a"), h.Attach("b")
	a.Reaches(b.Addr().String())
	b.Reaches(a.Addr().String())
	h.Reaches(b.Addr().String())
	old := b.Port.MAC
	const mac = "02:00:00:00:66:03"
	h.MustVsctl("set-port", "b", "--mac", mac)
	h.hasMAC(b, mac, a)
	if kind, _ := h.macKind(old.String()); kind != "" {
		t.Errorf("the forwarding table still has the MAC before, as kind %q", kind)
	}
	h.Kill()
	h.Start()
	h.hasMAC(b, mac, a)

	for why, refused := range map[string]string{
		"a group's": "01:00:5e:00:00:01", "all zero": "00:00:00:00:00:00", "another port's": a.Port.MAC.String(),
		"the gateway's": "02:42:ac:11:00:01", "none": "02:00:00:00:66",
	} {
		t.Log(why)
		h.refusesCommand([]string{refused}, "set-port", "b", "--mac", refused)
	}
	h.hasMAC(b, mac, a)
}
