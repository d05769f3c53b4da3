package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vswitch/test/lab"
)

// separationChecks are about the walls between segments.
func separationChecks() []check {
	return []check{
		{"nothing crosses segments", "", checkSeparation},
		{"nothing crosses segments while ports come and go", "", checkSeparationInChange},
		{"nothing crosses segments during a restart", RestartKeeps, checkSeparationInRestart},
	}
}

func checkSeparation(l *topology) {
	m := newMatrix(l)
	m.round()
	m.round() // with what the first has taught the switch
}

// checkSeparationInChange goes on with rounds while others come and go: a segment
// with a port, and ports on one of the segments looked at.
func checkSeparationInChange(l *topology) {
	m := newMatrix(l)
	visitors := []string{lab.NewNamespace(l).Name(), lab.NewNamespace(l).Name()}
	const turns = 5
	done := make(chan error, 1)
	go func() { done <- visit(l.sw, visitors, turns) }()
	for {
		m.round()
		select {
		case err := <-done:
			l.must(err)
			m.round()
			l.remark += fmt.Sprintf(", %d segments and %d ports came and went", turns, 2*turns)
			return
		default:
		}
	}
}

// visit adds and deletes a segment and two ports, again and again.
func visit(sw Adapter, namespaces []string, turns int) error {
	for i := range turns {
		segment, guest, neighbour := fmt.Sprintf("guest%d", i), fmt.Sprintf("guest%d", i), fmt.Sprintf("neighbour%d", i)
		if err := sw.AddSegment(segment); err != nil {
			return err
		}
		_, guestErr := sw.AddPort(PortSpec{Name: guest, Segment: segment, NetNS: namespaces[0]})
		_, neighbourErr := sw.AddPort(PortSpec{Name: neighbour, Segment: "left", NetNS: namespaces[1]})
		if err := errors.Join(guestErr, neighbourErr); err != nil {
			return err
		}
		if err := errors.Join(sw.DelPort(guest), sw.DelPort(neighbour), sw.DelSegment(segment)); err != nil {
			return err
		}
	}
	return nil
}

// checkSeparationInRestart goes on sending while the switch ends and comes back.
func checkSeparationInRestart(l *topology) {
	m := newMatrix(l)
	m.round()
	total := 0
	for range 2 {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan int, 1)
		go func() { done <- m.barrage(ctx) }() // the stations are its own until it is done
		err := l.sw.Restart()
		cancel()
		volleys := <-done
		l.must(err)
		for _, s := range m.stations {
			l.noneLost(s)
		}
		for _, s := range m.stations {
			s.Attachment, err = l.sw.Port(s.spec.Name)
			l.must(err)
		}
		l.join(m.stations...)
		m.settleAll()
		m.wantNotHeardAbroad()
		m.load()
		m.round()
		total += volleys
	}
	l.remark += fmt.Sprintf(", and %d volleys during two restarts", total)
}

// pause is between volleys. It bounds what sockets have to hold, and how often an
// address seems to move, which a switch may take for a loop.
const pause = 50 * time.Millisecond

// barrage sends all shots again and again until ctx ends, whether they leave or
// not, and says how often.
func (m *matrix) barrage(ctx context.Context) (volleys int) {
	again := time.NewTicker(pause)
	defer again.Stop()
	for {
		for _, s := range m.shots {
			_ = s.from.send(s.frame) // there may be no interface now
		}
		volleys++
		for _, s := range m.stations {
			_ = s.drain() // what was lost shows in the socket's statistics
		}
		select {
		case <-ctx.Done():
			return volleys
		case <-again.C:
		}
	}
}
