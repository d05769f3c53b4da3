package lab

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"vswitch/api"
)

// Container is a network namespace with, once it is attached, a port. A method that cannot do
// what it says fails the test.
type Container struct {
	*Namespace
	testing.TB

	Host *Host
	Port api.Port // the last one that [Host.Connect] has added, as it was then
}

// Name returns the namespace's; the test's own is another.
func (c *Container) Name() string { return c.Namespace.Name() }

// Addr returns the port's first address.
func (c *Container) Addr() netip.Addr { return c.Port.IPs[0].Addr() }

// MAC returns the port's MAC address.
func (c *Container) MAC() net.HardwareAddr {
	return c.Port.MAC[:]
}

// Ping sends three echo requests.
func (c *Container) Ping(to string, options ...string) PingResult {
	c.Helper()
	return c.Pings(3, to, options...)
}

// Pings sends n echo requests; see [Ping].
func (c *Container) Pings(n int, to string, options ...string) PingResult {
	c.Helper()
	return Ping(c, c.Namespace, n, to, options...)
}

// Reaches fails the test unless every echo request is answered.
func (c *Container) Reaches(to string, options ...string) {
	c.Helper()
	if r := c.Ping(to, options...); r.Received != r.Sent {
		c.Errorf("ping from %s to %s: %d of %d answered, want all:\n%s",
			c.Port.Name, to, r.Received, r.Sent, r.Output)
	}
}

// Misses fails the test if any echo request is answered, or is refused with an error message of
// any kind.
func (c *Container) Misses(to string, options ...string) {
	c.Helper()
	r := c.Ping(to, append([]string{"-W", "0.5"}, options...)...)
	if r.Received != 0 || strings.Contains(r.Output, "From ") || strings.Contains(r.Output, "errors") {
		c.Errorf("ping from %s to %s: %d of %d answered, want silence:\n%s",
			c.Port.Name, to, r.Received, r.Sent, r.Output)
	}
}

// Inside opens something in the container, such as a socket, which stays there.
func Inside[T any](c *Container, open func() (T, error)) T {
	c.Helper()
	var v T
	err := InNamespace(c.Name(), func() (err error) {
		v, err = open()
		return err
	})
	if err != nil {
		c.Fatalf("in container %s: %v", c.Port.Name, err)
	}
	return v
}

// Try runs argv inside and returns its output and whether it succeeded.
func (c *Container) Try(argv ...string) (string, bool) {
	c.Helper()
	out, err := c.Exec(c.Context(), argv...).CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		c.Fatalf("run %q: %v", argv, err)
	}
	return string(out), err == nil
}

// Trust has the switch let pass whatever the container sends: frames of any protocol and from
// any address.
func (c *Container) Trust() {
	c.Helper()
	off := api.PortUpdate{Security: new(api.SecurityOff)}
	if _, err := c.Host.Client.UpdatePort(c.Context(), c.Port.ID, off); err != nil {
		c.Fatal(err)
	}
}
