package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
)

// serveAs answers HTTP at address in c with "NAME sees CLIENT", and UDP with the same and the
// question behind it.
func serveAs(c *lab.Container, name, address string) {
	c.Helper()
	listener := lab.Inside(c, func() (net.Listener, error) { return net.Listen("tcp4", address) })
	packets := lab.Inside(c, func() (net.PacketConn, error) { return net.ListenPacket("udp4", address) })
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s sees %s", name, client)
	})}
	done := make(chan struct{}, 2)
	go func() {
		_ = server.Serve(listener)
		done <- struct{}{}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 1500)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			client, _, _ := net.SplitHostPort(from.String())
			_, _ = packets.WriteTo(fmt.Appendf(nil, "%s sees %s%s", name, client, buf[:n]), from) // who does not hear it fails the test
		}
	}()
	c.Cleanup(func() {
		server.Close()
		packets.Close()
		<-done
		<-done
	})
}

// newPublishingHost makes a host whose loopback is up, as on any machine.
func newPublishingHost(t *testing.T) *host {
	t.Helper()
	lab.RequireCommand(t, "nft")
	h := newHost(t)
	h.NS.Run("ip", "link", "set", "lo", "up")
	return h
}

// newWebHost makes one with the container web, whose server is published as port 8080,
// and a machine outside.
func newWebHost(t *testing.T) (h *host, web, outside *lab.Container) {
	t.Helper()
	h = newPublishingHost(t)
	web, outside = h.Attach("web"), h.outside(1500)
	serveAs(web, "web", ":80")
	h.publish("web", "8080:80")
	return h, web, outside
}

// silence is how long to wait where no answer is wanted.
const silence = time.Second

// get fetches http://address/ from within c.
func get(c *lab.Container, address string, within time.Duration) (string, error) {
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		c.Do(func() { conn, err = (&net.Dialer{Timeout: within}).DialContext(ctx, network, address) })
		return conn, err
	}
	client := http.Client{Timeout: within, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	response, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// ask sends a datagram to address from within c until an answer comes.
func ask(c *lab.Container, address string, within time.Duration) (string, error) {
	conn := lab.Inside(c, func() (net.Conn, error) { return net.Dial("udp4", address) })
	defer conn.Close()
	return askOn(conn, within)
}

// askOn is ask over a socket that stays. Late answers to what was asked before have
// another number.
func askOn(conn net.Conn, within time.Duration) (string, error) {
	question := fmt.Sprintf("#%d", time.Now().UnixNano())
	buf := make([]byte, 1500)
	var err error
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		if _, err = conn.Write([]byte(question)); err != nil {
			continue // refused, by what came back for the one before
		}
		_ = conn.SetReadDeadline(time.Now().Add(silence / 4)) // fails on closed connections only
		for err == nil {
			var n int
			if n, err = conn.Read(buf); err == nil {
				if text, mine := strings.CutSuffix(string(buf[:n]), question); mine {
					return text, nil
				}
			}
		}
	}
	return "", err
}

func gets(c *lab.Container, address, want string) {
	c.Helper()
	if got, err := get(c, address, lab.Patience); err != nil || got != want {
		c.Errorf("from %s, http://%s/ is %q, %v; want %q", c.Port.Name, address, got, err, want)
	}
}

func asks(c *lab.Container, address, want string) {
	c.Helper()
	if got, err := ask(c, address, lab.Patience); err != nil || got != want {
		c.Errorf("from %s, a datagram to %s is answered %q, %v; want %q", c.Port.Name, address, got, err, want)
	}
}

func getsNothing(c *lab.Container, address string) {
	c.Helper()
	if got, err := get(c, address, silence); err == nil {
		c.Errorf("from %s, http://%s/ is %q; want no answer", c.Port.Name, address, got)
	}
}

func (h *host) publish(port, text string) api.Published {
	h.Helper()
	spec, err := api.ParsePublish(text)
	if err != nil {
		h.Fatal(err)
	}
	p, err := h.Client.Publish(h.Context(), port, spec)
	if err != nil {
		h.Fatalf("publish %s of %s: %v", text, port, err)
	}
	return p
}

func (h *host) unpublish(port, text string) {
	h.Helper()
	key, err := api.ParsePublished(text)
	if err == nil {
		_, err = h.Client.Unpublish(h.Context(), port, key)
	}
	if err != nil {
		h.Fatalf("unpublish %s of %s: %v", text, port, err)
	}
}

// refuses wants publishing refused, for a reason.
func (h *host) refuses(port, text string, kind api.Kind, why string) {
	h.Helper()
	spec, err := api.ParsePublish(text)
	if err != nil {
		h.Fatal(err)
	}
	if p, err := h.Client.Publish(h.Context(), port, spec); api.KindOf(err) != kind || !strings.Contains(err.Error(), why) {
		h.Errorf("publish %s of %s: %v, %v; want it %s for %q", text, port, p, err, kind, why)
	}
}

func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	h := newPublishingHost(t)
	h.AddSegment("other")
	web, near, far := h.Attach("web"), h.Attach("near"), h.Attach("far", lab.On("other"))
	outside, self := h.outside(1500), h.onHost("bridge")
	serveAs(web, "web", ":80")
	serveAs(web, "second", ":81")
	serveAs(self, "the host", "127.0.0.1:7000")
	for _, text := range []string{"8080:80", "8080:80/udp", "127.0.0.1:8081:80", hostOutside + ":8082:80", "9000-9001:80-81"} {
		h.publish("web", text)
	}
	chosen := h.publish("web", "80")

	gets(outside, hostOutside+":8080", "web sees "+farOutside)
	asks(outside, hostOutside+":8080", "web sees "+farOutside)
	gets(outside, hostOutside+":8082", "web sees "+farOutside)
	gets(outside, hostOutside+":9000", "web sees "+farOutside)
	gets(outside, hostOutside+":9001", "second sees "+farOutside)
	gets(outside, hostOutside+":"+chosen.HostPorts.String(), "web sees "+farOutside)
	getsNothing(outside, hostOutside+":8081") // the host's loopback only
	getsNothing(outside, web.Addr().String()+":80")

	gets(self, hostOutside+":8080", "web sees "+hostOutside)
	asks(self, hostOutside+":8080", "web sees "+hostOutside)
	gets(self, "127.0.0.1:8080", "web sees "+web.Port.Gateway)
	asks(self, "127.0.0.1:8080", "web sees "+web.Port.Gateway)
	gets(self, "127.0.0.1:8081", "web sees "+web.Port.Gateway)
	gets(self, "127.0.0.1:7000", "the host sees 127.0.0.1")
	getsNothing(self, "127.0.0.1:8082")

	// Through the host and back, so that the answers come the same way.
	for _, c := range []*lab.Container{near, web} {
		gets(c, hostOutside+":8080", "web sees "+web.Port.Gateway)
		asks(c, hostOutside+":8080", "web sees "+web.Port.Gateway)
	}
	gets(far, hostOutside+":8080", "web sees "+web.Port.Gateway)
	getsNothing(far, hostOutside+":8081")
	getsNothing(far, web.Addr().String()+":80")

	h.unpublish("web", "8080")
	getsNothing(outside, hostOutside+":8080")
	asks(outside, hostOutside+":8080", "web sees "+farOutside)
	h.unpublish("web", "8080/udp")
	if got, err := ask(outside, hostOutside+":8080", silence); err == nil {
		t.Errorf("a datagram to a port that is not published any more is answered %q", got)
	}
	h.DelPort("web")
	getsNothing(outside, hostOutside+":8082")
	if list, err := h.Client.Published(h.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("with its port gone there is still %v, %v published", list, err)
	}
	if rules := h.NS.Run("nft", "list", "table", "inet", "vswitch"); strings.Contains(rules, ":") && strings.Contains(rules, "tcp . ") {
		t.Errorf("with its port gone there are still rules:\n%s", rules)
	}
}

// TestHostReachesPublishedPortByEachOfItsAddresses: those that it has in other segments too,
// though the switch lets no such address into the container's segment.
func TestHostReachesPublishedPortByEachOfItsAddresses(t *testing.T) {
	t.Parallel()
	h, web, _ := newWebHost(t)
	other := h.AddSegment("other")
	odd := h.AddSegment("odd", func(s *api.SegmentSpec) {
		s.Subnet, s.Gateway = netip.MustParsePrefix("10.7.0.0/24"), netip.MustParseAddr("10.7.0.254")
	})
	far, self := h.Attach("far", lab.On("other")), h.onHost("bridge")
	h.publish("web", "8080:80/udp")
	h.publish("web", other.Gateway+":8081:80")
	gateway := web.Port.Gateway
	for address, seen := range map[string]string{
		"127.0.0.1": gateway, gateway: gateway, other.Gateway: gateway, odd.Gateway: gateway,
		hostOutside: hostOutside,
	} {
		gets(self, address+":8080", "web sees "+seen)
		asks(self, address+":8080", "web sees "+seen)
	}
	gets(self, other.Gateway+":8081", "web sees "+gateway)

	// The segments are apart as before.
	getsNothing(far, web.Addr().String()+":80")
	getsNothing(far, web.Addr().String()+":8080")
	if out, ok := self.Try("ping", "-c", "1", "-W", "1", "-I", other.Gateway, web.Addr().String()); ok {
		t.Errorf("ping from the host's address in another segment is answered:\n%s", out)
	}
}

func TestPublishRefusals(t *testing.T) {
	t.Parallel()
	h := newPublishingHost(t)
	h.AddSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
	h.Attach("web")
	h.Attach("db")
	h.Attach("inner", lab.On("internal"))
	taken := lab.Inside(h.onHost("bridge"), func() (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:7001") })
	defer taken.Close()
	h.publish("web", "8000-8010:8000-8010")
	before := h.NS.Run("nft", "list", "table", "inet", "vswitch")

	h.refuses("inner", "80:80", api.Invalid, "no link to the host")
	h.refuses("none", "80:80", api.NotFound, "does not exist")
	h.refuses("db", "8010:80", api.Conflict, `port 8010 of the host is published by port "web" already`)
	h.refuses("web", "127.0.0.1:7990-8000:1-11", api.Conflict, "published by port")
	h.refuses("db", "7001:80", api.Conflict, "belongs to another program")
	h.refuses("db", "6999-7001:6999-7001", api.Conflict, "7001/tcp")
	h.refuses("db", "198.51.100.1:80:80", api.Invalid, "not an address of this host")
	if after := h.NS.Run("nft", "list", "table", "inet", "vswitch"); after != before {
		t.Errorf("what was refused has changed the rules to\n%s\nfrom\n%s", after, before)
	}
	if list, err := h.Client.Published(h.Context(), ""); err != nil || len(list) != 1 {
		t.Errorf("published are %v, %v; want what was before", list, err)
	}
	h.publish("db", "8010:80/udp")
	h.publish("db", "7000:80")

	// What is published no other program gets.
	self := h.onHost("bridge")
	self.Do(func() {
		if l, err := net.Listen("tcp4", "127.0.0.1:8005"); err == nil {
			l.Close()
			t.Error("another program can listen on a published port")
		}
	})
	h.unpublish("web", "8000-8010")
	lab.Inside(self, func() (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:8005") }).Close()
}

func TestPublishedPortsSurviveRestarts(t *testing.T) {
	t.Parallel()
	h, web, outside := newWebHost(t)
	self := h.onHost("bridge")
	h.publish("web", "127.0.0.1:8081:80")
	h.publish("web", "8082:80")
	h.unpublish("web", "8082")

	h.Kill()
	h.Start()
	h.awaitPublished()
	gets(outside, hostOutside+":8080", "web sees "+farOutside)
	gets(self, "127.0.0.1:8081", "web sees "+web.Port.Gateway)
	getsNothing(outside, hostOutside+":8082")
	h.refuses("web", "8080:80", api.Conflict, "published by port")

	// A program that took the port meanwhile keeps it, until it ends.
	carrier := lab.WatchProcess(t, h.Carrier())
	h.Kill()
	carrier.Await() // it has the port until then
	thief := lab.Inside(self, func() (net.Listener, error) { return net.Listen("tcp4", ":8080") })
	h.Start()
	states := func() map[string]string {
		list, err := h.Client.Published(h.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		reasons := make(map[string]string)
		for _, p := range list {
			reasons[p.HostPorts.String()] = p.Reason
		}
		return reasons
	}
	if s := states(); len(s) != 2 || !strings.Contains(s["8080"], "belongs to another program") || s["8081"] != "" {
		t.Errorf("with one port taken meanwhile the states are %q", s)
	}
	gets(self, "127.0.0.1:8081", "web sees "+web.Port.Gateway)
	h.LogAfter(func() { thief.Close() }, `msg="port published"`, "8080")
	if why := states()["8080"]; why != "" {
		t.Errorf("the log says that the port is published, and the API why it is not: %s", why)
	}
	gets(outside, hostOutside+":8080", "web sees "+farOutside)
}

// awaitPublished returns once all that is published can be reached: a process that was killed may
// have had the ports a moment longer than the next one waited.
func (h *host) awaitPublished() {
	h.Helper()
	h.Eventually("all ports are published", func() bool {
		list, err := h.Client.Published(h.Context(), "")
		return err == nil && !slices.ContainsFunc(list, func(p api.Published) bool { return p.Reason != "" })
	})
}

// The kernel decides about a flow of datagrams once, and a flow goes on for as long
// as its client sends.
func TestDatagramsFollowWhatIsPublished(t *testing.T) {
	t.Parallel()
	h := newPublishingHost(t)
	first, second, outside := h.Attach("first"), h.Attach("second"), h.outside(1500)
	serveAs(first, "first", ":80")
	serveAs(second, "second", ":80")
	conn := lab.Inside(outside, func() (net.Conn, error) { return net.Dial("udp4", hostOutside+":8080") })
	defer conn.Close()
	answer := func(within time.Duration) string {
		got, _ := askOn(conn, within)
		return got
	}
	if got := answer(silence); got != "" {
		t.Errorf("a datagram to a port that is not published is answered %q", got)
	}
	h.publish("first", "8080:80/udp")
	if got, want := answer(lab.Patience), "first sees "+farOutside; got != want {
		t.Errorf("published, a flow that was there before is answered %q, want %q", got, want)
	}
	h.unpublish("first", "8080/udp")
	if got := answer(silence); got != "" {
		t.Errorf("not published any more, the flow is answered %q", got)
	}
	h.publish("second", "8080:80/udp")
	if got, want := answer(lab.Patience), "second sees "+farOutside; got != want {
		t.Errorf("published by another, the flow is answered %q, want %q", got, want)
	}
	h.DelPort("second")
	if got := answer(silence); got != "" {
		t.Errorf("with its port gone, the flow is answered %q", got)
	}
}

// Without NAT the ports of the host are left alone, and what was published waits.
func TestPublishedPortsWithoutNAT(t *testing.T) {
	t.Parallel()
	h, _, outside := newWebHost(t)
	h.Stop()
	h.NS.Run("nft", "flush ruleset")
	h.Start("--nat=false")
	h.refuses("web", "8081:80", api.Unsupported, "--nat=false")
	list, err := h.Client.Published(h.Context(), "")
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Reason, "--nat=false") {
		t.Errorf("published are %+v, %v; want one that says why it is not", list, err)
	}
	lab.Inside(h.onHost("bridge"), func() (net.Listener, error) { return net.Listen("tcp4", ":8080") }).Close()
	h.Stop()
	h.Start()
	gets(outside, hostOutside+":8080", "web sees "+farOutside)
}

// TestPublishedPortObeysTheUser holds what the documentation says of the chain.
func TestPublishedPortObeysTheUser(t *testing.T) {
	t.Parallel()
	h, _, outside := newWebHost(t)
	h.publish("web", "8081:80")
	h.NS.Run("nft", "add rule inet vswitch user iifname outer meta l4proto tcp ct original proto-dst 8080 drop")
	getsNothing(outside, hostOutside+":8080")
	gets(outside, hostOutside+":8081", "web sees "+farOutside)
	h.publish("web", "8082:80")
	getsNothing(outside, hostOutside+":8080")

	// All is back at once, but for what the user had put there.
	h.NS.Run("nft", "flush ruleset")
	gets(outside, hostOutside+":8081", "web sees "+farOutside)
}

// A connection from outside to a published port survives all ends that the daemon
// may come to, and the port is open for others after each.
func TestConnectionsToPublishedPortsGoOn(t *testing.T) {
	t.Parallel()
	h, web, outside := newWebHost(t)
	h.publish("web", "8081:81")
	listener := lab.Inside(web, func() (net.Listener, error) { return net.Listen("tcp4", ":81") })
	defer listener.Close()
	out := lab.Inside(outside, func() (net.Conn, error) { return net.DialTimeout("tcp4", hostOutside+":8081", lab.Patience) })
	defer out.Close()
	in, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	h.Harmed()
	for _, event := range []struct {
		name string
		harm func()
	}{
		{"nothing", func() {}},
		{"the carrier's death", h.KillCarrier},
		{"an upgrade", h.upgradeInPlace},
		{"the daemon's death", h.killDaemon},
		{"a flush", func() { h.NS.Run("nft", "flush ruleset") }},
		{"the end of its publication", func() { h.unpublish("web", "8081") }},
	} {
		event.harm()
		name, word := event.name, make([]byte, len(event.name))
		err := out.SetDeadline(time.Now().Add(lab.Patience))
		if err == nil {
			_, err = out.Write([]byte(name))
		}
		if err == nil {
			err = in.SetDeadline(time.Now().Add(lab.Patience))
		}
		if err == nil {
			_, err = io.ReadFull(in, word)
		}
		if err != nil || string(word) != name {
			t.Fatalf("after %s the connection brings %q, %v", name, word, err)
		}
		gets(outside, hostOutside+":8080", "web sees "+farOutside)
	}
}

// TestBesideAnotherFirewall holds what the documentation says of Docker's rules, with
// those that Docker makes (libnetwork's setupIPTables and setupIPForwarding).
func TestBesideAnotherFirewall(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "iptables")
	h := newQuietHost(t)
	iptables := func(rules ...string) {
		for _, r := range rules {
			h.NS.Run(append([]string{"iptables", "-w"}, strings.Fields(r)...)...)
		}
	}
	iptables("-N DOCKER-USER", "-A DOCKER-USER -j RETURN", "-A FORWARD -j DOCKER-USER", "-P FORWARD DROP")
	before := h.NS.Run("iptables", "-S")
	h.Start()
	web, outside := h.Attach("web"), h.outside(1500)
	serveAs(web, "web", ":80")
	serveAs(outside, "outside", ":80")
	h.publish("web", "8080:80")
	getsNothing(web, farOutside+":80")
	getsNothing(outside, hostOutside+":8080")
	const warning = "another firewall drops"
	if said := h.Daemon.Output(); strings.Count(said, warning) != 1 || !strings.Contains(said, "iptables -I DOCKER-USER -i vs-+ -o OUT -j ACCEPT") {
		t.Errorf("the log warns %d times of the other firewall, want once with what helps:\n%s", strings.Count(said, warning), said)
	}
	if after := h.NS.Run("iptables", "-S"); after != before {
		t.Errorf("the other firewall's rules became\n%s\nfrom\n%s", after, before)
	}
	iptables("-I DOCKER-USER -i vs-+ -o outer -j ACCEPT", "-I DOCKER-USER -o vs-+ -j ACCEPT")
	gets(web, farOutside+":80", "outside sees "+hostOutside)
	gets(outside, hostOutside+":8080", "web sees "+farOutside)
	getsNothing(outside, web.Addr().String()+":80") // our wall is not moved by that
}
