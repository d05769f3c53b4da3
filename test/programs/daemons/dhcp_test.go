package daemons

import (
	"path/filepath"
	"strings"
	"testing"

	"vswitch/test/lab"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// DHCP clients get the address of their strict port; they configure nothing here.
func TestDHCPClients(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "dhclient", "dhcpcd")
	h := lab.NewHost(t)
	file := func(name string) string { return filepath.Join(h.Dir, name) }
	for name, argv := range map[string][]string{
		"dhclient": {"dhclient", "-d", "-1", "-v", "-sf", "/bin/true", "-lf", file("leases"), "-pf", file("pid"), "-cf", "/dev/null", "eth0"},
		"dhcpcd":   {"dhcpcd", "-T", "-4", "-d", "-t", "10", "-f", "/dev/null", "-c", "/bin/true", "--noarp", "eth0"},
	} {
		c := h.Attach(name, dhcp)
		p := c.Start(argv...)
		p.AwaitLine(0, c.Addr().String())
		if drops := h.Counters(name).Drops; len(drops) > 0 {
			t.Errorf("frames of %s were refused: %v", name, drops)
		}
	}
}
