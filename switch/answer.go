package vswitch

import (
	"vswitch/internal/frame"
	"vswitch/switch/fdb"
)

// Answer sends a frame from a responder's port, as if the responder had answered
// one just now: to the host that the frame's destination names.
func (s *Switch) Answer(gw *Port, eth []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || gw.responder == nil || !s.holds(gw) {
		return
	}
	w := s.workers[gw.slot%uint32(len(s.workers))]
	w.do(func() {
		w.from = nil
		w.answer(gw, w.own(eth))
		w.send()
		w.flush(gw)
	})
}

// Announce sends a frame from p's host to the other ports of its segment and learns its
// source address, as if p's device had sent it; it is not counted among the frames read. One
// from an address that is not p's any more is not sent: p has got another since it was made.
func (s *Switch) Announce(p *Port, eth []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || p.worker == nil || !s.holds(p) || len(eth) < frame.EthernetHeaderLen {
		return
	}
	w, src := p.worker, frame.Ethernet(eth).Src()
	if p.own != 0 && p.own != src.Uint64() {
		return
	}
	w.do(func() {
		w.from = nil
		b := w.own(eth)
		if src.IsUnicast() {
			w.table.Learn(p.key(src.Uint64()), p.place(), w.now.Load(), fdb.NoLimit)
		}
		for _, out := range *p.segment.ports.Load() {
			if apart := p.isolated() && out.isolated(); out != p && !apart {
				w.transmit(out, b)
			}
		}
		w.parsed.Reset(b[frame.VNetHeaderLen:])
		w.floodToHost(p, b)
		w.send()
		w.flush(p)
	})
}

// own puts a frame of the switch's own into the worker's first buffer, behind a virtio-net
// header that asks for nothing.
func (w *worker) own(eth []byte) []byte {
	w.observer = w.observerRef.Load()
	buf := w.frames[0][:bufferSize]
	clear(buf[:frame.VNetHeaderLen])
	return buf[:frame.VNetHeaderLen+copy(buf[frame.VNetHeaderLen:], eth)]
}
