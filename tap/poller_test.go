package tap

import (
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/frame"
	"vswitch/internal/testenv"
)

// newPoller watches devices, whose tokens are their places in the list.
func newPoller(t testing.TB, devices ...*Device) *Poller {
	t.Helper()
	p, err := NewPoller(32)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	for i, d := range devices {
		if err := p.Add(d, uint32(i)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// waitFor waits until the poller reports token.
func waitFor(t *testing.T, p *Poller, token uint32) {
	t.Helper()
	ready := make([]uint32, 8)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if n := p.Wait(ready, time.Until(deadline)); slices.Contains(ready[:n], token) {
			return
		}
	}
	t.Fatalf("token %#x was not reported", token)
}

func TestPollerReportsFrames(t *testing.T) {
	t.Parallel()
	const token = 0xfedcba98 // its highest bit must survive
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		s := packetSocket(t, d.Name())
		send := func() {
			if _, err := unix.Write(s, testFrame("")[frame.VNetHeaderLen:]); err != nil {
				t.Fatal(err)
			}
		}
		p := newPoller(t)
		send()
		if err := p.Add(d, token); err != nil {
			t.Fatal(err)
		}
		waitFor(t, p, token) // what waited before Add
		receiveTest(t, d)
		send()
		waitFor(t, p, token)
		receiveTest(t, d)
		if err := p.Remove(d); err != nil {
			t.Fatal(err)
		}
		send()
		if n := p.Wait(make([]uint32, 8), 0); n != 0 {
			t.Errorf("Wait reports %d devices after Remove, want none", n)
		}
	})
}

// TestPollerKeepsWhatDoesNotFit gives Wait room for one token at a time.
func TestPollerKeepsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		devices := make([]*Device, 3)
		for i := range devices {
			devices[i] = mustCreate(t, ns, Options{})
			if _, err := unix.Write(packetSocket(t, devices[i].Name()), testFrame("")[frame.VNetHeaderLen:]); err != nil {
				t.Fatal(err)
			}
		}
		p := newPoller(t, devices...)
		seen, ready := map[uint32]bool{}, make([]uint32, 1)
		for deadline := time.Now().Add(patience); len(seen) < len(devices) && time.Now().Before(deadline); {
			if p.Wait(ready, time.Until(deadline)) == 1 {
				seen[ready[0]] = true
			}
		}
		if len(seen) != len(devices) {
			t.Errorf("Wait reported %v, want all of %d devices", seen, len(devices))
		}
		if n := p.Wait(nil, -1); n != 0 {
			t.Errorf("Wait without room returns %d, want 0", n)
		}
	})
}

func TestPollerRefuses(t *testing.T) {
	t.Parallel()
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		p := newPoller(t, d)
		if err := p.Add(d, 1); !errors.Is(err, unix.EEXIST) {
			t.Errorf("the second Add says %v, want that it is there", err)
		}
		if err := p.Remove(d); err != nil {
			t.Error(err)
		}
		if err := p.Remove(d); !errors.Is(err, unix.ENOENT) {
			t.Errorf("the second Remove says %v, want that it is not there", err)
		}
	})
}

// TestGoneWithItsNamespace moves a device away, as the switch does, and lets its
// new namespace end.
func TestGoneWithItsNamespace(t *testing.T) {
	t.Parallel()
	host, container := testenv.NewNamespace(t), testenv.NewNamespace(t)
	host.Do(func() {
		d := mustCreate(t, host, Options{})
		host.Run("ip", "link", "set", d.Name(), "netns", container.Name())
		container.Run("ip", "link", "set", d.Name(), "name", "eth0")
		container.Run("ip", "link", "set", "eth0", "up")
		p := newPoller(t, d)
		if s := d.Transmit(testFrame("")); s != frame.OK {
			t.Errorf("Transmit says %d after move and rename, want OK", s)
		}
		container.Remove()
		waitUntilGone(t, p, d)
		if s := d.Transmit(testFrame("")); s != frame.Gone {
			t.Errorf("Transmit says %d, want Gone", s)
		}
		// It is reported until it is removed, so that no reader can miss it.
		waitFor(t, p, 0)
		if err := p.Remove(d); err != nil {
			t.Error(err)
		}
		if n := p.Wait(make([]uint32, 8), 0); n != 0 {
			t.Errorf("Wait reports %d devices after Remove, want none", n)
		}
	})
}

func TestGoneWhenTheLinkIsDeleted(t *testing.T) {
	t.Parallel()
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		p := newPoller(t, d)
		ns.Run("ip", "link", "delete", d.Name())
		waitUntilGone(t, p, d)
	})
}

// waitUntilGone reads from d, token 0, whenever the poller says so, until it is gone.
func waitUntilGone(t *testing.T, p *Poller, d *Device) {
	t.Helper()
	buf := make([]byte, BufferLen)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		waitFor(t, p, 0)
		for s := frame.OK; s != frame.Again; {
			if _, s = d.Receive(buf); s == frame.Gone {
				return
			}
		}
	}
	t.Fatal("the device did not say Gone")
}

func TestWakeEndsWait(t *testing.T) {
	t.Parallel()
	p := newPoller(t)
	returned := make(chan int)
	go func() { returned <- p.Wait(make([]uint32, 8), -1) }()
	p.Wake() // before or during the Wait: it must end either way
	if n := <-returned; n != 0 {
		t.Errorf("Wait reports %d devices on Wake, want none", n)
	}
}

func TestWaitTakesBackAllWakes(t *testing.T) {
	t.Parallel()
	p := newPoller(t)
	for range 1000 {
		p.Wake()
	}
	for _, timeout := range []time.Duration{-1, 0, time.Nanosecond} {
		if n := p.Wait(make([]uint32, 8), timeout); n != 0 {
			t.Errorf("Wait(%v) reports %d devices, want none", timeout, n)
		}
	}
	if _, err := unix.Read(p.wake, make([]byte, 8)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("reading the eventfd says %v, want that Wait has emptied it", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("the second Close fails: %v", err)
	}
}

func TestMilliseconds(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]int{
		-1: -1, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000, 1<<63 - 1: 1<<31 - 1,
	} {
		if got := milliseconds(timeout); got != want {
			t.Errorf("%v is %d ms, want %d", timeout, got, want)
		}
	}
}

// BenchmarkTransmit runs the receiving namespace's stack as far as its drop.
func BenchmarkTransmit(b *testing.B) {
	ns := testenv.NewNamespace(b)
	ns.Do(func() {
		d := mustCreate(b, ns, Options{})
		buf := testFrame("")
		for b.Loop() {
			d.Transmit(buf)
		}
	})
}
