package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// TestSmallNeighbourTableIsNamed: the log says once which of the kernel's settings has no room
// for the ports, when the port is added that is one too many, and at each start.
func TestSmallNeighbourTableIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// The kernel has the setting in the machine's own namespace only.
	for file, value := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv4/neigh/default/gc_thresh3": "5",
	} {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const setting = "net.ipv4.neigh.default.gc_thresh3"
	h := newHost(t, "--sysctl-dir", dir)
	h.AddSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
	for i := range 3 {
		h.Attach(fmt.Sprintf("i%d", i), lab.On("internal"))
	}
	h.Attach("a")
	h.Attach("b")
	if said := h.Daemon.Output(); strings.Contains(said, setting) {
		t.Error("two ports of a segment with a host link are said to be too many for a table of 5")
	}
	h.Attach("c")
	h.AwaitLog(0, "level=WARN", setting, "gc_thresh3=5", "needed=6")
	h.Attach("d")
	h.Stop()
	if n := strings.Count(h.Daemon.Output(), setting); n != 1 {
		t.Errorf("the log names the setting %d times, want once", n)
	}
	h.Start("--sysctl-dir", dir)
	h.AwaitLog(0, "level=WARN", setting, "needed=8")
}
