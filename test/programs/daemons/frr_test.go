package daemons

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"vswitch/test/lab"
)

// frrDir is where Debian's package has the daemons.
const frrDir = "/usr/lib/frr"

// router runs zebra and a routing daemon in a container, and returns the command to ask them.
func router(c *lab.Container, daemon, config string) (ask func(command string) []string) {
	c.Helper()
	if _, err := exec.LookPath(filepath.Join(frrDir, daemon)); err != nil {
		c.Fatalf("%s is missing: install frr, or run make test-programs", daemon)
	}
	space := c.Name()
	for _, dir := range []string{"/var/run/frr/" + space, "/etc/frr/" + space} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			c.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil { // they drop root
			c.Fatal(err)
		}
		c.Cleanup(func() { os.RemoveAll(dir) })
	}
	conf := filepath.Join("/etc/frr", space, daemon+".conf")
	if err := os.WriteFile(conf, []byte(config), 0o644); err != nil {
		c.Fatal(err)
	}
	empty := filepath.Join("/etc/frr", space, "zebra.conf")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		c.Fatal(err)
	}
	c.Start(filepath.Join(frrDir, "zebra"), "-N", space, "-f", empty, "--log", "stdout")
	eventuallyPrints(
		c,
		[]string{"eth0"},
		"vtysh",
		"-N",
		space,
		"-d",
		"zebra",
		"-c",
		"show interface brief",
	)
	c.Start(filepath.Join(frrDir, daemon), "-N", space, "-f", conf, "--log", "stdout")
	return func(command string) []string { return []string{"vtysh", "-N", space, "-d", daemon, "-c", command} }
}

// IS-IS: routers become neighbours once their ports let LLC pass.
func TestISIS(t *testing.T) {
	t.Parallel()
	h, a, b := pair(t)
	config := func(n int) string {
		return fmt.Sprintf(`hostname router%[1]d
interface eth0
 ip router isis core
 isis network point-to-point
 isis hello-interval 1
router isis core
 net 49.0001.0000.0000.000%[1]d.00
 is-type level-2-only
 metric-style wide
`, n)
	}
	ask := router(a, "isisd", config(1))
	router(b, "isisd", config(2))
	refused(h, "a", "unassigned-protocol", "--allow-protocol llc")
	if out, _ := a.Try(ask("show isis neighbor")...); contains(out, "Up") {
		t.Errorf("strict ports' routers are neighbours:\n%s", out)
	}
	allow(h, "--allow-protocol llc")
	eventuallyPrints(a, []string{"Up"}, ask("show isis neighbor")...)
}

// OSPF's routers are neighbours on strict ports.
func TestOSPF(t *testing.T) {
	t.Parallel()
	_, a, b := pair(t)
	config := func(c *lab.Container) string {
		return fmt.Sprintf(`interface eth0
 ip ospf area 0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
router ospf
 ospf router-id %s
`, c.Addr())
	}
	ask := router(a, "ospfd", config(a))
	router(b, "ospfd", config(b))
	eventuallyPrints(a, []string{"Full", b.Addr().String()}, ask("show ip ospf neighbor")...)
}

// BFD's sessions come up on strict ports.
func TestBFD(t *testing.T) {
	t.Parallel()
	_, a, b := pair(t)
	config := func(peer *lab.Container) string {
		return fmt.Sprintf("bfd\n peer %s interface eth0\n  no shutdown\n", peer.Addr())
	}
	ask := router(a, "bfdd", config(b))
	router(b, "bfdd", config(a))
	eventuallyPrints(a, []string{"Status: up"}, ask("show bfd peers")...)
}

// PIM's routers are neighbours on strict ports.
func TestPIM(t *testing.T) {
	t.Parallel()
	_, a, b := pair(t)
	const config = "interface eth0\n ip pim\n ip pim hello 1\n"
	ask := router(a, "pimd", config)
	router(b, "pimd", config)
	eventuallyPrints(a, []string{b.Addr().String()}, ask("show ip pim neighbor")...)
}
