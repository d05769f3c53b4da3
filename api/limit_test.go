package api

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
)

// endless hands out a new connection at each call.
type endless struct{ net.Listener }

func (endless) Accept() (net.Conn, error) { c, _ := net.Pipe(); return c, nil }
func (endless) Close() error              { return nil }

func TestLimitListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimitListener(endless{}, 2)
		accepted := make(chan net.Conn)
		var end error
		go func() {
			defer close(accepted)
			for {
				c, err := l.Accept()
				if err != nil {
					end = err
					return
				}
				accepted <- c
			}
		}()
		first, second := <-accepted, <-accepted
		third := func() bool {
			synctest.Wait()
			select {
			case <-accepted:
				return true
			default:
				return false
			}
		}
		if third() {
			t.Error("a third connection came in while two were open")
		}
		first.Close()
		first.Close() // gives one slot back, not two
		if !third() {
			t.Error("no third connection came in after one was closed")
		}
		if third() {
			t.Error("a fourth connection came in while two were open")
		}
		l.Close()
		l.Close()
		if _, open := <-accepted; open || !errors.Is(end, net.ErrClosed) {
			t.Errorf("Close did not end Accept: %v", end)
		}
		second.Close()
	})
}
