package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/internal/control/controltest"
)

// Ids as Docker makes them.
var (
	networkID  = strings.Repeat("0a", 32)
	endpointID = strings.Repeat("0b", 32)
	otherID    = strings.Repeat("0c", 32)
)

func createNetwork(id, options string) string {
	return fmt.Sprintf(`{"NetworkID":%q,"Options":{"com.docker.network.generic":{%s}},"IPv4Data":[{"Pool":"10.1.0.0/24","Gateway":"10.1.0.1/24"}]}`, id, options)
}

func endpoint(id string) string {
	return fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"SandboxKey":"/run/docker/netns/1"}`, networkID, id)
}

func createEndpoint(id, address, options string) string {
	return fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"Interface":{"Address":%q},"Options":{%s}}`, networkID, id, address, options)
}

// failureOf is the error in an answer; empty for success.
func failureOf(t *testing.T, answer *httptest.ResponseRecorder) string {
	t.Helper()
	var failure struct{ Err, Error string }
	if err := json.Unmarshal(answer.Body.Bytes(), &failure); err != nil || answer.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", answer.Code, err, answer.Body)
	}
	return failure.Err + failure.Error
}

// must posts what is to succeed.
func must(t *testing.T, p *Plugin, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	answer := post(p, path, body)
	if e := failureOf(t, answer); e != "" {
		t.Fatalf("%s %s: %s", path, body, e)
	}
	return answer
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const network, endpointPath = "/NetworkDriver.CreateNetwork", "/NetworkDriver.CreateEndpoint"
	for _, test := range []struct{ path, body, want string }{
		{network, `{`, "request: unexpected end of JSON input"},
		{network, `[]`, "cannot unmarshal array"},
		{network, `null`, "network without an id"},
		{network, ``, "request without a body"},
		{network, `{"NetworkID":"` + networkID + `","IPv4Data":[]}`, "0 IPv4 subnets: a vswitch network has exactly one"},
		{network, `{"NetworkID":"` + networkID + `","IPv4Data":[{},{}]}`, "2 IPv4 subnets"},
		{network, `{"NetworkID":"` + networkID + `","IPv4Data":[{"Pool":"10.1.0.0"}]}`, `subnet "10.1.0.0"`},
		{network, `{"NetworkID":"` + networkID + `","IPv4Data":[{"Pool":"10.1.0.0/24","Gateway":"x"}]}`, `gateway "x"`},
		{network, `{"NetworkID":"` + networkID + `","IPv4Data":[{"Pool":"10.1.0.0/24","Gateway":"10.2.0.1/24"}]}`, `not a host of subnet`},
		{network, `{"NetworkID":"` + networkID + `","IPv4Data":[{"Pool":"224.0.0.0/24"}]}`, `not for hosts`},
		{network, `{"NetworkID":"` + networkID + `","IPv4Data":[{"Pool":"10.1.0.0/24"}],"IPv6Data":[{"Pool":"fd00::/64"}]}`, "IPv6 is not supported yet"},
		{network, `{"NetworkID":"` + networkID + `","Options":{"com.docker.network.enable_ipv6":"true"},"IPv4Data":[{"Pool":"10.1.0.0/24"}]}`, "IPv6 is not supported yet"},
		{network, `{"NetworkID":"` + networkID + `","Options":{"com.docker.network.generic":7},"IPv4Data":[{"Pool":"10.1.0.0/24"}]}`, "want pairs of strings"},
		{network, `{"NetworkID":"` + networkID + `","IPv4Data":[{"AddressSpace":"vswitch","Pool":"10.1.0.0/24"}]}`, "is no pool of the vswitch IPAM driver"},
		{network, createNetwork("../../etc", ``), `segment id "../../etc": want 64 hex digits`},
		{network, createNetwork(networkID, `"colour":"blue"`), `option "colour" is unknown to the vswitch driver: it takes vswitch.name,`},
		{network, createNetwork(networkID, `"vswitch.mtu":"big"`), `option vswitch.mtu="big": want 68 to 65521 bytes`},
		{network, createNetwork(networkID, `"com.docker.network.driver.mtu":"67"`), `want 68 to 65521 bytes`},
		{network, createNetwork(networkID, `"vswitch.mtu":1400`), `want a string`},
		{network, createNetwork(networkID, `"vswitch.name":"-x"`), `segment name "-x"`},
		{network, createNetwork(networkID, `"vswitch.security":"none"`), `want strict, mac, off`},
		{network, createNetwork(networkID, `"com.docker.network.bridge.enable_icc":"maybe"`), `want true or false`},
		{network, createNetwork(otherID, ``), "with --ipam-driver vswitch"},
		{endpointPath, `null`, `segment ""`},
		{endpointPath, `{"NetworkID":"bridge","EndpointID":"` + otherID + `"}`, `network "bridge" is no segment`},
		{endpointPath, createEndpoint("", "10.1.0.2/24", ``), "endpoint without an id"},
		{endpointPath, createEndpoint("x", "10.1.0.2/24", ``), `port id "x"`},
		{endpointPath, createEndpoint(otherID, "10.1.0.2", ``), `address "10.1.0.2": want an address and a prefix length`},
		{endpointPath, createEndpoint(otherID, "10.1.0.2/24", `"vswitch.security":7`), `want strict, mac, off`},
		{network, createNetwork(networkID, `"vswitch.allow-mac":"x"`), `option vswitch.allow-mac: allowed mac "x": want`},
		{network, createNetwork(networkID, `"vswitch.allow-address":"10.1"`), `option vswitch.allow-address: allowed address "10.1"`},
		{endpointPath, createEndpoint(otherID, "10.1.0.2/24", `"vswitch.allow-protocol":"ip"`), `option vswitch.allow-protocol: allowed protocol "ip"`},
		{endpointPath, createEndpoint(otherID, "10.1.0.2/24", `"vswitch.mtu":"1400"`), `it takes vswitch.security, vswitch.allow-address`},
		{endpointPath, createEndpoint(otherID, "10.1.0.2/24", `"vswitch.colour":"x"`), `"vswitch.colour" is unknown to the vswitch driver for a container`},
		{endpointPath, `{"NetworkID":"` + networkID + `","EndpointID":"` + otherID + `","Interface":{"AddressIPv6":"fd00::2/64"}}`, "leave out --ip6"},
		{endpointPath, `{"NetworkID":"` + networkID + `","EndpointID":"` + otherID + `","Interface":{"MacAddress":"01:00:5e:00:00:01"}}`, "group address"},
		{endpointPath, createEndpoint(endpointID, "10.1.0.77/24", ``), "already exists"},
		{"/NetworkDriver.Join", endpoint(otherID), "does not exist"},
		{"/NetworkDriver.Join", strings.Replace(endpoint(endpointID), "/run/", "run/", 1), `netns "run/docker/netns/1"`},
		{"/NetworkDriver.EndpointOperInfo", endpoint(otherID), "does not exist"},
		{"/IpamDriver.RequestPool", `{"AddressSpace":"vswitch","V6":true}`, "IPv6 is not supported yet"},
		{"/IpamDriver.RequestPool", `{"AddressSpace":"LocalDefault"}`, `address space "LocalDefault" is unknown`},
		{"/IpamDriver.RequestPool", `{"AddressSpace":"vswitch","Options":{"a":"b"}}`, `option "a" is unknown to the vswitch IPAM driver`},
		{"/IpamDriver.RequestPool", `{"AddressSpace":"vswitch","SubPool":"10.1.0.0/25"}`, "needs a subnet"},
		{"/IpamDriver.RequestPool", `{"AddressSpace":"vswitch","Pool":"10.1.0.1/24"}`, "host bits set"},
		{"/IpamDriver.RequestAddress", `{"PoolID":"x"}`, `pool "x" does not exist`},
		{"/IpamDriver.RequestAddress", `{"PoolID":"x","Address":"y"}`, `address "y"`},
		{"/IpamDriver.ReleaseAddress", `{"PoolID":"x","Address":""}`, `address ""`},
		{network, `{"NetworkID":"` + strings.Repeat("x", maxBody) + `"}`, "want at most 1048576 bytes"},
	} {
		p, _ := newPlugin(t)
		must(t, p, network, createNetwork(networkID, ``))
		must(t, p, endpointPath, createEndpoint(endpointID, "10.1.0.9/24", ``))
		got := failureOf(t, post(p, test.path, test.body))
		if !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
			t.Errorf("%s %.200s: %q, want one line with %q", test.path, test.body, got, test.want)
		}
	}
}

func TestUnknownMethods(t *testing.T) {
	t.Parallel()
	p, _ := newPlugin(t)
	if got := post(p, "/VolumeDriver.Create", "{}"); got.Code != http.StatusNotFound {
		t.Errorf("an unknown method has status %d, want 404", got.Code)
	}
	recorder := httptest.NewRecorder()
	p.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/Plugin.Activate", http.NoBody))
	if recorder.Code != http.StatusNotFound {
		t.Errorf("GET has status %d, want 404", recorder.Code)
	}
}

func TestDeletionsMayComeTwice(t *testing.T) {
	t.Parallel()
	p, b := newPlugin(t)
	must(t, p, "/NetworkDriver.CreateNetwork", createNetwork(networkID, ``))
	for range 2 { // dockerd asks again when it has not heard the answer
		must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(endpointID, "10.1.0.2/24", ``))
	}
	for range 2 {
		must(t, p, "/NetworkDriver.Join", endpoint(endpointID))
	}
	for _, path := range []string{"Leave", "DeleteEndpoint", "DeleteNetwork"} {
		for range 2 {
			must(t, p, "/NetworkDriver."+path, endpoint(endpointID))
		}
	}
	if list, _ := b.Segments(t.Context()); len(list) != 1 {
		t.Errorf("segments are left: %+v", list)
	}
}

func TestOptionsReachSegmentAndPort(t *testing.T) {
	t.Parallel()
	p, b := newPlugin(t)
	must(t, p, "/NetworkDriver.CreateNetwork", createNetwork(networkID,
		`"vswitch.name":"lab","vswitch.mtu":"9000","vswitch.security":"mac","com.docker.network.bridge.enable_icc":"false"`))
	must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(endpointID, "10.1.0.2/24", ``))
	must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(otherID, "10.1.0.3/24", `"vswitch.security":"off"`))
	if s, err := b.Segment(t.Context(), networkID); err != nil || s.Name != "lab" || s.MTU != 9000 {
		t.Errorf("segment %+v, %v", s, err)
	}
	for id, security := range map[string]api.Security{endpointID: api.SecurityMAC, otherID: api.SecurityOff} {
		if port, err := b.Port(t.Context(), id); err != nil || port.Security != security || !port.Isolated {
			t.Errorf("port %+v, %v; want it isolated and with security %s", port, err, security)
		}
	}
}

// TestAllowances of a network are its containers', each of which may have others of its own.
func TestAllowances(t *testing.T) {
	t.Parallel()
	p, b := newPlugin(t)
	must(t, p, "/NetworkDriver.CreateNetwork", createNetwork(networkID,
		`"vswitch.allow-mac":"00:00:5e:00:01:33","vswitch.allow-protocol":"ptp, 0x88B5 llc"`))
	must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(endpointID, "10.1.0.2/24", ``))
	must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(otherID, "10.1.0.3/24",
		`"vswitch.allow-protocol":"","vswitch.allow-address":"10.1.0.50,10.8.0.0/24"`))
	for id, want := range map[string]string{
		endpointID: "[] [00:00:5e:00:01:33] [ptp 0x88b5 llc] true",
		otherID:    "[10.1.0.50/32 10.8.0.0/24] [00:00:5e:00:01:33] [] true",
	} {
		port, err := b.Port(t.Context(), id)
		if got := fmt.Sprint(port.AllowAddresses, port.AllowMACs, port.AllowProtocols, port.Security == api.SecurityStrict); err != nil || got != want {
			t.Errorf("the port has %s, %v; want %s", got, err, want)
		}
	}
}

func TestAnInternalNetworkHasNoGateway(t *testing.T) {
	t.Parallel()
	p, _ := newPlugin(t)
	must(t, p, "/NetworkDriver.CreateNetwork", strings.Replace(createNetwork(networkID, ``), `"Options":{`, `"Options":{"com.docker.network.internal":true,`, 1))
	must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(endpointID, "10.1.0.2/24", ``))
	var answer joinResponse
	if err := json.Unmarshal(must(t, p, "/NetworkDriver.Join", endpoint(endpointID)).Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Gateway != "" || !answer.DisableGatewayService {
		t.Errorf("joined with %+v, want no gateway, neither ours nor another", answer)
	}
}

// TestAuxAddresses reach the segment, and that of the name DefaultGatewayIPv4 is the containers'
// way out.
func TestAuxAddresses(t *testing.T) {
	t.Parallel()
	p, b := newPlugin(t)
	create := strings.Replace(createNetwork(networkID, ``), `"Gateway":`,
		`"AuxAddresses":{"DefaultGatewayIPv4":"10.1.0.254/24","r":"10.1.0.2/24"},"Gateway":`, 1)
	must(t, p, "/NetworkDriver.CreateNetwork", create)
	want := map[string]netip.Addr{"DefaultGatewayIPv4": netip.MustParseAddr("10.1.0.254"), "r": netip.MustParseAddr("10.1.0.2")}
	if s, err := b.Segment(t.Context(), networkID); err != nil || !maps.Equal(s.AuxAddresses, want) {
		t.Errorf("segment %+v, %v", s, err)
	}
	must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(endpointID, "10.1.0.3/24", ``))
	var answer joinResponse
	if err := json.Unmarshal(must(t, p, "/NetworkDriver.Join", endpoint(endpointID)).Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Gateway != "10.1.0.254" {
		t.Errorf("joined with %+v, want the gateway 10.1.0.254", answer)
	}
	bad := strings.Replace(create, "10.1.0.2/24", "10.1.0.2", 1)
	if got := failureOf(t, post(p, "/NetworkDriver.CreateNetwork", bad)); !strings.Contains(got, `auxiliary address "r" "10.1.0.2": want an address and a prefix length`) {
		t.Errorf("got %q", got)
	}
}

// slow is a switch that adds no port before it is released.
type slow struct {
	*controltest.Switch
	release chan struct{}
}

func (b slow) AddPort(ctx context.Context, spec api.PortSpec) (api.Port, error) {
	<-b.release
	return b.Switch.AddPort(ctx, spec)
}

// dockerd has no deadline of its own and holds locks while it waits.
func TestADeadlineAndWhatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slow{controltest.New(t), make(chan struct{})}
		p := pluginOn(b, b)
		must(t, p, "/NetworkDriver.CreateNetwork", createNetwork(networkID, ``))
		start := time.Now()
		got := failureOf(t, post(p, "/NetworkDriver.CreateEndpoint", createEndpoint(endpointID, "10.1.0.2/24", ``)))
		if took := time.Since(start); took != answerTimeout || !strings.Contains(got, "within 20s") {
			t.Errorf("after %s: %q, want an error after %s", took, got, answerTimeout)
		}
		close(b.release)
		p.calls.Wait()
		if ports, _ := b.Ports(t.Context(), ""); len(ports) != 0 {
			t.Errorf("the port that came too late is left: %+v", ports)
		}
	})
}

// panicking is a backend that panics when it is to delete a segment.
type panicking struct{ api.Backend }

func (panicking) DeleteSegment(context.Context, string, bool) (api.Segment, error) {
	panic("no luck")
}

func TestAPanicIsAnError(t *testing.T) {
	t.Parallel()
	p := pluginOn(panicking{}, nil)
	if got := failureOf(t, post(p, "/NetworkDriver.DeleteNetwork", endpoint(endpointID))); !strings.Contains(got, "internal error") {
		t.Errorf("got %q", got)
	}
	p.calls.Wait()
}

// Docker chooses subnets without knowing of the default segment.
func TestTheUnusedDefaultSegmentMakesRoom(t *testing.T) {
	t.Parallel()
	p, b := newPlugin(t)
	body := strings.ReplaceAll(createNetwork(networkID, ``), "10.1.0.0/24", "172.17.0.0/16")
	must(t, p, "/NetworkDriver.CreateNetwork", strings.ReplaceAll(body, "10.1.0.1/24", "172.17.0.1/16"))
	if s, err := b.Segment(t.Context(), api.DefaultSegment); err != nil || s.Subnet.String() == "172.17.0.0/16" {
		t.Errorf("default segment %+v, %v; want another subnet", s, err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, _ := newPlugin(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "p.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- p.Serve(ctx, l) }()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	for _, body := range []string{
		``, `null`, `{}`, createNetwork(networkID, `"vswitch.mtu":"1400"`), createEndpoint(endpointID, "10.1.0.2/24", ``), endpoint(endpointID),
		`{"PoolID":"x","Address":"10.1.0.1"}`, `{"AddressSpace":"vswitch","Pool":"10.9.0.0/24","SubPool":"10.9.0.0/25"}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		p, _ := newPlugin(t)
		for path := range p.methods {
			answer := post(p, path, body)
			if e := failureOf(t, answer); strings.Contains(e, "internal error") {
				t.Errorf("%s: %s", path, e)
			}
		}
	})
}
