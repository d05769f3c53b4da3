package programs

import (
	"os"
	"path/filepath"

	"vswitch/test/lab"
)

// pings sends some echo requests from a namespace, whose link has just come up, and reports
// whether one is answered.
func pings(from *lab.Namespace, s *station, to string) bool {
	return from.Exec(s.Context(), "ping", "-n", "-c", "4", "-i", "0.2", "-W", "0.5", to).
		Run() ==
		nil
}

// probesARP looks for the addresses of the peer, which it has to find, and of nobody.
func probesARP(v *site) bool {
	lab.RequireCommand(v.a, "arping")
	probe := func(ip string) (free bool) {
		return v.a.try("arping", "-D", "-c", "1", "-w", "1", "-I", port, ip)
	}
	return !probe(v.b.ip.String()) && probe("172.17.0.99")
}

// leases is a configuration of busybox's DHCP server.
const leases = "interface eth0\nstart 172.17.0.4\nend 172.17.0.4\nmax_leases 1\nlease_file "

// getsLease has a DHCP client ask once or twice. A bridge has no server: the peer is one.
func getsLease(v *site) bool {
	lab.RequireCommand(v.client, "busybox")
	if v.set == nil {
		dir := lab.ShortDir(v.b)
		at := filepath.Join(dir, "conf")
		if err := os.WriteFile(at, []byte(leases+filepath.Join(dir, "leases")+"\n"), 0o600); err != nil {
			v.b.Fatal(err)
		}
		lab.NewTestProcess(v.b, lab.ProcessConfig{
			Namespace: v.b.Name(), Argv: []string{"busybox", "udhcpd", "-f", "-I", v.b.ip.String(), at},
		})
	}
	return v.client.try(
		"busybox",
		"udhcpc",
		"-f",
		"-n",
		"-q",
		"-t",
		"4",
		"-T",
		"1",
		"-i",
		port,
		"-s",
		"/bin/true",
	)
}

// behind is a namespace that reaches the stations through a.
func behind(v *site) *lab.Namespace { return lab.NewQuietNamespace(v.a) }

// pingsByMacvlan has the peer answer a macvlan's address.
func pingsByMacvlan(v *site) bool {
	inner := behind(v)
	defer inner.Remove()
	v.a.Run(
		"ip",
		"link",
		"add",
		"mv0",
		"link",
		port,
		"netns",
		inner.Name(),
		"address",
		"02:00:00:00:00:60",
		"type",
		"macvlan",
		"mode",
		"bridge",
	)
	defer inner.Run("ip", "link", "del", "mv0")
	inner.Run("ip", "addr", "add", "172.17.0.60/16", "dev", "mv0")
	inner.Run("ip", "link", "set", "mv0", "up")
	return pings(inner, v.a, v.b.ip.String())
}

// wire joins a and a namespace behind it by a veth pair, whose end there has a MAC and an address.
func wire(v *site, inner *lab.Namespace, mac, address string) {
	v.a.Run(
		"ip",
		"link",
		"add",
		"in0",
		"type",
		"veth",
		"peer",
		"name",
		port,
		"address",
		mac,
		"netns",
		inner.Name(),
	)
	inner.Run("ip", "addr", "add", address, "dev", port)
	inner.Run("ip", "link", "set", port, "up")
	v.a.Run("ip", "link", "set", "in0", "up")
}

// pingsThroughBridge has the peer answer a host behind a bridge.
func pingsThroughBridge(v *site) bool {
	inner := behind(v)
	defer inner.Remove()
	wire(v, inner, "52:54:00:00:00:61", "172.17.0.61/16")
	defer v.a.Run("ip", "link", "del", "in0")
	v.a.Run("ip", "link", "add", "in-br", "type", "bridge", "mcast_snooping", "0")
	defer v.a.Run("ip", "link", "del", "in-br")
	for _, name := range []string{"in0", port} {
		v.a.Run("ip", "link", "set", name, "master", "in-br")
	}
	v.a.Run("ip", "link", "set", "in-br", "up")
	return pings(inner, v.a, v.b.ip.String())
}

// pingsThroughRouter has the peer answer a host of another network behind a.
func pingsThroughRouter(v *site) bool {
	inner := behind(v)
	defer inner.Remove()
	wire(v, inner, "02:00:00:00:00:62", "10.8.0.5/24")
	defer v.a.Run("ip", "link", "del", "in0")
	v.a.Run("ip", "addr", "add", "10.8.0.1/24", "dev", "in0")
	v.a.Sysctl("net.ipv4.ip_forward=1")
	inner.Run("ip", "route", "add", "default", "via", "10.8.0.1")
	v.b.Run("ip", "route", "replace", "10.8.0.0/24", "via", v.a.ip.String())
	return pings(inner, v.a, v.b.ip.String())
}
