package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// resolves asks the gateway for a name and wants these addresses.
func resolves(c *lab.Container, name string, want ...string) {
	c.Helper()
	out, ok := lookup(c, name)
	for _, address := range want {
		if !ok || !strings.Contains(out, address) {
			c.Errorf("nslookup %s in %s: want %s:\n%s", name, c.Port.Name, want, out)
			return
		}
	}
}

// unknown wants the gateway to say that there is no such name.
func unknown(c *lab.Container, name string) {
	c.Helper()
	if out, ok := lookup(c, name); ok || !strings.Contains(out, "NXDOMAIN") {
		c.Errorf("nslookup %s in %s: want no such name:\n%s", name, c.Port.Name, out)
	}
}

func lookup(c *lab.Container, name string) (string, bool) {
	c.Helper()
	lab.RequireCommand(c, "busybox")
	return c.Try("busybox", "nslookup", name, c.Port.Gateway)
}

func withAliases(names ...string) func(*api.PortSpec) {
	return func(s *api.PortSpec) { s.Aliases = names }
}

// In a segment its containers have names, and only there.
func TestNamesResolveInTheirSegment(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other", func(s *api.SegmentSpec) { s.Internal = true })
	c1 := h.Attach("container1")
	c2 := h.Attach("Container2", withAliases("db", "shared"))
	h.Attach("container3", withAliases("shared"))
	apart := h.Attach("container4", lab.On("other"))

	resolves(c1, "container2", "172.17.0.3")
	resolves(c1, "DB", "172.17.0.3")
	resolves(c1, "shared", "172.17.0.3", "172.17.0.4")
	resolves(c1, "172.17.0.3", "Container2")
	resolves(c2, "container1", "172.17.0.2")
	unknown(apart, "container2")
	unknown(apart, "db")
	resolves(apart, "container4", "172.18.0.2")

	// Names follow what happens to their ports.
	rename, aliases := "web", []string{"www"}
	if _, err := h.Client.UpdatePort(t.Context(), "Container2", api.PortUpdate{Name: &rename, Aliases: &aliases}); err != nil {
		t.Fatal(err)
	}
	resolves(c1, "web", "172.17.0.3")
	resolves(c1, "www", "172.17.0.3")
	if out, _ := lookup(c1, "shared"); strings.Contains(out, "172.17.0.3") {
		t.Errorf("an alias that was taken away still leads to its port:\n%s", out)
	}
	h.Kill()
	h.Start()
	resolves(c1, "www", "172.17.0.3")
	h.DelPort("web")
	if out, ok := lookup(c1, "www"); ok {
		t.Errorf("a port that was deleted still has a name:\n%s", out)
	}
}

// A container that asks all it can is not heard any more, and others are.
func TestResolverIsNotCrowdedOut(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
	greedy, modest := h.Attach("greedy", lab.On("internal")), h.Attach("modest", lab.On("internal"))
	conn := lab.Inside(greedy, func() (net.Conn, error) { return net.Dial("udp4", net.JoinHostPort(greedy.Port.Gateway, "53")) })
	defer conn.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		query := []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06modest\x00\x00\x01\x00\x01")
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = conn.Write(query) // the queue may be full
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
	}()
	h.AwaitDrops("greedy", "gateway-busy", 1000)
	h.AwaitLog(0, "level=WARN", "reason=gateway-busy", "segment=internal", "mac="+greedy.Port.MAC.String())
	for range 5 {
		resolves(modest, "greedy", greedy.Addr().String())
	}
	if dropped := h.Counters("modest").Drops["gateway-busy"]; dropped != 0 {
		t.Errorf("%d questions of the other container were dropped", dropped)
	}
}

// add-port --resolv-conf has the programs of the namespace ask the gateway.
func TestResolvConfOfTheNamespace(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Attach("container2")
	c := h.Attach("container1", func(s *api.PortSpec) { s.ResolvConf = true })
	dir := filepath.Join("/etc/netns", c.Name())
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "resolv.conf")

	if out := h.NS.Run("ip", "netns", "exec", c.Name(), "getent", "hosts", "container2"); !strings.Contains(out, "172.17.0.2") {
		t.Errorf("getent hosts container2 says %q", out)
	}
	// A second port of the namespace does not take it over, nor with it its going.
	second := api.PortSpec{Name: "second", NetNS: c.Name(), IfName: "eth1", ResolvConf: true}
	if _, err := h.Client.AddPort(t.Context(), second); api.KindOf(err) != api.Conflict {
		t.Errorf("a second resolv.conf for the namespace: %v, want a conflict", err)
	}
	if _, err := os.Lstat(file); err != nil {
		t.Error(err)
	}
	h.DelPort("container1")
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is there after its port has gone: %v", dir, err)
	}

	// What somebody else wrote stays.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	second.IfName = ""
	if _, err := h.Client.AddPort(t.Context(), second); api.KindOf(err) != api.Conflict {
		t.Errorf("over a resolv.conf of somebody else's: %v, want a conflict", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "nameserver 192.0.2.1\n" {
		t.Errorf("the file of somebody else's: %q, %v", text, err)
	}
	if names := c.Links(); len(names) != 0 {
		t.Errorf("the refused port has left %s", names)
	}

	// It outlives the daemon, as its port does, and goes with the ports.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	h.Connect(c, "again", func(s *api.PortSpec) { s.ResolvConf = true })
	h.Stop()
	if _, err := os.Lstat(file); err != nil {
		t.Error(err)
	}
	h.Start("--stop-removes-ports")
	h.Stop()
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is there after all ports have gone: %v", dir, err)
	}
}
