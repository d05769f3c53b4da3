package control

import (
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
)

// TestFrameThatAPortMayNotSend is in the log, with what it claimed to be, once a minute.
func TestFrameThatAPortMayNotSend(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		a, b := w.addPort(c, "a"), w.addPort(c, "b")
		w.rest()
		spoofed := a
		spoofed.MAC = api.MAC{2, 0, 0, 0, 0, 0x66}
		for range 3 {
			w.wantNothing(w.wire(c, "a"), w.wire(c, "b"), datagram(b.MAC, spoofed, "mine"))
		}
		line := []string{"level=WARN", "frame refused", "port=a", "segment=bridge", "reason=spoofed-mac", "mac=02:00:00:00:00:66"}
		w.wantLog(append(line, "ip=172.17.0.2")...)
		if n := strings.Count(w.log.String(), "spoofed-mac"); n != 1 {
			w.Errorf("the log has %d such lines, want 1", n)
		}
		time.Sleep(time.Minute)
		w.wantNothing(w.wire(c, "a"), w.wire(c, "b"), datagram(b.MAC, spoofed, "still mine"))
		if n := strings.Count(w.log.String(), "spoofed-mac"); n != 2 {
			w.Errorf("a minute later the log has %d such lines, want 2", n)
		}
		w.wantNothing(w.wire(c, "b"), w.wire(c, "a"), switchtest.Frame(a.MAC, spoofed.MAC, "no IP"))
		w.wantLog(
			"level=WARN", "frame refused", "port=b", "reason=spoofed-mac", "mac=02:00:00:00:00:66",
		)
		if w.has("port=b", "ip=") {
			w.Error("a frame without an address is reported with one")
		}
		p, err := c.Port(w.Context(), "a")
		if err != nil || p.Counters.Drops["spoofed-mac"] != 4 {
			w.Errorf("counted are %v, %v", p.Counters.Drops, err)
		}
	})
}

// TestReportOfAPortThatIsGone comes to nothing.
func TestReportOfAPortThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addPort(c, "a")
	p := c.allPorts[c.portIDs()[0]]
	if _, err := c.DeletePort(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	c.violated(vswitch.Violation{Port: p.sw, Reason: drop.SpoofedMAC})
	c.loopFound(p.sw, true)
	c.deviceGone(p.sw)
	for _, line := range []string{"frame refused", "err-disabled", "port lost"} {
		if w.has(line) {
			t.Errorf("the log has a line of a port that is gone:\n%s", w.log.String())
		}
	}
}

// TestLoopThroughAContainer: one port is err-disabled, shown and not answered for until its time
// is over.
func TestLoopThroughAContainer(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		off := func(s *api.PortSpec) { s.Security = api.SecurityOff }
		w.addPort(c, "a", off)
		w.addPort(c, "b", off)
		w.addPort(c, "third", off)
		w.rest()
		w.wire(c, "a").Bridge(w.wire(c, "b"))
		w.wire(c, "third").Send(switchtest.Frame(frame.Broadcast, switchtest.MAC(50), "storm"))
		time.Sleep(time.Second)
		w.rest()
		const disabled = "down: err-disabled: a loop was found; resumes within 10 s"
		name, ip := "a", "172.17.0.2"
		if w.portShown(c, "b") == disabled {
			name, ip = "b", "172.17.0.3"
		}
		w.wantPortShown(c, name, disabled)
		w.wantBound(c, ip, "")
		w.wantLog("level=WARN", "err-disabled", "port="+name, "segment=bridge", "for=10s")
		w.wire(c, "a").Relay(func([]byte) {}) // the bridge is taken down
		w.wire(c, "b").Relay(func([]byte) {})
		time.Sleep(11 * time.Second)
		w.rest()
		w.wantPortShown(c, name, "up")
		w.wantLog("no longer err-disabled", "port="+name)
		if got, _ := c.ARP(w.Context(), ""); len(got) != 4 {
			w.Errorf("%d addresses are answered for, want 4: %v", len(got), got)
		}
	})
}
