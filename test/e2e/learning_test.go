package e2e

import (
	"net"
	"strings"
	"testing"

	"vswitch/api"
)

// learned are the addresses that the forwarding table of a segment has learned.
func (h *host) learned(segment string) (macs []string) {
	h.Helper()
	fdb, err := h.Client.FDB(h.Context(), segment)
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range fdb {
		if e.Kind == api.Dynamic {
			macs = append(macs, e.MAC.String())
		}
	}
	return macs
}

func TestLearnedAddressesAge(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--ageing", "1s")
	c1, c2 := h.Attach("c1", secured(api.SecurityOff)), h.Attach("c2")
	if _, err := h.Client.AddFDB(t.Context(), "bridge", api.FDBSpec{MAC: parsedMAC("02:00:00:00:00:77"), Port: "c1"}); err != nil {
		t.Fatal(err)
	}
	behind := c1.Socket(experimental)
	h.Eventually("the address of a host behind a container is learned, and asked for before it ages", func() bool {
		behind.Send(ethernet(c2.MAC(), net.HardwareAddr{2, 0, 0, 0, 9, 1}, experimental, make([]byte, 46)...))
		return len(h.learned("bridge")) > 0
	})
	h.Eventually("the address of a silent host is forgotten", func() bool { return len(h.learned("bridge")) == 0 })
	before := h.picture()
	for _, stays := range []string{"static bridge 02:00:00:00:00:77", "own bridge " + c2.Port.MAC.String()} {
		if !strings.Contains(before, stays) {
			t.Errorf("the entry %q has aged:\n%s", stays, before)
		}
	}
	c1.Reaches(c2.Addr().String())
}

func TestForwardingTableIsBounded(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--fdb-size", "8")
	c1, c2 := h.Attach("c1"), h.Attach("c2")
	if _, err := h.Client.UpdatePort(t.Context(), "c1", api.PortUpdate{MACLimit: new(api.NoLimit)}); err != nil {
		t.Fatal(err)
	}
	s, witness := c1.Socket(experimental), c2.Witness()
	for n := range 100 {
		s.Send(ethernet(c2.MAC(), net.HardwareAddr{2, 0, 0, 0, 9, byte(n)}, experimental, make([]byte, 46)...))
	}
	if n := len(with(witness.Until(sendMark(c1)), c2.MAC())); n < 100 {
		t.Errorf("%d frames have come, want 100", n)
	}
	if macs := h.learned("bridge"); len(macs) == 0 || len(macs) > 8 {
		t.Errorf("%d addresses are learned, want 8 at most: %v", len(macs), macs)
	}
	c1.Reaches(c2.Addr().String())
}

// A container that bridges two trusted ports would send broadcasts round for ever.
func TestContainerThatMakesALoopIsErrDisabled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.Attach("a"), h.Attach("b")
	c := h.Container()
	for name, link := range map[string]string{"left": "eth0", "right": "eth1"} {
		h.Connect(c, name, func(s *api.PortSpec) {
			s.IfName, s.Security, s.NoDefaultRoute = link, api.SecurityOff, true
		})
	}
	from := h.Daemon.Lines()
	c.Run("sh", "-c", "ip link add br0 type bridge && ip link set eth0 master br0 && ip link set eth1 master br0 && ip link set br0 up")
	a.Ping("172.17.0.99", "-W", "0.1") // nobody has it, so that all are asked
	h.awaitErrDisabled(from, "left", "right")
	a.Reaches(b.Addr().String())
}
