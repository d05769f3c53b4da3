package e2e

import (
	"fmt"
	"strings"
	"testing"

	"vswitch/test/lab"
)

// TestDelSegmentForceIsAllOrNothing: whichever write of the disk fails, the segment and its
// ports are all there or all gone.
func TestDelSegmentForceIsAllOrNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Harmed()
	c := []*lab.Container{h.Container(), h.Container(), h.Container()}
	furnish := func() {
		h.AddSegment("s")
		for i := range c {
			h.Connect(c[i], fmt.Sprintf("p%d", i), lab.On("s"))
		}
		h.MustVsctl("add-fdb", "s", "02:00:00:00:00:77", "p0")
	}
	furnish()
	failures := 0
	for _, call := range []string{"pwrite64", "fdatasync"} {
		for n := 1; n <= 12; n++ {
			before := h.picture()
			end := h.injectState(fmt.Sprintf("%s:error=EIO:when=%d", call, n))
			status, said := h.Vsctl("del-segment", "--force", "s")
			end()
			if status == 0 {
				for i := range c {
					if left := c[i].Links(); len(left) > 0 {
						t.Errorf("%s %d: links left in container %d: %v", call, n, i, left)
					}
				}
				h.Kill()
				h.Start()
				h.Harmed()
				if now := h.picture(); strings.Contains(now, "p0") || strings.Contains(now, " s ") {
					t.Fatalf("%s %d: the segment was deleted, and a restart has\n%s", call, n, now)
				}
				furnish()
				continue
			}
			failures++
			if !strings.Contains(said, "input/output error") {
				t.Errorf("%s %d: del-segment says %q", call, n, said)
			}
			if now := h.picture(); now != before {
				t.Fatalf("%s %d: del-segment failed (%s), and the switch was\n%s\nand is\n%s", call, n, said, before, now)
			}
			c[0].Reaches(c[2].Addr().String())
			h.Kill()
			h.Start()
			h.Harmed()
			if now := h.picture(); now != before {
				t.Fatalf("%s %d: del-segment failed, and after a restart the switch was\n%s\nand is\n%s", call, n, before, now)
			}
		}
	}
	if failures < 3 {
		t.Errorf("the disk failed %d times only", failures)
	}
}

// TestDelFDBOnAFailingDisk: the entry stays, in the switch as on the disk.
func TestDelFDBOnAFailingDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.furnish()
	h.Harmed()
	before := h.picture()
	mended := h.injectState("pwrite64:error=EIO")
	status, said := h.Vsctl("del-fdb", "bridge", "02:00:00:00:00:77")
	mended()
	if status == 0 || !strings.Contains(said, "input/output error") {
		t.Errorf("del-fdb ends with %d and says %q", status, said)
	}
	h.isStill(before)
}
