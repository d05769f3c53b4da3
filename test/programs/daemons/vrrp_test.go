package daemons

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"vswitch/test/lab"
)

// keepalived runs one in a container. The one of the higher priority is to be the master.
func keepalived(c *lab.Container, dir string, priority int, more string) *lab.TestProcess {
	c.Helper()
	lab.RequireCommand(c, "keepalived")
	conf := filepath.Join(dir, c.Port.Name+".conf")
	text := fmt.Sprintf(`global_defs { vrrp_version 3 }
vrrp_instance vi {
	interface eth0
	state BACKUP
	virtual_router_id 51
	priority %d
	advert_int 0.2
	%s
	virtual_ipaddress { 172.17.0.50/16 }
}
`, priority, more)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		c.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, c.Port.Name+"-"+name) }
	return lab.NewTestProcess(c, lab.ProcessConfig{Namespace: c.Name(), Group: true, Argv: []string{
		"keepalived", "-n", "-l", "-D", "-P", "-f", conf, "-p", file("pid"), "-r", file("vrrp"),
	}})
}

// Two routers with VRRP's MAC: on strict ports both become master, and are one again as soon as
// the ports let it pass.
func TestVRRPWithItsVirtualMAC(t *testing.T) {
	t.Parallel()
	h, a, b := pair(t)
	first := keepalived(a, h.Dir, 200, "use_vmac")
	second := keepalived(b, h.Dir, 100, "use_vmac")
	first.AwaitLine(0, "Entering MASTER STATE")
	second.AwaitLine(0, "Entering MASTER STATE")
	refused(h, "a", "spoofed-mac", "--allow-mac 00:00:5e:00:01:33")
	from := second.Lines()
	allow(h, "--allow-mac 00:00:5e:00:01:33 --allow-address 172.17.0.50")
	second.AwaitLine(from, "Entering BACKUP STATE")
	user := h.Attach("user")
	user.Reaches("172.17.0.50")

	// The other takes over, MAC and address, and whoever talks to them goes on.
	from = second.Lines()
	if err := first.Stop(); err != nil {
		t.Error(err)
	}
	second.AwaitLine(from, "Entering MASTER STATE")
	user.Reaches("172.17.0.50")
}

// With the ports' own MACs the virtual address alone is needed.
func TestVRRP(t *testing.T) {
	t.Parallel()
	h, a, b := pair(t)
	first, second := keepalived(a, h.Dir, 200, ""), keepalived(b, h.Dir, 100, "")
	first.AwaitLine(0, "Entering MASTER STATE")
	refused(h, "a", "spoofed-arp", "--allow-address 172.17.0.50")
	allow(h, "--allow-address 172.17.0.50")
	user := h.Attach("user")
	lab.Eventually(t, "the virtual address answers", func() bool {
		r := user.Pings(1, "172.17.0.50", "-W", "0.5")
		return r.Received == 1
	})
	if err := first.Stop(); err != nil {
		t.Error(err)
	}
	second.AwaitLine(0, "Entering MASTER STATE")
	user.Reaches("172.17.0.50")
}
