package vswitch

import "vswitch/frame"

// Answer sends a frame from a responder's port, as if the responder had answered
// one just now: to the station that the frame's destination names.
func (s *Switch) Answer(gw *Port, eth []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || gw.responder == nil || !s.holds(gw) {
		return
	}
	w := s.workers[gw.slot%uint32(len(s.workers))]
	w.do(func() {
		buf := w.frames[0][:bufferSize]
		clear(buf[:frame.VNetHeaderLen])
		w.answer(gw, buf[:frame.VNetHeaderLen+copy(buf[frame.VNetHeaderLen:], eth)])
		w.send()
		w.flush(gw)
	})
}
