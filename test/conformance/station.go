package conformance

import (
	"fmt"
	"os"
	"time"

	"vswitch/test/lab"
)

// station is a container at a port of the switch: a network namespace with a packet
// socket in it. Its own network stack keeps quiet. It belongs to one goroutine at a
// time.
type station struct {
	Attachment

	spec   PortSpec
	ns     *lab.Namespace
	socket *socket
	deaf   bool // markers do not reach it, for the check has cut it off

	heard  map[mark]*heard
	order  []mark   // as they came
	strays [][]byte // frames without a mark
}

// heard is what came of a frame with a mark.
type heard struct {
	frame  []byte // the first copy
	copies int
}

func (s *station) String() string { return s.spec.Name }

// send sends frames one after another.
func (s *station) send(frames ...[]byte) error {
	if err := s.socket.send(s.IfName, frames...); err != nil {
		return fmt.Errorf("station %s: %w", s, err)
	}
	return nil
}

// hear notes frames until the one with mark m, and says whether that came before
// the deadline.
func (s *station) hear(m mark, deadline time.Time) (bool, error) {
	for {
		b, err := s.socket.receive(deadline)
		if err != nil || b == nil {
			return false, err
		}
		if got, ok := s.note(b); ok && got == m {
			return true, nil
		}
	}
}

// drain notes all frames that are here already.
func (s *station) drain() error {
	_, err := s.hear(0, time.Time{})
	return err
}

func (s *station) note(b []byte) (mark, bool) {
	m, ok := findMark(b)
	if !ok {
		s.strays = append(s.strays, b)
		return 0, false
	}
	s.order = append(s.order, m)
	if h := s.heard[m]; h != nil {
		h.copies++
	} else {
		s.heard[m] = &heard{frame: b, copies: 1}
	}
	return m, true
}

// forget clears what was heard.
func (s *station) forget() {
	clear(s.heard)
	s.order, s.strays = nil, nil
}

// remove ends the station's namespace, which its socket would keep alive.
func (s *station) remove() {
	s.socket.close()
	s.ns.Remove()
}

// newStation makes a container that is not attached yet.
func newStation(l *topology, spec PortSpec) *station {
	l.Helper()
	s := &station{spec: spec, ns: lab.NewNamespace(l), heard: make(map[mark]*heard)}
	s.spec.NetNS = s.ns.Name()
	var err error
	s.ns.Do(func() {
		// Without IPv6 there are no multicasts of its own. What /proc/sys/net shows
		// is the opening thread's namespace.
		if err = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err == nil {
			s.socket, err = openSocket()
		}
	})
	if err != nil {
		l.Fatalf("make station %s: %v", s, err)
	}
	l.Cleanup(s.socket.close)
	return s
}
