// Package switchtest gives in-memory devices and frames for tests of the switch
// without a kernel. A test sends frames into one device and looks at what came
// out of the others; inside a [testing/synctest] bubble, synctest.Wait is the
// moment when the switch has come to rest.
package switchtest

import (
	"slices"
	"sync"

	"vswitch/internal/frame"
)

// Device is an in-memory device. The zero value is ready.
type Device struct {
	// What it takes; set before it is attached.
	Plain bool // complete frames only
	Short bool // all but tunnels' super-frames

	mu     sync.Mutex
	in     [][]byte // waiting to be read by the switch
	out    [][]byte // written by the switch
	calls  int
	status frame.Status
	fails  bool // each read loses a frame
	gone   bool
	notify func()
	relay  func(raw []byte) // gets what the switch sends here
}

// HeaderLen implements [vswitch.Headed].
func (d *Device) HeaderLen() int {
	switch {
	case d.Plain:
		return 0
	case d.Short:
		return frame.VNetShortHeaderLen
	}
	return frame.VNetHeaderLen
}

// Bridge sends whatever the switch sends here back through other, and the other
// way round, as a container does that bridges two of its interfaces.
func (d *Device) Bridge(other *Device) {
	d.setRelay(other.SendRaw)
	other.setRelay(d.SendRaw)
}

// Relay calls f with a copy of each frame that the switch sends here, without its virtio-net
// header, as a container does that passes frames on.
func (d *Device) Relay(f func(eth []byte)) {
	d.setRelay(func(raw []byte) { f(slices.Clone(raw[frame.VNetHeaderLen:])) })
}

func (d *Device) setRelay(f func(raw []byte)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.relay = f
}

// Send queues a frame, without virtio-net header, for the switch to read.
func (d *Device) Send(eth []byte) {
	d.SendRaw(Raw(eth))
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

// Refuse makes every frame fail with s; frame.OK ends it.
func (d *Device) Refuse(s frame.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = s
}

// FailReads makes every read lose a frame, of which there is always one more; false ends it.
func (d *Device) FailReads(fails bool) {
	d.mu.Lock()
	d.fails = fails
	d.mu.Unlock()
	d.wake()
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

// receive reads one frame into buf, as [vswitch.Poller] Receive does of several.
func (d *Device) receive(buf []byte) (int, frame.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.gone {
		return 0, frame.Gone
	}
	if d.fails {
		return 0, frame.Rejected
	}
	if len(d.in) == 0 {
		return 0, frame.Again
	}
	n := copy(buf, d.in[0])
	d.in = d.in[1:]
	return n, frame.OK
}

// transmit takes one frame of the switch.
func (d *Device) transmit(buf []byte) frame.Status {
	status, relay := d.take(buf)
	if status == frame.OK && relay != nil {
		relay(buf) // without the lock: another device's may be held for a frame to us
	}
	return status
}

// take keeps a frame and returns who is to have it too.
func (d *Device) take(buf []byte) (frame.Status, func([]byte)) {
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
	return frame.OK, d.relay
}
