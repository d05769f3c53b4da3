package daemons

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"vswitch/test/lab"
)

// LLDP: each finds the other once their ports let it pass.
func TestLLDP(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "lldpd", "lldpcli")
	h, a, b := pair(t)
	dir := lab.ShortDir(t)
	if err := os.Chmod(dir, 0o777); err != nil { // they drop root
		t.Fatal(err)
	}
	run := func(c *lab.Container) (cli func(argv ...string) []string) {
		socket := filepath.Join(dir, c.Port.Name)
		lab.NewTestProcess(c, lab.ProcessConfig{Namespace: c.Name(), Group: true, Argv: []string{
			"lldpd", "-d", "-u", socket, "-I", "eth0", "-C", "eth0", "-S", "system " + c.Port.Name,
		}})
		cli = func(argv ...string) []string { return append([]string{"lldpcli", "-u", socket}, argv...) }
		eventuallyPrints(c, nil, cli("configure", "lldp", "tx-interval", "1")...)
		return cli
	}
	ofA, ofB := run(a), run(b)
	refused(h, "a", "reserved-group", "--allow-protocol lldp")
	if out, _ := a.Try(ofA("show", "neighbors")...); contains(out, "system b") {
		t.Errorf("a strict port's container knows its neighbour:\n%s", out)
	}
	allow(h, "--allow-protocol lldp")
	eventuallyPrints(a, []string{"system b"}, ofA("show", "neighbors")...)
	eventuallyPrints(b, []string{"system a"}, ofB("show", "neighbors")...)
}

// PTP: the clock that is to follow sees the one that leads. Neither touches the machine's clock.
func TestPTP(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "ptp4l")
	for _, test := range []struct{ transport, option string }{
		{"-2", "--allow-protocol ptp"}, {"-4", ""},
	} {
		t.Run(test.transport, func(t *testing.T) {
			t.Parallel()
			h, a, b := pair(t)
			run := func(c *lab.Container, follows int) *lab.TestProcess {
				conf := filepath.Join(h.Dir, c.Port.Name+".cfg")
				text := fmt.Sprintf(
					"[global]\nfree_running 1\nslaveOnly %d\nlogSyncInterval -3\nlogAnnounceInterval -2\n"+
						"uds_address %s.uds\n",
					follows,
					conf,
				)
				if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return c.Start("ptp4l", test.transport, "-S", "-i", "eth0", "-m", "-f", conf)
			}
			run(a, 0)
			follower := run(b, 1)
			if test.option != "" {
				refused(h, "a", "unassigned-protocol", test.option)
				allow(h, test.option)
			}
			follower.AwaitLine(0, "new foreign master")
			follower.AwaitLine(0, "UNCALIBRATED")
		})
	}
}

// PPPoE: a client discovers the server once their ports let it pass. What follows is the kernel's.
func TestPPPoE(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "pppoe-server", "pppoe-discovery")
	h, a, b := pair(t)
	b.Start("pppoe-server", "-F", "-I", "eth0", "-C", "concentrator")
	ask := []string{"pppoe-discovery", "-I", "eth0", "-t", "1", "-a", "1"}
	if out, ok := a.Try(ask...); ok {
		t.Errorf("a strict port's container finds a server:\n%s", out)
	}
	refused(h, "a", "unassigned-protocol", "--allow-protocol pppoe")
	allow(h, "--allow-protocol pppoe")
	eventuallyPrints(a, []string{"Access-Concentrator: concentrator"}, ask...)
}
