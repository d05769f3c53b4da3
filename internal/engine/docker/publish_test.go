package docker

import (
	"fmt"
	"strings"
	"testing"

	"vswitch/api"
)

const (
	program = "/NetworkDriver.ProgramExternalConnectivity"
	revoke  = "/NetworkDriver.RevokeExternalConnectivity"
)

func portMap(id, bindings string) string {
	return fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"Options":{"com.docker.network.portmap":[%s]}}`, networkID, id, bindings)
}

func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	p, b := newPlugin(t)
	must(t, p, "/NetworkDriver.CreateNetwork", createNetwork(networkID, ``))
	for _, id := range []string{endpointID, otherID} {
		must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(id, "", ``))
	}
	wants := func(want ...string) {
		t.Helper()
		list, err := b.Published(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, q := range list {
			got = append(got, q.PortID[:2]+" "+q.String())
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("published %q, want %q", got, want)
		}
	}
	must(t, p, program, portMap(endpointID, `{"Proto":6,"Port":80,"HostPort":8080,"HostPortEnd":8080},{"Proto":17,"Port":53,"HostIP":"127.0.0.1","HostPort":53}`))
	wants("0b 0.0.0.0:8080:80/tcp", "0b 127.0.0.1:53:53/udp")

	// The same again, as after a restart of dockerd, and IPv6 as newer engines add it.
	must(t, p, program, portMap(endpointID, `{"Proto":6,"Port":80,"HostIP":"0.0.0.0","HostPort":8080},{"Proto":6,"Port":80,"HostIP":"::","HostPort":8080}`))
	wants("0b 0.0.0.0:8080:80/tcp")

	// One of a range, which another container has begun to take, and one that is free.
	must(t, p, program, portMap(otherID, `{"Proto":6,"Port":80,"HostPort":8080,"HostPortEnd":8082},{"Proto":6,"Port":81}`))
	list, err := b.Published(t.Context(), "")
	if err != nil || len(list) != 3 || list[1].HostPorts.String() != "8081" || list[2].HostPorts == (api.PortRange{}) {
		t.Errorf("published %v, %v: want 8081 and a free port", list, err)
	}
	must(t, p, revoke, endpoint(otherID))
	must(t, p, revoke, endpoint(otherID))
	must(t, p, revoke, endpoint(strings.Repeat("0d", 32)))
	wants("0b 0.0.0.0:8080:80/tcp")

	for _, test := range []struct{ bindings, want string }{
		{`{"Proto":6,"Port":90,"HostPort":90},{"Proto":6,"Port":80,"HostPort":8080}`, "choose another"}, // of which the first is taken back
		{`{"Proto":132,"Port":80,"HostPort":80}`, "want tcp or udp"},
		{`{"Proto":6,"Port":80,"HostIP":"fe80::1","HostPort":80}`, "only IPv4"},
		{`{"Proto":6,"Port":80,"HostIP":"x","HostPort":80}`, `host address "x"`},
		{`{"Proto":6,"Port":0,"HostPort":80}`, "ports"},
		{`{"Proto":"tcp"}`, "want a list of port bindings"},
		{`7`, "want a list of port bindings"},
	} {
		if got := failureOf(t, post(p, program, portMap(otherID, test.bindings))); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.bindings, got, test.want)
		}
	}
	wants("0b 0.0.0.0:8080:80/tcp")
	if _, err := b.DeletePort(t.Context(), endpointID); err != nil && api.KindOf(err) != api.NotFound {
		t.Fatal(err)
	}
}
