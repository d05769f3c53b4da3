package reactor

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"vswitch/internal/frame"
	"vswitch/tap"
	"vswitch/test/lab"
)

// TestFramesThatATAPRefuses mixes frames to a device that takes them, to one that
// is down, and one too short: each has its own fate, and the order of the others stays.
func TestFramesThatATAPRefuses(t *testing.T) {
	t.Parallel()
	for engine, start := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			ns := lab.NewNamespace(t)
			r, up := start(t), newTAP(t)
			add(t, r, 1, up)
			ns.Do(func() {
				down := mustCreate(t, ns, tap.Options{})
				ns.Run("ip", "link", "set", down.Name(), "down")
				add(t, r, 2, down)
			})
			r.Send(1, frameOf(r, "one"))
			r.Send(2, frameOf(r, "lost"))
			r.Send(1, frameOf(r, "two"))
			r.Send(1, make([]byte, frame.VNetHeaderLen+3))
			r.Send(1, frameOf(r, "three"))
			flush(t, r, frame.OK, frame.Down, frame.OK, frame.Rejected, frame.OK)
			up.arrived("one", "two", "three")
		})
	}
}

// TestRefusedFramesHoldNoDevice: a device that has refused frames, because it is down, is
// deleted by Close like any other, and what becomes of later frames is theirs.
func TestRefusedFramesHoldNoDevice(t *testing.T) {
	for engine, start := range engines {
		t.Run(engine, func(t *testing.T) {
			ns := lab.NewNamespace(t)
			r, up := start(t), newTAP(t)
			add(t, r, 1, up)
			ns.Do(func() {
				down := mustCreate(t, ns, tap.Options{})
				ns.Run("ip", "link", "set", down.Name(), "down")
				add(t, r, 2, down)
				for range 3 {
					r.Send(2, frameOf(r, "lost"))
				}
				flush(t, r, frame.Down, frame.Down, frame.Down)
				for _, text := range []string{"one", "two", "three"} {
					r.Send(1, frameOf(r, text))
				}
				flush(t, r, frame.OK, frame.OK, frame.OK)
				if err := r.Remove(2); err != nil {
					t.Error(err)
				}
				if err := down.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := net.InterfaceByName(down.Name()); err == nil {
					t.Error("the link is there after Close")
				}
			})
			up.arrived("one", "two", "three")
		})
	}
}

// TestGoneWithItsNamespace moves a device away, as the switch does, and lets its
// new namespace end.
func TestGoneWithItsNamespace(t *testing.T) {
	t.Parallel()
	host, container := lab.NewNamespace(t), lab.NewNamespace(t)
	r := newReactor(t, testBatch)
	host.Do(func() {
		d := mustCreate(t, host, tap.Options{})
		host.Run("ip", "link", "set", d.Name(), "netns", container.Name())
		container.Run("ip", "link", "set", d.Name(), "name", "eth0")
		container.Run("ip", "link", "set", "eth0", "up")
		add(t, r, 0, d)
	})
	r.Send(0, frameOf(r, "after move and rename"))
	flush(t, r, frame.OK)
	container.Remove()
	waitUntilGone(t, r)
	r.Send(0, frameOf(r, "lost"))
	flush(t, r, frame.Gone)
	// It is reported until it is removed, so that no reader can miss it.
	waitFor(t, r, 0)
	if err := r.Remove(0); err != nil {
		t.Error(err)
	}
	silent(t, r)
}

// waitUntilGone reads from slot 0 whenever the reactor reports it, until it is gone.
func waitUntilGone(t *testing.T, r *Reactor) {
	t.Helper()
	bufs := buffers(testBatch)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		waitFor(t, r, 0)
		for status := frame.OK; status != frame.Again; {
			if _, status = r.Receive(0, bufs); status == frame.Gone {
				return
			}
		}
	}
	t.Fatal("the device did not say Gone")
}

// TestTCPTravelsAsSuperFrames lets a TCP stream run between two namespaces over
// two devices and a relay, and looks at what it is cut into.
func TestTCPTravelsAsSuperFrames(t *testing.T) {
	t.Parallel()
	const short, long = frame.VNetShortHeaderLen, frame.VNetHeaderLen
	for _, headers := range [][2]int{{short, short}, {short, long}, {long, short}, {long, long}} {
		t.Run(fmt.Sprint(headers), func(t *testing.T) {
			t.Parallel()
			tcpTravelsAsSuperFrames(t, headers)
		})
	}
}

func tcpTravelsAsSuperFrames(t *testing.T, headers [2]int) {
	t.Helper()
	const mtu, size = 1500, 4 << 20
	a, b := lab.NewNamespace(t), lab.NewNamespace(t)
	var da, db headed
	var listener net.Listener
	a.Do(func() {
		da = mustCreateHeaded(t, a, headers[0])
		a.Run("ip", "addr", "add", "10.9.0.1/24", "dev", da.Name())
	})
	b.Do(func() {
		db = mustCreateHeaded(t, b, headers[1])
		b.Run("ip", "addr", "add", "10.9.0.2/24", "dev", db.Name())
		var err error
		if listener, err = net.Listen("tcp", "10.9.0.2:0"); err != nil {
			t.Fatal(err)
		}
	})
	defer listener.Close()
	relay := startRelay(t, da, db)
	received := make(chan int64, 1)
	go func() { received <- countBytes(listener) }()
	a.Do(func() {
		c, err := net.DialTimeout("tcp", listener.Addr().String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	})
	if n := <-received; n != size {
		t.Errorf("%d bytes came through, want %d", n, size)
	}
	largest, h := relay.stop()
	super := h.GSOType() == frame.VNetGSOTCPv4 && h.GSOSize() > 0
	if largest <= mtu+frame.EthernetHeaderLen || !super {
		t.Errorf("the largest frame has %d bytes, type %d and segment size %d; "+
			"want a TCP super-frame beyond the MTU of %d", largest, h.GSOType(), h.GSOSize(), mtu)
	}
}

// countBytes accepts one connection and reads it to its end.
func countBytes(l net.Listener) int64 {
	c, err := l.Accept()
	if err != nil {
		return 0
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0
	}
	n, _ := io.Copy(io.Discard, c)
	return n
}

// relay passes frames between the endpoints in slots 0 and 1 until it is stopped.
type relay struct {
	t    *testing.T
	r    *Reactor
	quit chan struct{}
	done chan struct{}

	largest int // of the frames passed on, in bytes, without the virtio-net header
	header  [frame.VNetHeaderLen]byte
}

func startRelay(t *testing.T, a, b Endpoint) *relay {
	t.Helper()
	r := &relay{t: t, r: newReactor(t, 32), quit: make(chan struct{}), done: make(chan struct{})}
	add(t, r.r, 0, a)
	add(t, r.r, 1, b)
	go r.run()
	return r
}

// stop ends the relay, which Wake gets out of its Wait.
func (r *relay) stop() (largest int, header frame.VNet) {
	close(r.quit)
	r.r.Wake()
	<-r.done
	return r.largest, frame.VNet(r.header[:])
}

func (r *relay) run() {
	defer close(r.done)
	bufs, ready := buffers(32), make([]uint32, 2)
	for {
		n := r.r.Wait(ready, -1)
		for _, slot := range ready[:n] {
			r.pass(slot, bufs)
		}
		select {
		case <-r.quit:
			return
		default:
		}
	}
}

func (r *relay) pass(from uint32, bufs [][]byte) {
	for status := frame.OK; status == frame.OK; {
		var n int
		n, status = r.r.Receive(from, bufs)
		for _, b := range bufs[:n] {
			if size := len(b) - frame.VNetHeaderLen; size > r.largest {
				r.largest = size
				copy(r.header[:], b)
			}
			r.r.Send(1-from, b)
		}
		for i, status := range r.r.Flush() {
			if status != frame.OK {
				r.t.Errorf("the relay cannot pass on %d bytes: status %d", len(bufs[i]), status)
			}
		}
	}
}
