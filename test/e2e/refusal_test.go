package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// refused is a request that must fail with a kind, in one line that says what is
// wrong, and change nothing.
type refused struct {
	name string
	do   func(context.Context, *api.Client) error
	kind api.Kind
	says string // part of the line
}

// posts sends a body that no client of ours would.
func (h *host) posts(path, body string) func(context.Context, *api.Client) error {
	return func(ctx context.Context, _ *api.Client) error {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.Socket)
		}
		client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
		request, err := http.NewRequestWithContext(
			ctx, http.MethodPost, "http://vswitchd"+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode < http.StatusBadRequest {
			return nil
		}
		var p api.Problem
		if err := json.NewDecoder(response.Body).Decode(&p); err != nil {
			return err
		}
		return &api.Error{Kind: api.Kind(strings.TrimPrefix(p.Type, "urn:vswitch:problem:")), Detail: p.Detail}
	}
}

// state is all that a user can see of the switch and of these namespaces.
// Counters and ages, which move by themselves, are left out.
func (h *host) state(namespaces ...*lab.Namespace) string {
	h.Helper()
	ctx := context.Background()
	segments, err1 := h.Client.Segments(ctx)
	ports, err2 := h.Client.Ports(ctx, "")
	fdb, err3 := h.Client.FDB(ctx, "")
	arp, err4 := h.Client.ARP(ctx, "")
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			h.Fatal(err)
		}
	}
	for i := range ports {
		ports[i].Counters = api.Counters{}
	}
	for i := range segments {
		segments[i].HostLink.Counters = api.Counters{}
	}
	for i := range fdb {
		fdb[i].AgeSeconds = 0
	}
	text, err := json.MarshalIndent([]any{segments, ports, fdb, arp}, "", " ")
	if err != nil {
		h.Fatal(err)
	}
	all := string(text)
	for _, ns := range append(namespaces, h.NS) {
		all += ns.Run("sh", "-c", "ip -o link && ip -o addr && ip route")
	}
	return all
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other")
	h.AddSegment("full", func(s *api.SegmentSpec) { s.Subnet = netip.MustParsePrefix("10.1.1.0/30") })
	c1, c2 := h.Attach("c1"), h.Attach("c2", lab.On("other"))
	c3 := h.Attach("c3", lab.On("full"))
	empty := h.Container()
	before := h.state(c1.Namespace, c2.Namespace, c3.Namespace, empty.Namespace)
	file := filepath.Join(lab.ShortDir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range append(append(refusedPorts(c1, empty, file), refusedSegments(h)...), refusedEntries()...) {
		err := test.do(t.Context(), h.Client)
		if err == nil {
			t.Fatalf("%s: accepted", test.name)
		}
		if got := api.KindOf(err); got != test.kind {
			t.Errorf("%s: kind %s, want %s: %v", test.name, got, test.kind, err)
		}
		if text := err.Error(); !strings.Contains(text, test.says) || strings.Contains(text, "\n") {
			t.Errorf("%s: says %q, want one line with %q", test.name, text, test.says)
		}
		if after := h.state(c1.Namespace, c2.Namespace, c3.Namespace, empty.Namespace); after != before {
			t.Fatalf("%s: something changed; before:\n%s\nafter:\n%s", test.name, before, after)
		}
	}
	c1.Reaches("172.17.0.1")
	// Nor is an address lost by what was refused.
	if p := h.Connect(empty, "new"); p.IPs[0] != netip.MustParsePrefix("172.17.0.3/16") {
		t.Errorf("the next port has %s, want 172.17.0.3/16", p.IPs[0])
	}
	empty.Reaches(c1.Addr().String())
}

// refusedPorts are about ports; c1 is on segment bridge with 172.17.0.2.
func refusedPorts(c1, empty *lab.Container, file string) []refused {
	add := func(edit func(*api.PortSpec)) func(context.Context, *api.Client) error {
		spec := api.PortSpec{Name: "new", NetNS: empty.Name()}
		edit(&spec)
		return func(ctx context.Context, c *api.Client) error {
			_, err := c.AddPort(ctx, spec)
			return err
		}
	}
	update := func(ref string, u api.PortUpdate) func(context.Context, *api.Client) error {
		return func(ctx context.Context, c *api.Client) error {
			_, err := c.UpdatePort(ctx, ref, u)
			return err
		}
	}
	remove := func(ctx context.Context, c *api.Client) error {
		_, err := c.DeletePort(ctx, "nobody")
		return err
	}
	taken, down := "c2", false
	text := func(field string) func(context.Context, *api.Client) error {
		return (&host{c1.Host}).posts("/v1/ports", `{"name":"new","netns":"`+empty.Name()+`",`+field+`}`)
	}
	return []refused{
		{"unknown segment", add(func(s *api.PortSpec) { s.Segment = "none" }), api.NotFound, `segment "none" does not exist`},
		{"unknown namespace", add(func(s *api.PortSpec) { s.NetNS = "vst-none" }), api.NotFound, `namespace "vst-none" does not exist`},
		{"unknown namespace path", add(func(s *api.PortSpec) { s.NetNS = "/run/netns/vst-none" }), api.NotFound, "does not exist"},
		{"file that is no namespace", add(func(s *api.PortSpec) { s.NetNS = file }), api.Invalid, "is not a network namespace"},
		{"namespace of another kind", add(func(s *api.PortSpec) { s.NetNS = "/proc/self/ns/uts" }), api.Invalid, "is not a network namespace"},
		{"relative namespace path", add(func(s *api.PortSpec) { s.NetNS = "a/b" }), api.Invalid, "absolute path"},
		{"unknown process", add(func(s *api.PortSpec) { s.NetNS, s.PID = "", 1<<22 }), api.NotFound, "process 4194304 is not running"},
		{"namespace and process", add(func(s *api.PortSpec) { s.PID = 1 }), api.Invalid, "give one of them"},
		{"no namespace", add(func(s *api.PortSpec) { s.NetNS = "" }), api.Invalid, "give netns or pid"},
		{"name taken", add(func(s *api.PortSpec) { s.Name = "c1" }), api.Conflict, `port "c1" already exists`},
		{"bad name", add(func(s *api.PortSpec) { s.Name = "no name" }), api.Invalid, `port name "no name"`},
		{"address outside", add(func(s *api.PortSpec) { s.IP = api.PortIP{Addr: netip.MustParseAddr("10.9.9.9")} }), api.Invalid, "10.9.9.9 is outside the subnet 172.17.0.0/16"},
		{"address in use", add(func(s *api.PortSpec) { s.IP = api.PortIP{Addr: netip.MustParseAddr("172.17.0.2")} }), api.Conflict, "172.17.0.2 is already in use"},
		{"gateway's address", add(func(s *api.PortSpec) { s.IP = api.PortIP{Addr: netip.MustParseAddr("172.17.0.1")} }), api.Conflict, "gateway"},
		{"network address", add(func(s *api.PortSpec) { s.IP = api.PortIP{Addr: netip.MustParseAddr("172.17.0.0")} }), api.Conflict, "network address"},
		{"broadcast address", add(func(s *api.PortSpec) { s.IP = api.PortIP{Addr: netip.MustParseAddr("172.17.255.255")} }), api.Conflict, "broadcast address"},
		{"not an address", text(`"ip":"172.17.0"`), api.Invalid, `"172.17.0"`},
		{"IPv6 address", add(func(s *api.PortSpec) { s.IP = api.PortIP{Addr: netip.MustParseAddr("fe80::1")} }), api.Unsupported, "only IPv4"},
		{"interface exists", add(func(s *api.PortSpec) { s.NetNS = c1.Name() }), api.Conflict, `"eth0" already exists`},
		{"interface name too long", add(func(s *api.PortSpec) { s.IfName = "abcdefghijklmnop" }), api.Invalid, `"abcdefghijklmnop"`},
		{"loopback's name", add(func(s *api.PortSpec) { s.IfName = "lo" }), api.Invalid, `"lo"`},
		{"not a MAC", text(`"mac":"02:00"`), api.Invalid, `"02:00"`},
		{"group MAC", add(func(s *api.PortSpec) { s.MAC = parsedMAC("01:00:5e:00:00:01") }), api.Invalid, "group address"},
		{"zero MAC", text(`"mac":"00:00:00:00:00:00"`), api.Invalid, "unicast"},
		{"MAC in use", add(func(s *api.PortSpec) { s.MAC = c1.Port.MAC }), api.Conflict, `that of port "c1"`},
		{"gateway's MAC", add(func(s *api.PortSpec) { s.MAC = parsedMAC("02:42:ac:11:00:01") }), api.Conflict, "gateway"},
		{"subnet full", add(func(s *api.PortSpec) { s.Segment = "full" }), api.Exhausted, "10.1.1.0/30 is full"},
		{"unknown port", remove, api.NotFound, `port "nobody" does not exist`},
		{"change an unknown port", update("nobody", api.PortUpdate{Up: &down}), api.NotFound, `port "nobody" does not exist`},
		{"change nothing", update("c1", api.PortUpdate{}), api.Invalid, "nothing to change"},
		{"rename to a taken name", update("c1", api.PortUpdate{Name: &taken, Up: &down}), api.Conflict, `port "c2" already exists`},
	}
}

func refusedSegments(h *host) []refused {
	text := func(field string) func(context.Context, *api.Client) error {
		return h.posts("/v1/segments", `{"name":"new",`+field+`}`)
	}
	add := func(edit func(*api.SegmentSpec)) func(context.Context, *api.Client) error {
		spec := api.SegmentSpec{Name: "new"}
		edit(&spec)
		return func(ctx context.Context, c *api.Client) error {
			_, err := c.AddSegment(ctx, spec)
			return err
		}
	}
	remove := func(ref string, force bool) func(context.Context, *api.Client) error {
		return func(ctx context.Context, c *api.Client) error {
			_, err := c.DeleteSegment(ctx, ref, force)
			return err
		}
	}
	subnet := func(s string) func(context.Context, *api.Client) error {
		return add(func(spec *api.SegmentSpec) { spec.Subnet = netip.MustParsePrefix(s) })
	}
	return []refused{
		{"segment's name taken", add(func(s *api.SegmentSpec) { s.Name = "other" }), api.Conflict, `segment "other" already exists`},
		{"bad segment name", add(func(s *api.SegmentSpec) { s.Name = "-x" }), api.Invalid, `"-x"`},
		{"not a subnet", text(`"subnet":"10.1.0.0"`), api.Invalid, `"10.1.0.0"`},
		{"prefix too long", text(`"subnet":"10.1.0.0/33"`), api.Invalid, `"10.1.0.0/33"`},
		{"subnet without room", subnet("10.1.0.0/32"), api.Invalid, "10.1.0.0/32"},
		{"host bits", subnet("10.2.0.1/24"), api.Invalid, "want 10.2.0.0/24"},
		{"IPv6 subnet", subnet("fd00::/64"), api.Unsupported, "only IPv4"},
		{"overlapping subnet", subnet("172.17.128.0/24"), api.Conflict, "172.17.0.0/16"},
		{"subnet around others", subnet("172.16.0.0/12"), api.Conflict, "overlap"},
		{"gateway without a subnet", add(func(s *api.SegmentSpec) { s.Gateway = netip.MustParseAddr("10.2.0.1") }), api.Invalid, "needs a subnet"},
		{"gateway outside", add(func(s *api.SegmentSpec) {
			s.Subnet, s.Gateway = netip.MustParsePrefix("10.2.0.0/24"), netip.MustParseAddr("10.3.0.1")
		}), api.Invalid, "10.3.0.1"},
		{"range outside", add(func(s *api.SegmentSpec) {
			s.Subnet, s.IPRange = netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("10.3.0.0/25")
		}), api.Invalid, "not inside subnet 10.2.0.0/24"},
		{"MTU too small", add(func(s *api.SegmentSpec) { s.MTU = 67 }), api.Invalid, "mtu 67"},
		{"delete an unknown segment", remove("none", true), api.NotFound, `segment "none" does not exist`},
		{"delete a segment in use", remove("other", false), api.Conflict, `segment "other" has 1 port`},
		{"delete the default segment", remove("bridge", true), api.Conflict, "default segment"},
	}
}

func refusedEntries() []refused {
	add := func(segment, mac, port string) func(context.Context, *api.Client) error {
		return func(ctx context.Context, c *api.Client) error {
			_, err := c.AddFDB(ctx, segment, api.FDBSpec{MAC: parsedMAC(mac), Port: port})
			return err
		}
	}
	remove := func(segment, mac string) func(context.Context, *api.Client) error {
		return func(ctx context.Context, c *api.Client) error {
			_, err := c.DeleteFDB(ctx, segment, parsedMAC(mac))
			return err
		}
	}
	flush := func(segment, port string) func(context.Context, *api.Client) error {
		return func(ctx context.Context, c *api.Client) error {
			_, err := c.FlushFDB(ctx, segment, api.FDBFlush{Port: port})
			return err
		}
	}
	list := func(ctx context.Context, c *api.Client) error {
		_, err := c.FDB(ctx, "none")
		return err
	}
	const free, gateway = "02:00:00:00:00:01", "02:42:ac:11:00:01"
	return []refused{
		{"entry of a group address", add("bridge", "01:00:5e:00:00:01", "c1"), api.Invalid, "group address"},
		{"entry in an unknown segment", add("none", free, "c1"), api.NotFound, `segment "none"`},
		{"entry at an unknown port", add("bridge", free, "nobody"), api.NotFound, `port "nobody"`},
		{"entry at another segment's port", add("bridge", free, "c2"), api.Invalid, `on segment "other", not on "bridge"`},
		{"entry of the gateway's MAC", add("bridge", gateway, "c1"), api.Conflict, "gateway"},
		{"remove an unknown entry", remove("bridge", free), api.NotFound, free},
		{"remove the gateway's entry", remove("bridge", gateway), api.Conflict, "gateway"},
		{"flush at another segment's port", flush("bridge", "c2"), api.Invalid, `on segment "other"`},
		{"flush an unknown segment", flush("none", ""), api.NotFound, `segment "none"`},
		{"list an unknown segment", list, api.NotFound, `segment "none"`},
	}
}

func TestWithoutTunDeviceAddPortSaysSo(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "unshare", "mount")
	h := newQuietHost(t)
	c := h.Container()
	// A mount namespace of its own, where /dev/net is empty.
	hide := `mount -t tmpfs tmpfs /dev/net && exec "$0" "$@"`
	h.StartBy([]string{"unshare", "--mount", "sh", "-c", hide})
	h.refusesPort(c, api.Unsupported, "/dev/net/tun")
}

func TestWithoutPrivilegesAddPortSaysSo(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "setpriv")
	const nobody = 65534
	h := newQuietHost(t)
	c := h.Container()
	dir := filepath.Dir(h.Socket)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	h.StartBy([]string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"})
	h.refusesPort(c, api.Denied, "run as root")

	// Nor may it open a namespace that lies where others have no access.
	closed := lab.ShortDir(t)
	spec := api.PortSpec{Name: "c", NetNS: filepath.Join(closed, "ns")}
	_, err := h.Client.AddPort(t.Context(), spec)
	if api.KindOf(err) != api.Denied || !strings.Contains(err.Error(), spec.NetNS) {
		t.Errorf("a path that cannot be opened: %v, want it denied, with the path", err)
	}
}

// refusesPort attaches c in vain.
func (h *host) refusesPort(c *lab.Container, kind api.Kind, says string) {
	h.Helper()
	before := h.state(c.Namespace)
	_, err := h.Client.AddPort(h.Context(), api.PortSpec{Name: "c", NetNS: c.Name()})
	if err == nil || api.KindOf(err) != kind || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
		h.Errorf("add port: %v (%s); want one line of kind %s with %q", err, api.KindOf(err), kind, says)
	}
	if after := h.state(c.Namespace); after != before {
		h.Errorf("something changed; before:\n%s\nafter:\n%s", before, after)
	}
}

func TestDaemonRefusesWrongUsage(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	config := filepath.Join(lab.ShortDir(t), "vswitchd.toml")
	if err := os.WriteFile(config, []byte("colour = \"red\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		flags  []string
		status int
		says   string
	}{
		{[]string{"--poll", "sometimes"}, 2, `--poll "sometimes" is unknown`},
		{[]string{"--workers", "100000"}, 2, "--workers 100000 is out of range"},
		{[]string{"--colour"}, 2, "unknown flag: --colour"},
		{[]string{"extra"}, 2, `unexpected argument "extra"`},
		{[]string{"--log-level", "loud"}, 2, `--log-level "loud"`},
		{[]string{"--default-address-pool", "base=10.0.0.0/8"}, 2, "--default-address-pool"},
		{[]string{"--socket", "/" + strings.Repeat("x", 120)}, 1, "has 121 bytes"},
		{[]string{"--config", "/nonexistent/vswitchd.toml"}, 1, "/nonexistent/vswitchd.toml"},
		{[]string{"--config", config}, 1, `"colour" is not a flag`},
		{[]string{"--metrics-listen", "nowhere"}, 1, "--metrics-listen nowhere"},
	} {
		code, said := h.StartInVain(test.flags...)
		if code != test.status || !strings.Contains(said, test.says) || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "vswitchd: ") {
			t.Errorf("%q: exit status %d, says %q; want %d and one line with %q", test.flags, code, said, test.status, test.says)
		}
		if h.SocketExists() {
			t.Errorf("%q: leaves a socket", test.flags)
		}
	}
}
