package docker

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

func TestWhatDockerCreateAndRunTake(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.network("lab", "--subnet", "10.70.0.0/24", "--gateway", "10.70.0.254", "--ip-range", "10.70.0.128/25", "--label", "team=net", "-o", "vswitch.mtu=1400")
	h.run("fixed", "lab", "--ip", "10.70.0.9", "--mac-address", "02:00:00:00:00:09")
	h.run("ranged", "lab")
	links := h.docker("exec", "fixed", "ip", "addr", "show", "eth0")
	for _, want := range []string{"10.70.0.9/24", "02:00:00:00:00:09", "mtu 1400"} {
		if !strings.Contains(links, want) {
			t.Errorf("the container's interface has no %s:\n%s", want, links)
		}
	}
	if got := h.address("ranged", "lab"); !strings.HasPrefix(got, "10.70.0.1") || len(got) < len("10.70.0.128") {
		t.Errorf("address %s is not of the range 10.70.0.128/25", got)
	}
	if routes := h.docker("exec", "fixed", "ip", "route"); !strings.Contains(routes, "default via 10.70.0.254") {
		t.Errorf("routes:\n%s", routes)
	}
	h.wantReach("ranged", "fixed")
	h.Eventually("the network's label is the segment's, as the engine has said", func() bool {
		s, err := h.Client.Segment(h.Context(), "lab")
		return err == nil && s.Labels["team"] == "net"
	})

	h.network("alone", "-o", "com.docker.network.bridge.enable_icc=false", "--internal")
	h.run("hermit1", "alone")
	h.run("hermit2", "alone")
	h.wantNoReach("hermit1", h.address("hermit2", "alone"))
	if routes := h.docker("exec", "hermit1", "ip", "route"); strings.Contains(routes, "default") {
		t.Errorf("an internal network has a way out:\n%s", routes)
	}
	if names := h.docker("network", "ls", "--format", "{{.Name}}"); strings.Contains(names, "docker_gwbridge") {
		t.Errorf("containers have a second way out:\n%s", names)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.network("blue", "--subnet", "10.71.0.0/24")
	if _, err := h.Client.AddSegment(h.Context(), api.SegmentSpec{Name: "ours", Subnet: netip.MustParsePrefix("10.72.0.0/24")}); err != nil {
		t.Fatal(err)
	}
	create := []string{"network", "create", "-d", h.driver, "red"}
	with := func(flags ...string) []string { return append(append([]string{}, create...), flags...) }
	h.refused("overlaps", with("--subnet", "10.71.0.0/24")...)
	h.refused("overlaps the existing subnet 10.72.0.0/24", with("--subnet", "10.72.0.0/16")...)
	h.refused("overlaps the existing subnet 10.71.0.0/24", with("--ipam-driver", h.driver, "--subnet", "10.71.0.128/25")...)
	h.refused(`option "colour" is unknown to the vswitch driver`, with("-o", "colour=red")...)
	h.refused("IPv6 is not supported yet", with("--ipv6", "--subnet", "fd00::/64")...)
	h.run("web", "blue")
	h.refused("has active endpoints", "network", "rm", "blue")
	h.refused("user specified IP address", "run", "--network", "none", "--ip", "10.71.0.9", "busybox:local", "sh")
	h.docker("rm", "-f", "web")
	h.docker("network", "rm", "blue")
	if _, err := h.Client.DeleteSegment(h.Context(), "ours", false); err != nil {
		t.Error(err)
	}
	h.wantNothingLeft()
}

// With our IPAM, Docker's networks and vsctl's segments draw on the same addresses.
func TestOurIPAM(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	taken, err := h.Client.AddSegment(h.Context(), api.SegmentSpec{Name: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	h.network("blue", "--ipam-driver", h.driver)
	h.network("red", "--ipam-driver", h.driver, "--subnet", "10.73.0.0/24", "--gateway", "10.73.0.254", "--ip-range", "10.73.0.128/25",
		"--aux-address", "router=10.73.0.129")
	subnet := h.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "blue")
	if subnet == taken.Subnet.String() || subnet == "" {
		t.Errorf("the network has subnet %q, the segment beside it %s", subnet, taken.Subnet)
	}
	h.run("first", "red")
	h.run("second", "red", "--ip", "10.73.0.9")
	if got := h.address("first", "red"); got != "10.73.0.128" {
		t.Errorf("the first address is %s, want 10.73.0.128", got)
	}
	// A port of vsctl's gets what Docker has not taken.
	p, err := h.Client.AddPort(h.Context(), api.PortSpec{Name: "host", NetNS: lab.NewNamespace(t).Name(), Segment: "red", IfName: "red0", NoDefaultRoute: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.IPs[0].String(); got != "10.73.0.130/24" {
		t.Errorf("the port beside has %s, want 10.73.0.130/24: .129 is reserved", got)
	}
	h.wantReach("first", "10.73.0.130")
	h.Stop()
	h.startSwitch()
	h.run("third", "red")
	if got := h.address("third", "red"); got != "10.73.0.131" {
		t.Errorf("after a restart the next address is %s, want 10.73.0.131", got)
	}
	h.wantReach("first", "third")
	h.docker("rm", "-f", "first", "second", "third")
	if _, err := h.Client.DeletePort(context.Background(), "host"); err != nil {
		t.Error(err)
	}
	h.docker("network", "rm", "blue", "red")
	if _, err := h.Client.DeleteSegment(h.Context(), "ours", false); err != nil {
		t.Error(err)
	}
	h.network("again", "--ipam-driver", h.driver, "--subnet", "10.73.0.0/24") // is free again
	h.docker("network", "rm", "again")
	h.wantForgottenPoolFreed()
	h.wantNothingLeft()
}

// wantForgottenPoolFreed takes a subnet as Docker does, which is then killed, and wants
// that people can free it, but not while a network has it.
func (h *host) wantForgottenPoolFreed() {
	h.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.plugin())
	}
	docker := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	answer, err := docker.Post("http://plugin/IpamDriver.RequestPool", "application/json", strings.NewReader(`{"AddressSpace":"vswitch","Pool":"10.73.0.0/24"}`))
	if err != nil {
		h.Fatal(err)
	}
	answer.Body.Close()
	network := []string{"network", "create", "-d", h.driver, "--ipam-driver", h.driver, "--subnet", "10.73.0.0/24", "after"}
	h.refused("overlaps the existing subnet 10.73.0.0/24", network...)
	pool := strings.TrimSpace(h.MustVsctl("list-pools", "-q"))
	h.MustVsctl("del-pool", pool)
	h.docker(network...)
	pool = strings.TrimSpace(h.MustVsctl("list-pools", "-q"))
	if _, err := h.Client.ReclaimPool(h.Context(), pool); api.KindOf(err) != api.Conflict {
		h.Errorf("freeing a network's pool: %v, want a conflict", err)
	}
	h.docker("network", "rm", "after")
}

// A container on two networks is no way from one to the other.
func TestTwoNetworksOnOneContainerStayApart(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.network("front")
	h.network("back")
	h.run("web", "front")
	h.run("db", "back")
	h.docker("create", "--name", "both", "--network", "front", "busybox:local", "sleep", "100000")
	h.docker("network", "connect", "back", "both")
	h.docker("start", "both")
	h.wantReach("both", h.address("web", "front"))
	h.wantReach("both", h.address("db", "back"))
	h.wantReach("web", h.address("both", "front"))
	h.wantNoReach("web", h.address("db", "back"))
	h.wantNoReach("db", h.address("web", "front"))
}
