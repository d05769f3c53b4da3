// Package switchtest gives in-memory devices and frames for tests of the switch
// without a kernel. A test sends frames into one device and looks at what came
// out of the others; inside a [testing/synctest] bubble, synctest.Wait is the
// moment when the switch has come to rest.
package switchtest

import (
	"slices"
	"sync"
	"time"

	vswitch "vswitch/switch"

	"vswitch/frame"
)

// Device is an in-memory device. The zero value is ready.
type Device struct {
	mu     sync.Mutex
	in     [][]byte // waiting to be read by the switch
	out    [][]byte // written by the switch
	calls  int
	status frame.Status
	gone   bool
	notify func()
	peer   *Device // gets what the switch sends here
}

// Bridge sends whatever the switch sends here back through other, and the other
// way round, as a container does that bridges two of its interfaces.
func (d *Device) Bridge(other *Device) {
	d.setPeer(other)
	other.setPeer(d)
}

func (d *Device) setPeer(other *Device) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peer = other
}

// Send queues a frame, without virtio-net header, for the switch to read.
func (d *Device) Send(eth []byte) {
	d.SendRaw(append(make([]byte, frame.VNetHeaderLen), eth...))
}

// SendRaw queues bytes as they are, virtio-net header included.
func (d *Device) SendRaw(b []byte) {
	d.mu.Lock()
	d.in = append(d.in, slices.Clone(b))
	d.mu.Unlock()
	d.wake()
}

// Break makes the device say Gone from now on.
func (d *Device) Break() {
	d.mu.Lock()
	d.gone = true
	d.mu.Unlock()
	d.wake()
}

// Refuse makes every Transmit fail with s; frame.OK ends it.
func (d *Device) Refuse(s frame.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = s
}

// Frames returns, and forgets, the frames that the switch sent here, without
// their virtio-net headers.
func (d *Device) Frames() [][]byte {
	raw := d.RawFrames()
	for i := range raw {
		raw[i] = raw[i][frame.VNetHeaderLen:]
	}
	return raw
}

// RawFrames is Frames with the virtio-net headers.
func (d *Device) RawFrames() [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.out
	d.out = nil
	return out
}

// Waiting is how many frames the switch has not read yet.
func (d *Device) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.in)
}

// Calls is how often the switch has called the device.
func (d *Device) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

func (d *Device) wake() {
	d.mu.Lock()
	notify := d.notify
	d.mu.Unlock()
	if notify != nil {
		notify()
	}
}

// Receive implements [vswitch.Device].
func (d *Device) Receive(buf []byte) (int, frame.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.gone {
		return 0, frame.Gone
	}
	if len(d.in) == 0 {
		return 0, frame.Again
	}
	n := copy(buf, d.in[0])
	d.in = d.in[1:]
	return n, frame.OK
}

// Transmit implements [vswitch.Device].
func (d *Device) Transmit(buf []byte) frame.Status {
	status, peer := d.take(buf)
	if status == frame.OK && peer != nil {
		peer.SendRaw(buf) // without the lock: the peer's may be held for a frame to us
	}
	return status
}

// take keeps a frame and says who is to have it too.
func (d *Device) take(buf []byte) (frame.Status, *Device) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.gone {
		return frame.Gone, nil
	}
	if d.status != frame.OK {
		return d.status, nil
	}
	d.out = append(d.out, slices.Clone(buf))
	return frame.OK, d.peer
}

// Poller is an in-memory [vswitch.Poller] over *Device.
type Poller struct {
	mu      sync.Mutex
	pending []uint32
	wake    chan struct{}

	sends  []send
	status []frame.Status
}

// send is a frame queued for a device.
type send struct {
	device vswitch.Device
	frame  []byte
}

// NewPoller makes a poller; give it to [vswitch.Options].
func NewPoller() (vswitch.Poller, error) {
	return &Poller{wake: make(chan struct{}, 1)}, nil
}

// Add implements [vswitch.Poller].
func (p *Poller) Add(dev vswitch.Device, token uint32) error {
	d := dev.(*Device)
	d.mu.Lock()
	d.notify = func() {
		p.mu.Lock()
		if !slices.Contains(p.pending, token) {
			p.pending = append(p.pending, token)
		}
		p.mu.Unlock()
		p.Wake()
	}
	waiting := len(d.in) > 0 || d.gone
	d.mu.Unlock()
	if waiting {
		d.wake()
	}
	return nil
}

// Remove implements [vswitch.Poller].
func (p *Poller) Remove(dev vswitch.Device) error {
	d := dev.(*Device)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notify = nil
	return nil
}

// Wait implements [vswitch.Poller].
func (p *Poller) Wait(ready []uint32, timeout time.Duration) int {
	switch {
	case timeout < 0:
		<-p.wake
	case timeout > 0:
		select {
		case <-p.wake:
		case <-time.After(timeout):
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := copy(ready, p.pending)
	p.pending = p.pending[:copy(p.pending, p.pending[n:])]
	if len(p.pending) > 0 {
		p.Wake() // for those that ready had no room for
	}
	return n
}

// Receive implements [vswitch.Poller].
func (p *Poller) Receive(dev vswitch.Device, bufs [][]byte) (int, frame.Status) {
	for i, buf := range bufs {
		n, s := dev.Receive(buf[:cap(buf)])
		if s != frame.OK {
			return i, s
		}
		bufs[i] = buf[:n]
	}
	return len(bufs), frame.OK
}

// Send implements [vswitch.Poller].
func (p *Poller) Send(dev vswitch.Device, buf []byte) {
	p.sends = append(p.sends, send{dev, buf})
}

// Flush implements [vswitch.Poller].
func (p *Poller) Flush() []frame.Status {
	p.status = p.status[:0]
	for _, s := range p.sends {
		p.status = append(p.status, s.device.Transmit(s.frame))
	}
	p.sends = p.sends[:0]
	return p.status
}

// Wake implements [vswitch.Poller].
func (p *Poller) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Close implements [vswitch.Poller].
func (p *Poller) Close() error { return nil }
