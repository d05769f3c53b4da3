package control

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/kernel/kerneltest"
)

// slowKernel makes a TAP when it is told to.
type slowKernel struct {
	kerneltest.Kernel
	begun, goOn chan struct{}
}

func (k slowKernel) CreateTAP(name string, offload bool) (kernel.Device, error) {
	if k.begun != nil {
		k.begun <- struct{}{}
		<-k.goOn
	}
	return k.Kernel.CreateTAP(name, offload)
}

// TestReadersWaitForNoChange: while one is under way they find what was before, all of it.
func TestReadersWaitForNoChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := &slowKernel{Kernel: w.Kernel()}
	w.adjust = func(c *core) { c.kernel = k }
	c := w.start()
	w.furnish(c)
	k.begun, k.goOn = make(chan struct{}), make(chan struct{})
	before := w.see(c)
	done := make(chan error)
	go func() {
		_, err := c.AddPort(t.Context(), api.PortSpec{Name: "new", NetNS: "fresh"})
		done <- err
	}()
	<-k.begun
	if now := w.see(c); !reflect.DeepEqual(now, before) {
		t.Errorf("meanwhile there is\n%+v, where there was\n%+v", now, before)
	}
	w.wantPortShown(c, "a", "up")
	w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
	w.wantError(
		func() error { _, err := c.Port(t.Context(), "new"); return err }(), api.NotFound, `"new"`,
	)
	close(k.goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.wantPortShown(c, "new", "up") // at once, to who has made it
}

// TestSnapshotIsFixed: a list that somebody has does not change under him.
func TestSnapshotIsFixed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	old := c.current()
	_, err := c.UpdatePort(t.Context(), "a", api.PortUpdate{Name: new("renamed"), Labels: map[string]*string{"role": nil}})
	w.wantNil(err)
	_, err = c.DeletePort(t.Context(), "b")
	w.wantNil(err)
	names := make(map[string]bool)
	for _, p := range old.Ports {
		names[p.Record.Name] = true
		if p.Record.Name == "a" && p.Record.Labels["role"] != "web" {
			t.Errorf("a has the labels %v", p.Record.Labels)
		}
	}
	if !names["a"] || !names["b"] || len(old.Ports) != 4 {
		t.Errorf("it has %v", names)
	}
	w.wantPortShown(c, "renamed", "up")
}

// TestEventsThatComeTogether are shown together, at the end of the pause that follows a snapshot,
// and what they log is written then.
func TestEventsThatComeTogether(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		const pause = 100 * time.Millisecond
		event := func(name string) {
			c.lock()
			defer c.unlockSoon()
			for _, p := range c.allPorts {
				p.link.down = !p.link.down
			}
			c.log.Info("event " + name)
		}
		c.mu.Lock()
		c.publishPause, c.published = pause, time.Now()
		c.mu.Unlock()
		event("one")
		w.wantPortShown(c, "a", "up")
		if w.has("event") {
			w.Error("the log is ahead of what is shown")
		}
		event("two")
		event("three")
		time.Sleep(pause - time.Millisecond)
		w.wantPortShown(c, "a", "up")
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		w.wantPortShown(c, "a", "down: set down in its network namespace")
		w.wantLog("event one")
		w.wantLog("event three")

		// One that comes after the pause is shown at once.
		time.Sleep(time.Second)
		event("four")
		w.wantPortShown(c, "a", "up")
		w.wantLog("event four")

		// A change shows at once what waits.
		c.mu.Lock()
		c.publishPause, c.published = pause, time.Now()
		c.mu.Unlock()
		event("five")
		w.wantPortShown(c, "a", "up")
		w.addPort(c, "b")
		w.wantPortShown(c, "a", "down: set down in its network namespace")
		w.wantLog("event five")
		time.Sleep(time.Second)
		synctest.Wait()
		w.wantPortShown(c, "a", "down: set down in its network namespace")
	})
}

// TestPoolsAreShownWithTheirSegment while there is one.
func TestPoolsAreShownWithTheirSegment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p, err := c.AddPool(t.Context(), api.PoolSpec{Subnet: prefix("10.99.0.0/24")})
	w.wantNil(err)
	shown := func(want string) {
		t.Helper()
		list, err := c.Pools(t.Context())
		if err != nil || len(list) != 1 || list[0].Segment != want {
			t.Errorf("the pools are %+v, %v", list, err)
		}
	}
	shown("")
	_, err = c.AddSegmentOver(t.Context(), p.ID, api.SegmentSpec{Name: "over"})
	w.wantNil(err)
	shown("over")
	_, err = c.DeleteSegment(t.Context(), "over", false)
	w.wantNil(err)
	shown("")
}
