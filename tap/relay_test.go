package tap

import (
	"io"
	"net"
	"testing"
	"time"

	"vswitch/frame"
)

// relay passes frames between two devices until it is stopped.
type relay struct {
	t       *testing.T
	devices [2]*Device
	poller  *Poller
	quit    chan struct{}
	done    chan struct{}

	largest int // of the frames passed on, in bytes, with its header
	header  [frame.VNetHeaderLen]byte
}

func startRelay(t *testing.T, a, b *Device) *relay {
	t.Helper()
	r := &relay{t: t, devices: [2]*Device{a, b}, poller: newPoller(t, a, b), quit: make(chan struct{}), done: make(chan struct{})}
	go r.run()
	return r
}

// stop ends the relay, which Wake gets out of its Wait.
func (r *relay) stop() (largest int, header frame.VNet) {
	close(r.quit)
	r.poller.Wake()
	<-r.done
	return r.largest, frame.VNet(r.header[:])
}

func (r *relay) run() {
	defer close(r.done)
	buf, ready := make([]byte, BufferLen), make([]uint32, 2)
	for {
		n := r.poller.Wait(ready, -1)
		for _, token := range ready[:n] {
			r.pass(r.devices[token], r.devices[1-token], buf)
		}
		select {
		case <-r.quit:
			return
		default:
		}
	}
}

func (r *relay) pass(from, to *Device, buf []byte) {
	for {
		n, s := from.Receive(buf)
		if s != frame.OK {
			return
		}
		if eth := buf[frame.VNetHeaderLen:n]; len(eth) > r.largest {
			r.largest = len(eth)
			copy(r.header[:], buf)
		}
		if s := to.Transmit(buf[:n]); s != frame.OK {
			r.t.Errorf("the relay cannot pass on %d bytes: status %d", n, s)
		}
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
