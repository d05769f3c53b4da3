package vswitch_test

import (
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
)

// TestHeldSwitchBeginsWithAllPorts: what the first port has sent before the last one
// was added finds it.
func TestHeldSwitchBeginsWithAllPorts(t *testing.T) {
	inLab(t, vswitch.Options{Held: true}, func(l *lab) {
		seg := l.segment()
		first := l.port(seg, 1)
		first.send(frame.Broadcast, "early")
		last := l.port(seg, 2)
		synctest.Wait()
		expect(t, last)
		l.sw.Release()
		synctest.Wait()
		expect(t, last, "early")
		first.send(last.mac, "later")
		expect(t, last, "later")
	})
}
