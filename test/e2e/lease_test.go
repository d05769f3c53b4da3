package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// dhcpClient is busybox's udhcpc in a container, which it configures.
type dhcpClient struct {
	*lab.TestProcess
	tb testing.TB
}

// withDHCP leaves the address to the container.
func withDHCP(s *api.PortSpec) { s.IP = api.PortIP{DHCP: true} }

// dhcpScript is what udhcpc calls: it configures the interface as that of a small
// distribution does, and prints each event with what the client was told.
const dhcpScript = `#!/bin/sh
case $1 in
deconfig)
	ip address flush dev "$interface"
	ip link set "$interface" up ;;
bound | renew)
	ip address replace "$ip/$mask" dev "$interface"
	ip link set "$interface" mtu "$mtu"
	[ -z "$router" ] || ip route replace default via "$router" ;;
esac
echo "event $1: $ip/$mask router=$router dns=$dns mtu=$mtu hostname=$hostname lease=$lease server=$serverid"
`

// startDHCP starts a client in c; it is stopped when the test ends.
func startDHCP(c *lab.Container, options ...string) *dhcpClient {
	c.Helper()
	lab.RequireCommand(c, "busybox")
	script := filepath.Join(c.TempDir(), "script")
	if err := os.WriteFile(script, []byte(dhcpScript), 0o755); err != nil {
		c.Fatal(err)
	}
	argv := append([]string{"busybox", "udhcpc", "-f", "-i", "eth0", "-s", script}, options...)
	return &dhcpClient{c.Start(argv...), c}
}

// await waits for the client's first event of a kind after the first from lines that it has
// printed, and returns what it was told.
func (d *dhcpClient) await(from int, event string) (told string) {
	d.tb.Helper()
	_, told, _ = strings.Cut(d.AwaitLine(from, "event "+event+": "), ": ")
	return told
}

// after sends the client a signal, waits for the event that follows and returns what it was told.
func (d *dhcpClient) after(s syscall.Signal, event string) (told string) {
	d.tb.Helper()
	from := d.Lines()
	if err := d.Signal(s); err != nil {
		d.tb.Fatal(err)
	}
	return d.await(from, event)
}

// A container with a DHCP client of its own gets its port's address from the
// gateway, keeps it when it renews it, and over a restart of the daemon.
func TestDHCPClientGetsItsLease(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	peer := h.Attach("peer")
	c := h.Attach("vm1", withDHCP)
	if got := c.Port.IPs[0].String(); got != "172.17.0.3/16" || !c.Port.DHCP {
		t.Fatalf("the port has address %s, DHCP %t; want the next free one, to be fetched", got, c.Port.DHCP)
	}
	if out := c.Run("ip", "-4", "address", "show", "dev", "eth0"); strings.Contains(out, "inet") {
		t.Fatalf("the interface has an address already:\n%s", out)
	}
	client := startDHCP(c)
	const want = "172.17.0.3/16 router=172.17.0.1 dns=172.17.0.1 mtu=1500 hostname=vm1 lease=3600 server=172.17.0.1"
	if told := client.await(0, "bound"); told != want {
		t.Errorf("the client was told %q, want %q", told, want)
	}
	c.Reaches(peer.Addr().String())
	peer.Reaches("172.17.0.3")

	const renew, release = syscall.SIGUSR1, syscall.SIGUSR2
	if told := client.after(renew, "renew"); told != want {
		t.Errorf("renewed: the client was told %q, want %q", told, want)
	}

	h.Kill()
	h.Start()
	if told := client.after(renew, "renew"); told != want {
		t.Errorf("renewed after a restart: the client was told %q, want %q", told, want)
	}
	c.Reaches(peer.Addr().String())

	client.after(release, "deconfig")
	if told := client.after(renew, "bound"); told != want {
		t.Errorf("asked anew: the client was told %q, want %q", told, want)
	}
}

// Only a port that was added for it is answered, with its own address alone. The
// host has no part in it.
func TestDHCPAnswersItsPortsOnly(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
	vm := h.Attach("vm1", withDHCP, lab.On("internal"))
	plain := h.Attach("plain", lab.On("internal"))
	lab.RequireCommand(t, "busybox")
	plain.Run("ip", "address", "flush", "dev", "eth0")
	if out, ok := plain.Try("busybox", "udhcpc", "-f", "-n", "-q", "-t", "1", "-T", "1", "-i", "eth0", "-s", "/bin/true"); ok {
		t.Errorf("a client at a port without DHCP got a lease:\n%s", out)
	}
	// It asked, and all others heard it, as a server of theirs would have.
	if flooded := h.Counters("plain").Flooded; flooded == 0 {
		t.Error("the request was not passed on")
	}
	// Who asks for another's address is refused, and gets its own.
	greedy := h.Attach("greedy", withDHCP, lab.On("internal"))
	client := startDHCP(greedy, "-r", vm.Addr().String(), "-T", "1")
	if told := client.await(0, "bound"); !strings.HasPrefix(told, greedy.Addr().String()+"/16 ") {
		t.Errorf("asked for another's address and was told %q, want %s", told, greedy.Addr())
	}
}
