package e2e

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// container is a network namespace with, once it is attached, a port.
type container struct {
	*lab.Namespace
	testing.TB
	port api.Port // the last one added
}

// Name is the namespace's; the test's own is not asked for.
func (c *container) Name() string { return c.Namespace.Name() }

// container makes one that is not attached yet and that speaks only when it is
// spoken to.
func (h *host) container() *container {
	h.Helper()
	return &container{Namespace: quietNamespace(h), TB: h}
}

// quietNamespace makes a network namespace without IPv6, whose kernel sends
// multicasts of its own at any time.
func quietNamespace(tb testing.TB) *lab.Namespace {
	tb.Helper()
	ns := lab.NewNamespace(tb)
	sysctl(ns, "net.ipv6.conf.default.disable_ipv6=1")
	return ns
}

func (c *container) sysctl(setting string) {
	c.Helper()
	sysctl(c.Namespace, setting)
}

func sysctl(ns *lab.Namespace, setting string) {
	key, value, _ := strings.Cut(setting, "=")
	// sysctl(8) is not everywhere; the files are those of the opener's namespace.
	ns.Run("sh", "-c", `printf %s "$0" >"/proc/sys/$1"`, value, strings.ReplaceAll(key, ".", "/"))
}

func (c *container) addr() netip.Addr { return c.port.IPs[0].Addr() }

func (c *container) mac() net.HardwareAddr {
	mac, err := net.ParseMAC(c.port.MAC)
	if err != nil {
		c.Fatal(err)
	}
	return mac
}

// ping sends three echo requests.
func (c *container) ping(to string, options ...string) pingResult {
	c.Helper()
	return c.pings(3, to, options...)
}

func (c *container) pings(n int, to string, options ...string) pingResult {
	c.Helper()
	return ping(c, c.Namespace, n, to, options...)
}

// reaches fails the test unless every echo request is answered.
func (c *container) reaches(to string, options ...string) {
	c.Helper()
	if r := c.ping(to, options...); r.received != r.sent {
		c.Errorf("ping from %s to %s: %d of %d answered, want all:\n%s", c.port.Name, to, r.received, r.sent, r.output)
	}
}

// misses fails the test if any echo request is answered, or is refused with an
// error message of whatever kind.
func (c *container) misses(to string, options ...string) {
	c.Helper()
	r := c.ping(to, append([]string{"-W", "0.5"}, options...)...)
	if r.received != 0 || strings.Contains(r.output, "From ") || strings.Contains(r.output, "errors") {
		c.Errorf("ping from %s to %s: %d of %d answered, want silence:\n%s", c.port.Name, to, r.received, r.sent, r.output)
	}
}

// inside opens something in the container, such as a socket, which stays there.
func inside[T any](c *container, open func() (T, error)) T {
	c.Helper()
	var (
		v   T
		err error
	)
	c.Do(func() { v, err = open() })
	if err != nil {
		c.Fatalf("in container %s: %v", c.port.Name, err)
	}
	return v
}

// try runs argv inside and returns its output and whether it succeeded.
func (c *container) try(argv ...string) (string, bool) {
	c.Helper()
	out, err := c.Exec(c.Context(), argv...).CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		c.Fatalf("run %q: %v", argv, err)
	}
	return string(out), err == nil
}
