package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"vswitch/api"
	"vswitch/test/lab"
)

// stateOnDisk is what the state file holds, once nobody writes to it.
func (h *host) stateOnDisk() []byte {
	h.Helper()
	data, err := os.ReadFile(h.stateFile())
	if err != nil {
		h.Fatal(err)
	}
	return data
}

// flushes counts what strace has seen of the state file being made durable: a transaction
// takes two, for the records and for the root over them.
func (h *host) flushes(log string) int {
	h.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		h.Fatal(err)
	}
	return strings.Count(string(data), "fdatasync(")
}

// TestStartWritesOnlyWhatChanged: a start, an upgrade and a crash write nothing to the disk as
// long as the ports are where they were.
func TestStartWritesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	h.Stop()
	before := h.stateOnDisk()
	h.Start()
	h.Stop() // after all that follows the start
	if !bytes.Equal(h.stateOnDisk(), before) {
		t.Error("a start has written to the state file")
	}
	h.Start()
	h.Harmed()
	h.killDaemon()
	h.AwaitLog(0, "child is ready") // one that dies before is not replaced
	h.KillCarrier()
	h.upgradeInPlace()
	h.Stop()
	if !bytes.Equal(h.stateOnDisk(), before) {
		t.Error("a crash or an upgrade has written to the state file")
	}
	h.Start()
	a.Reaches(b.Addr().String())
}

// TestStartAfterARebootIsOneTransaction: the namespaces of all ports are gone.
func TestStartAfterARebootIsOneTransaction(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "strace")
	h := newHost(t)
	const n = 5
	var all []*lab.Container
	for i := range n {
		all = append(all, h.Attach(fmt.Sprintf("p%d", i)))
	}
	h.Stop()
	for _, c := range all {
		c.Remove()
	}
	log := filepath.Join(t.TempDir(), "strace.log")
	h.StartBy([]string{"strace", "-D", "-f", "-o", log, "-P", h.stateFile(), "-e", "trace=fdatasync"})
	for i := range n {
		if p := h.Port(fmt.Sprintf("p%d", i)); p.State != api.PortLost {
			t.Errorf("port %s is %s, want it lost", p.Name, p.State)
		}
	}
	h.Stop()
	if flushes := h.flushes(log); flushes > 2 {
		t.Errorf("a start that finds %d ports lost took %d flushes of the disk, want 2", n, flushes)
	}
}

// TestStopWithRemovalIsOneTransaction: however many ports there are.
func TestStopWithRemovalIsOneTransaction(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--stop-removes-ports")
	h.furnish()
	if _, err := h.Client.AddRule(t.Context(), "other", api.RuleSpec{
		Action: api.RuleDeny, From: api.RuleEnd{Port: "c"}, To: api.RuleEnd{Port: "d"},
	}); err != nil {
		t.Fatal(err)
	}
	log, end := h.strace(h.Carrier(), []string{"-e", "trace=fdatasync"}, h.stateFile())
	h.Stop()
	end()
	if flushes := h.flushes(log); flushes != 2 {
		t.Errorf("the stop took %d flushes of the disk, want 2", flushes)
	}
	h.Start()
	if ports, err := h.Client.Ports(t.Context(), ""); err != nil || len(ports) > 0 {
		t.Errorf("the next start finds %v, error %v", ports, err)
	}
	if rules, err := h.Client.Rules(t.Context(), ""); err != nil || len(rules) > 0 {
		t.Errorf("the next start finds rules about ports that are gone: %v, error %v", rules, err)
	}
}

// TestStateDirectoryIsRemoved: what was acknowledged after that is there after a restart, with all
// that was there before.
func TestStateDirectoryIsRemoved(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	if err := os.RemoveAll(h.StateDir); err != nil {
		t.Fatal(err)
	}
	h.LogAfter(func() { h.AddSegment("after") }, "state file written anew", h.stateFile())
	before := h.picture()
	h.Harmed()
	h.Kill()
	h.Start()
	h.Harmed()
	h.isStill(before)
	a.Reaches(b.Addr().String())
	if err := os.Rename(h.StateDir, h.StateDir+"-x"); err != nil {
		t.Fatal(err)
	}
	h.Attach("late").Reaches(b.Addr().String())
	h.KillCarrier()
	h.Port("late")
	before = h.picture()
	if err := os.WriteFile(h.stateFile()+"-x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(h.stateFile()+"-x", h.stateFile()); err != nil {
		t.Fatal(err)
	}
	if status, said := h.Vsctl("add-segment", "lost"); status != 1 || !strings.Contains(said, "another file has taken its place") {
		t.Errorf("add-segment ends with %d and says %q", status, said)
	}
	h.isStill(before)
}

// TestStopThatCannotRemove: a disk that fails leaves ports on it as they were. Their interfaces
// stay too, or the next start would have to make them anew.
func TestStopThatCannotRemove(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--stop-removes-ports")
	a, b := h.furnish()
	h.Harmed()
	before := h.picture()
	h.injectState("pwrite64:error=EIO")
	h.Stop()
	if !strings.Contains(strings.Join(a.Links(), " "), "eth0") {
		t.Errorf("the container has links %v, want eth0 as well", a.Links())
	}
	h.Start()
	h.isStill(before)
	a.Reaches(b.Addr().String())
}

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

// TestStartWithoutTheOlderRoot: bbolt keeps two roots in the state file and needs the newer one
// only. Without that one what was acknowledged last is lost, so that the file is refused.
func TestStartWithoutTheOlderRoot(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	before := h.picture()
	h.Stop()
	db, err := bbolt.Open(h.stateFile(), 0, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	size, newer := db.Info().PageSize, 0
	if err := db.View(func(tx *bbolt.Tx) error { newer = tx.ID() % 2; return nil }); err != nil {
		t.Fatal(err)
	}
	db.Close()
	whole := h.stateOnDisk()
	without := func(root int) []byte {
		data := bytes.Clone(whole)
		clear(data[root*size : (root+1)*size])
		if err := os.WriteFile(h.stateFile(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return data
	}
	damaged := without(newer)
	if code, said := h.StartInVain(); code == 0 || !strings.Contains(said, "--restore") {
		t.Errorf("a start without the newer root ends with %d and says %q", code, said)
	}
	if !bytes.Equal(h.stateOnDisk(), damaged) {
		t.Error("the damaged file was written to")
	}
	without(1 - newer)
	h.Start()
	h.isStill(before)
	a.Reaches(b.Addr().String())
	h.AddSegment("new")
	h.Harmed()
	h.Kill()
	h.Start()
	h.Segment("new")
}
