package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/testenv"
)

// serveAddress answers HTTP outside with the client's address.
func serveAddress(t *testing.T, out *container) {
	t.Helper()
	listener := inside(out, func() (net.Listener, error) { return net.Listen("tcp4", out.addr().String()+":80") })
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "you are %s", host)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
}

// fetch gets a page in the container.
func (c *container) fetch(url string, within time.Duration) (string, error) {
	c.Helper()
	host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
	var conn net.Conn
	var err error
	c.Do(func() { conn, err = net.DialTimeout("tcp4", host+":80", within) })
	if err != nil {
		return "", err
	}
	client := http.Client{Timeout: within, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}}
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	return string(page), err
}

func TestContainersReachTheOutsideByTheHostsAddress(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.addSegment("other")
	h.addSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
	out := h.outside(1500)
	serveAddress(t, out)
	a, b, c := h.attach("a"), h.attach("b", on("other")), h.attach("c", on("internal"))
	for _, c := range []*container{a, b} {
		page, err := c.fetch("http://"+farOutside+"/", patience)
		if want := "you are " + hostOutside; err != nil || page != want {
			t.Errorf("port %s: the page says %q, %v; want %q", c.port.Name, page, err, want)
		}
		out.misses(c.addr().String())
	}
	c.misses(farOutside)
	if page, err := c.fetch("http://"+farOutside+"/", 300*time.Millisecond); err == nil {
		t.Errorf("a container of an internal segment gets %q from outside", page)
	}
}

func TestFlushedRulesComeBack(t *testing.T) {
	t.Parallel()
	testenv.RequireCommand(t, "nft")
	h := newHost(t)
	out := h.outside(1500)
	serveAddress(t, out)
	c := h.attach("c")
	for range 3 {
		h.ns.Run("nft", "flush", "ruleset")
		h.await("the container is masqueraded again", func() bool {
			page, err := c.fetch("http://"+farOutside+"/", time.Second)
			return err == nil && page == "you are "+hostOutside
		})
	}
}

func TestForwardingIsPutBackWhenAsked(t *testing.T) {
	t.Parallel()
	testenv.RequireCommand(t, "nft")
	h := newQuietHost(t)
	forwarding := func() string {
		return strings.TrimSpace(h.ns.Run("cat", "/proc/sys/net/ipv4/ip_forward"))
	}
	h.ns.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	h.ns.Run("nft", "add", "table", "inet", "others")
	for _, test := range []struct {
		flags []string
		left  string
	}{{nil, "1"}, {[]string{"--stop-removes-ports"}, "0"}, {[]string{"--stop-removes-ports"}, "0"}} {
		h.start(test.flags...)
		if got := forwarding(); got != "1" {
			t.Errorf("ip_forward is %s under %q, want 1", got, test.flags)
		}
		h.stop()
		if got := forwarding(); got != test.left {
			t.Errorf("ip_forward is %s after %q, want %s", got, test.flags, test.left)
		}
		tables := h.ns.Run("nft", "list", "tables")
		if there := strings.Contains(tables, "inet vswitch"); there != (test.left == "1") || !strings.Contains(tables, "inet others") {
			t.Errorf("after %q the tables are\n%s", test.flags, tables)
		}
	}
}

func TestWithoutNATTheHostIsLeftAlone(t *testing.T) {
	t.Parallel()
	testenv.RequireCommand(t, "nft")
	h := newQuietHost(t)
	h.ns.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	h.start("--nat=false")
	c, out := h.attach("c"), h.outside(1500)
	c.reaches(c.port.Gateway)
	c.misses(farOutside)
	h.routes()
	c.reaches(farOutside)
	out.reaches(c.addr().String())
	if tables := h.ns.Run("nft", "list", "ruleset"); strings.TrimSpace(tables) != "" {
		t.Errorf("there are rules:\n%s", tables)
	}
}

// Where the kernel's settings may not be changed, containers reach the host and no
// farther, until somebody else has changed them.
func TestReadOnlySettingsAreTold(t *testing.T) {
	t.Parallel()
	testenv.RequireCommand(t, "unshare", "mount")
	h := newQuietHost(t)
	h.ns.Run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
	readOnly := `mount -o bind,ro /proc/sys /proc/sys && exec "$0" "$@"`
	h.startBy("unshare", "--mount", "--propagation=slave", "sh", "-c", readOnly)
	h.addSegment("other")
	c, out := h.attach("c", on("other")), h.outside(1500)
	serveAddress(t, out)
	l := h.awaitHostLink("other", api.PortUp)
	if !strings.Contains(l.Reason, "no way out beyond the host") || !strings.Contains(l.Reason, "read-only") {
		t.Errorf("the host link says %q, want that there is no way out, and why", l.Reason)
	}
	h.reaches(c.addr().String())
	c.reaches(c.port.Gateway)
	c.misses(farOutside)
	h.routes()
	h.await("there is a way out", func() bool { return h.segment("other").HostLink.Reason == "" })
	if page, err := c.fetch("http://"+farOutside+"/", patience); err != nil || page != "you are "+hostOutside {
		t.Errorf("the page says %q, %v; want the host's address", page, err)
	}
}
