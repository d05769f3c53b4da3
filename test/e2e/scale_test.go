package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

func TestSixtyFourContainers(t *testing.T) {
	t.Parallel()
	const n = 64
	h := newHost(t)
	var all []*lab.Container
	addrs, macs := map[string]bool{}, map[string]bool{}
	for i := range n {
		c := h.Attach(fmt.Sprintf("c%02d", i))
		addrs[c.Addr().String()], macs[c.Port.MAC.String()] = true, true
		all = append(all, c)
	}
	if len(addrs) != n || len(macs) != n {
		t.Errorf("%d containers have %d addresses and %d MACs", n, len(addrs), len(macs))
	}
	fdb, err := h.Client.FDB(t.Context(), "bridge")
	if err != nil {
		t.Fatal(err)
	}
	port := map[string]string{}
	for _, e := range fdb {
		port[e.MAC.String()] = e.Port
	}
	for _, c := range all {
		if port[c.Port.MAC.String()] != c.Port.Name {
			t.Errorf("forwarding table has %s at %q, want %s", c.Port.MAC, port[c.Port.MAC.String()], c.Port.Name)
		}
	}
	if len(fdb) != n+1 || port["02:42:ac:11:00:01"] != "gateway" {
		t.Errorf("forwarding table has %d entries, want %d and the gateway's", len(fdb), n)
	}

	var ring sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i, from := range all {
		to := all[(i+1)%n]
		slots <- struct{}{}
		ring.Go(func() {
			defer func() { <-slots }()
			out, ok := from.Try("ping", "-n", "-c", "1", "-W", "10", to.Addr().String())
			if !ok {
				t.Errorf("ping from %s to %s: %s", from.Port.Name, to.Port.Name, out)
			}
		})
	}
	ring.Wait()
}

func TestAttachingAndDetachingLeavesNothing(t *testing.T) {
	t.Parallel()
	const metrics = "127.0.0.1:9100"
	h := newQuietHost(t)
	h.NS.Run("ip", "link", "set", "lo", "up")
	h.Start("--metrics-listen", metrics)
	// Five addresses, so that they come round and round.
	h.AddSegment("small", func(s *api.SegmentSpec) { s.Subnet = netip.MustParsePrefix("10.1.1.0/29") })
	c := h.Container()
	turn := func(i int) {
		p := h.Connect(c, "c", lab.On("small"))
		if want := fmt.Sprintf("10.1.1.%d/29", 2+i%5); p.IPs[0].String() != want {
			t.Fatalf("attachment %d got %s, want %s: the address that was freed first", i, p.IPs[0], want)
		}
		h.DelPort("c")
	}
	const warmUp, rounds = 20, 200
	for i := range warmUp {
		turn(i)
	}
	descriptors, threads, goroutines := h.descriptors(), h.threads(), h.goroutines(metrics)
	for i := range rounds {
		turn(warmUp + i)
	}
	if left := c.Links(); len(left) > 0 {
		t.Errorf("links left in the container: %v", left)
	}
	if left := h.NS.Links(); len(left) > 0 {
		t.Errorf("links left on the host: %v", left)
	}
	h.Eventually(fmt.Sprintf("the daemon has %d descriptors again", descriptors), func() bool { return h.descriptors() <= descriptors })
	h.Eventually(fmt.Sprintf("the daemon has %d goroutines again", goroutines), func() bool { return h.goroutines(metrics) <= goroutines })
	// The runtime may add a thread at any time; one for each round is a leak.
	if now := h.threads(); now > threads+rounds/10 {
		t.Errorf("%d threads after %d rounds, %d before", now, rounds, threads)
	}

	// One half of a pair goes with the namespace that the other is in.
	h.NS.Run("ip", "link", "add", "canary", "type", "veth", "peer", "name", "eth9")
	h.NS.Run("ip", "link", "set", "eth9", "netns", c.Name())
	h.Connect(c, "last")
	c.Remove()
	h.NS.AwaitNetwork("the container's namespace ends, though a port is in it", func() bool {
		return len(h.NS.Links()) == 0
	})
}

func (h *host) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(h.Daemon.Pid()), name)
}

func (h *host) descriptors() int {
	h.Helper()
	entries, err := os.ReadDir(h.proc("fd"))
	if err != nil {
		h.Fatal(err)
	}
	return len(entries)
}

func (h *host) threads() int {
	h.Helper()
	entries, err := os.ReadDir(h.proc("task"))
	if err != nil {
		h.Fatal(err)
	}
	return len(entries)
}

// goroutines is how many the daemon has, as its metrics say.
func (h *host) goroutines(address string) int {
	h.Helper()
	for line := range strings.Lines(h.scrape(address)) {
		if text, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				h.Fatal(err)
			}
			return n
		}
	}
	h.Fatal("the metrics have no go_goroutines")
	return 0
}
