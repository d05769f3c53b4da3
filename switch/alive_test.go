package vswitch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
)

// slowPoller writes what is queued only when the test lets it.
type slowPoller struct {
	vswitch.Poller
	slow *atomic.Bool
	gate chan struct{}
}

func (p *slowPoller) Flush() []frame.Status {
	if p.slow.Load() {
		<-p.gate
	}
	return p.Poller.Flush()
}

// inSlowLab runs a test with a switch of 100 ports whose first has flooded a frame, which the
// worker can write to a few of the others each time that the test sends to the gate.
func inSlowLab(t *testing.T, f func(l *lab, p *port, gate chan<- struct{})) {
	t.Helper()
	var slow atomic.Bool
	var gate chan struct{}
	newPoller := func() (vswitch.Poller, error) {
		gate = make(chan struct{})
		p, err := switchtest.NewPoller()
		return &slowPoller{p, &slow, gate}, err
	}
	inLab(t, vswitch.Options{NewPoller: newPoller}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 100)[0]
		slow.Store(true)
		p.send(frame.Broadcast, "to all")
		defer func() {
			slow.Store(false)
			close(gate)
		}()
		f(l, p, gate)
	})
}

// alive asks for a sign of life and waits a minute for it.
func (l *lab) alive() error {
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	return l.sw.Alive(ctx)
}

func TestIdleWorkersAreAlive(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 3}, func(l *lab) {
		if err := l.alive(); err != nil {
			l.t.Error(err)
		}
		l.sw.Close()
		if err := l.alive(); err != nil {
			l.t.Errorf("a switch that is closed: %v, want nil", err)
		}
	})
}

// A worker that carries one burst for longer than anybody waits is busy, not dead, also while a
// change waits for it.
func TestBusyWorkerIsAlive(t *testing.T) {
	inSlowLab(t, func(l *lab, p *port, gate chan<- struct{}) {
		go l.sw.Detach(p.Port)
		synctest.Wait()
		answered := make(chan error, 1)
		go func() { answered <- l.alive() }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(answered) > 0 {
			l.t.Fatal("a worker that does nothing is said to be alive")
		}
		gate <- struct{}{}
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case err := <-answered:
			if err != nil {
				l.t.Error(err)
			}
		default:
			l.t.Error("a worker that has written frames is not said to be alive")
		}
	})
}

func TestStuckWorkerIsNotAlive(t *testing.T) {
	inSlowLab(t, func(l *lab, _ *port, _ chan<- struct{}) {
		if err := l.alive(); !errors.Is(err, context.DeadlineExceeded) {
			l.t.Errorf("a worker that writes nothing for a minute: %v, want %v", err, context.DeadlineExceeded)
		}
	})
}
