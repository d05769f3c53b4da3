package vswitch

// Barrier returns once every worker has come between two bursts: that it does
// shows that they live. Of a switch that is closed it returns at once.
func (s *Switch) Barrier() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.barrier()
	}
}
