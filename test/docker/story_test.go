package docker

import (
	"strings"
	"testing"
)

// The walk-through that every Docker tutorial has.
func TestTwoNetworksAndThreeContainers(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.network("blue")
	h.network("my_bridge")
	for name, network := range map[string]string{"container1": "blue", "container2": "blue", "container3": "my_bridge"} {
		h.run(name, network)
	}
	if list := h.docker("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"); !strings.Contains(list, "blue "+h.driver+" local") {
		t.Errorf("docker network ls:\n%s", list)
	}
	first, second := h.address("container1", "blue"), h.address("container2", "blue")
	inspect := h.docker("network", "inspect", "blue")
	for _, want := range []string{`"Name": "container1"`, `"Name": "container2"`, first + "/16", second + "/16", `"Gateway": "` + h.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "blue") + `"`} {
		if !strings.Contains(inspect, want) {
			t.Errorf("docker network inspect has no %s:\n%s", want, inspect)
		}
	}
	if first == second {
		t.Errorf("both containers have %s", first)
	}

	for _, to := range []string{second, "container2"} { // by address, and by Docker's own resolver
		h.wantReach("container1", to)
	}
	h.wantReach("container2", "container1")
	h.wantNoReach("container3", first)
	h.wantReach("container1", h.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "blue"))

	// The same in vsctl.
	if p := h.port("container3"); p.Segment != "my_bridge" || p.State != "up" || p.IfName != "eth0" {
		t.Errorf("port %+v", p)
	}
	if out := h.MustVsctl("stats", "container3"); !strings.Contains(out, "cross-segment") {
		t.Errorf("the drops have no reason:\n%s", out)
	}
	if out := h.MustVsctl("list-segments"); !strings.Contains(out, "blue") || !strings.Contains(out, "my_bridge") {
		t.Errorf("segments have not Docker's names:\n%s", out)
	}

	// A second network on a running container, and off it again.
	h.docker("network", "connect", "blue", "container3")
	h.wantReach("container3", first)
	h.wantReach("container1", "container3")
	h.port("container3.blue")
	h.docker("network", "disconnect", "blue", "container3")
	h.wantNoReach("container3", first)

	h.refused("has active endpoints", "network", "rm", "blue")
	h.wantCleanEnd("blue", "my_bridge")
}
