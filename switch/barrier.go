package vswitch

// Barrier returns once every worker has come between two bursts: that it does
// shows that they live.
func (s *Switch) Barrier() { s.barrier() }
