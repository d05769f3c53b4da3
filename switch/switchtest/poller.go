package switchtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
)

// Poller is an in-memory [vswitch.Poller] over *Device.
type Poller struct {
	devices map[uint32]*Device

	mu      sync.Mutex
	pending []uint32
	wake    chan struct{}

	sends  []send
	status []frame.Status
}

// send is a frame queued for the device of a slot.
type send struct {
	slot  uint32
	frame []byte
}

// NewPoller makes a poller; give it to [vswitch.Options].
func NewPoller() (vswitch.Poller, error) {
	return &Poller{devices: map[uint32]*Device{}, wake: make(chan struct{}, 1)}, nil
}

// errUnknownSlot says that the poller was not told of a device in that slot.
var errUnknownSlot = errors.New("no device has that slot")

// Buffers implements [vswitch.Poller].
func (*Poller) Buffers(n, size int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	return bufs
}

// Add implements [vswitch.Poller].
func (p *Poller) Add(slot uint32, dev vswitch.Device, watch bool) error {
	d, ok := dev.(*Device)
	if !ok || p.devices[slot] != nil {
		return fmt.Errorf("add a %T as slot %d: want a *switchtest.Device and a free slot", dev, slot)
	}
	p.devices[slot] = d
	if !watch {
		return nil
	}
	d.mu.Lock()
	d.notify = func() { p.report(slot) }
	waiting := len(d.in) > 0 || d.gone
	d.mu.Unlock()
	if waiting {
		d.wake()
	}
	return nil
}

// Yield implements [vswitch.Poller].
func (p *Poller) Yield() {}

// report has Wait return slot.
func (p *Poller) report(slot uint32) {
	p.mu.Lock()
	if !slices.Contains(p.pending, slot) {
		p.pending = append(p.pending, slot)
	}
	p.mu.Unlock()
	p.Wake()
}

// Unwatch implements [vswitch.Poller].
func (p *Poller) Unwatch(slot uint32) error {
	d := p.devices[slot]
	if d == nil {
		return errUnknownSlot
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notify = nil
	return nil
}

// Remove implements [vswitch.Poller].
func (p *Poller) Remove(slot uint32) error {
	if p.devices[slot] == nil {
		return errUnknownSlot
	}
	delete(p.devices, slot)
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
func (p *Poller) Receive(slot uint32, bufs [][]byte) (int, frame.Status) {
	dev := p.devices[slot]
	if dev == nil {
		return 0, frame.Gone
	}
	read := 0
	for range bufs {
		n, s := dev.receive(bufs[read][:cap(bufs[read])])
		switch s {
		case frame.OK:
			bufs[read] = bufs[read][:n]
			read++
		case frame.Rejected:
		default:
			return read, s
		}
	}
	return read, frame.OK
}

// Send implements [vswitch.Poller].
func (p *Poller) Send(slot uint32, buf []byte) {
	p.sends = append(p.sends, send{slot, buf})
}

// Flush implements [vswitch.Poller].
func (p *Poller) Flush() []frame.Status {
	p.status = p.status[:0]
	for _, s := range p.sends {
		status := frame.Gone
		if d := p.devices[s.slot]; d != nil {
			status = d.transmit(s.frame)
		}
		p.status = append(p.status, status)
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
