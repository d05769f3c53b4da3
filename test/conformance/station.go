package conformance

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/test/lab"
)

// station is a container at a port of the switch: a network namespace with a packet
// socket in it. Its own network stack keeps quiet. It belongs to one goroutine at a
// time.
type station struct {
	Attachment

	spec   PortSpec
	ns     *lab.Namespace
	socket *lab.Socket
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
	if err := s.socket.SendOn(s.IfName, frames...); err != nil {
		return fmt.Errorf("station %s: %w", s, err)
	}
	return nil
}

// hear notes frames until the one with mark m, and says whether that came before
// the deadline.
func (s *station) hear(m mark, deadline time.Time) (bool, error) {
	for {
		f, came, err := s.socket.Receive(deadline)
		if err != nil || !came {
			return false, err
		}
		if got, ok := s.note(f.Bytes); ok && got == m {
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
	s.socket.Close()
	s.ns.Remove()
}

// newStation makes a container that is not attached yet.
func newStation(l *topology, spec PortSpec) *station {
	l.Helper()
	s := &station{spec: spec, ns: lab.NewQuietNamespace(l), heard: make(map[mark]*heard)}
	s.spec.NetNS = s.ns.Name()
	var err error
	s.socket, err = lab.OpenSocket(lab.SocketConfig{Namespace: s.ns.Name(), EtherType: unix.ETH_P_ALL})
	if err != nil {
		l.Fatalf("make station %s: %v", s, err)
	}
	l.Cleanup(s.socket.Close)
	return s
}
