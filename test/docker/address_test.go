package docker

import (
	"net/netip"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// TestAuxAddresses: with either IPAM, nobody is given an auxiliary address, a port may be allowed
// to use it, and containers have their default route where DefaultGatewayIPv4 says.
func TestAuxAddresses(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for network, test := range map[string]struct {
		prefix  string // three numbers of the address
		flags   []string
		refusal string // of Docker's
	}{
		"theirs": {"10.75.0.", nil, "Address already in use"},
		"ours":   {"10.76.0.", []string{"--ipam-driver", h.driver}, "is auxiliary address"},
	} {
		aux, router := test.prefix+"2", test.prefix+"254"
		h.network(network, append(test.flags, "--subnet", test.prefix+"0/24", "--aux-address", "r="+aux,
			"--aux-address", "DefaultGatewayIPv4="+router)...)
		h.Eventually("the segment has the network's name, as the engine has said", func() bool {
			_, err := h.Client.Segment(h.Context(), network)
			return err == nil
		})
		for _, a := range []string{aux, router} {
			_, err := h.Client.AddPort(h.Context(), api.PortSpec{
				Name: "taken", NetNS: lab.NewNamespace(t).Name(), Segment: network, IP: api.PortIP{Addr: netip.MustParseAddr(a)},
			})
			if api.KindOf(err) != api.Conflict || !strings.Contains(err.Error(), a+" is auxiliary address") {
				t.Errorf("%s: a port with %s: got %v, want it refused", network, a, err)
			}
			h.refused(test.refusal, "run", "--rm", "--network", network, "--ip", a, "busybox:local", "true")
		}
		client, gateway := network+"-client", network+"-gateway"
		h.run(client, network)
		h.run(gateway, network, "--cap-add", "NET_ADMIN")
		if got := h.address(client, network); got == aux {
			t.Errorf("%s: the container has the auxiliary address %s", network, got)
		}
		if got := h.docker("exec", client, "ip", "route"); !strings.Contains(got, "default via "+router) {
			t.Errorf("%s: the container's routes are\n%s", network, got)
		}
		p := h.port(gateway)
		allow := []netip.Prefix{netip.MustParsePrefix(router + "/32"), netip.MustParsePrefix("192.0.2.0/24")}
		if _, err := h.Client.UpdatePort(h.Context(), p.ID, api.PortUpdate{AllowAddresses: &allow}); err != nil {
			t.Fatal(err)
		}
		h.docker("exec", gateway, "ip", "address", "add", router+"/24", "dev", "eth0")
		h.docker("exec", gateway, "ip", "address", "add", "192.0.2.1/32", "dev", "lo")
		h.wantReach(client, router)
		h.wantReach(client, "192.0.2.1") // by the default route
	}
	h.wantCleanEnd("theirs", "ours")
}

// TestUnusualNetworks: networks that Docker takes with its own driver work with ours, for all that
// its IPAM, or ours, has room for.
func TestUnusualNetworks(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	// As in the compose file of Amazon's ECS local endpoints.
	h.network("credentials", "--subnet", "169.254.170.0/24", "--gateway", "169.254.170.1")
	h.run("endpoint", "credentials", "--ip", "169.254.170.2")
	h.run("app", "credentials", "--ip", "169.254.170.3")
	h.wantReach("app", "169.254.170.2")
	h.wantReach("app", "169.254.170.1")

	h.network("future", "--subnet", "240.1.0.0/16")
	h.run("later", "future")
	h.run("much-later", "future")
	h.wantReach("later", h.address("much-later", "future"))

	h.network("pair", "--ipam-driver", h.driver, "--subnet", "10.77.0.0/31")
	h.run("other", "pair")
	if got := h.address("other", "pair"); got != "10.77.0.1" {
		t.Errorf("the port of a /31 has %s, want 10.77.0.1", got)
	}
	h.wantReach("other", "10.77.0.0")

	h.network("single", "--internal", "--ipam-driver", h.driver, "--subnet", "10.78.0.9/32")
	h.run("alone", "single")
	if got := h.address("alone", "single"); got != "10.78.0.9" {
		t.Errorf("the port of a /32 has %s, want 10.78.0.9", got)
	}
	if routes := h.docker("exec", "alone", "ip", "route"); routes != "" {
		t.Errorf("the port of a /32 has routes:\n%s", routes)
	}
	h.refused("full", "run", "--rm", "--network", "single", "busybox:local", "true")
	h.wantCleanEnd("credentials", "future", "pair", "single")
}
