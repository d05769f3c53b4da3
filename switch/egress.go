package vswitch

import (
	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// sending is a frame queued at the poller: virtio-net header and frame.
type sending struct {
	out *Port
	b   []byte
}

// transmit queues a copy of a frame for out's device, whose verdict is counted elsewhere. It
// must stay as it is until send.
func (w *worker) transmit(out *Port, b []byte) { w.emit(out, b, 0) }

// emit is transmit, and forward with forwarded 1.
func (w *worker) emit(out *Port, b []byte, forwarded uint64) {
	w.countForwarded(out, b, forwarded)
	if state := out.state.Load(); state&stateEgress != 0 && !w.egressReady(out, state, b) {
		return
	}
	w.enqueue(out, b)
}

// enqueue queues a frame for out's device. It must stay as it is until send.
func (w *worker) enqueue(out *Port, b []byte) {
	if len(w.queue) == BatchFrames {
		w.send()
	}
	w.queue = append(w.queue, sending{out, b})
	w.poller.Send(out.slot, b)
}

// deliver is transmit of a frame that has waited for out's rate.
func (w *worker) deliver(out *Port, b []byte) {
	state := out.state.Load() &^ stateMetered
	if state&stateEgress != 0 && !w.egressReady(out, state, b) {
		return
	}
	w.enqueue(out, b)
}

// egressReady reports whether a frame may be queued for out as it is, which is in a state that
// asks for a look. If not, it was sent in another form, waits or was dropped.
func (w *worker) egressReady(out *Port, state uint32, b []byte) bool {
	switch {
	case state&stateClosed != 0:
		w.undelivered(out, closed(state), b)
		return false
	case state&stateMetered != 0 && !w.shapeEgress(out, b):
		return false
	case state&statePlain != 0 && !frame.VNet(b).Plain(),
		state&stateShort != 0 && frame.VNet(b).Tunnel():
		w.transmitPlain(out, b)
		return false
	}
	return true
}

// closed is why a port in that state takes no frame from others.
func closed(state uint32) drop.Reason {
	switch {
	case state&stateDown != 0:
		return drop.LinkDown
	case state&stateErrDisabled != 0:
		return drop.HeldDown
	}
	return drop.PortLost
}

// send hands what is queued to the devices.
func (w *worker) send() {
	if len(w.queue) == 0 {
		return
	}
	for i, status := range w.poller.Flush() {
		w.count(w.queue[i].out, status, w.queue[i].b)
	}
	clear(w.queue)
	w.queue, w.copies = w.queue[:0], w.copies[:0]
}

// count notes what became of a frame that was meant for out.
func (w *worker) count(out *Port, status frame.Status, b []byte) {
	switch status {
	case frame.OK:
		w.sent(out, len(b))
	case frame.Again:
		w.undelivered(out, drop.QueueFull, b)
	case frame.Down:
		w.undelivered(out, drop.LinkDown, b)
	case frame.Gone:
		w.undelivered(out, drop.DeviceGone, b)
	default:
		w.undelivered(out, drop.TxRejected, b)
	}
}

// transmitPlain sends to a device without the offloads that the frame asks for: its checksum is
// completed, or it is cut into segments, in copies, because a flood sends the same bytes to
// others.
func (w *worker) transmitPlain(out *Port, b []byte) {
	h, eth, _ := frame.ParseVNet(b)
	if h.GSOType() == frame.VNetGSONone {
		c := w.copyRoom(len(b))
		copy(c, b)
		h, eth, _ = frame.ParseVNet(c)
		if !frame.CompleteChecksum(h, eth) {
			w.undelivered(out, drop.TxRejected, b)
			return
		}
		h.Clear()
		w.enqueue(out, c)
		return
	}
	segments, ok := frame.NewSegmenter(h, eth)
	if !ok {
		w.undelivered(out, drop.TxRejected, b)
		return
	}
	for segments.Len() > 0 {
		w.enqueue(out, w.nextSegment(&segments))
	}
}

// nextSegment makes the next frame of a super-frame that has one more.
func (w *worker) nextSegment(segments *frame.Segmenter) []byte {
	c := w.copyRoom(frame.VNetHeaderLen + segments.Len())
	clear(c[:frame.VNetHeaderLen])
	segments.Next(c[frame.VNetHeaderLen:])
	return c
}

// copyRoom returns n bytes for a frame that is to be queued, of which there are bufferSize at
// most. What is queued is sent before its room is used again.
func (w *worker) copyRoom(n int) []byte {
	if len(w.copies)+n > cap(w.copies) || len(w.queue) == BatchFrames {
		w.send()
	}
	start := len(w.copies)
	w.copies = w.copies[:start+n]
	return w.copies[start:]
}
