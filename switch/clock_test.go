package vswitch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// TestBurstAfterAWaitIsJudgedByItsOwnTime: while a worker waits for a throttled
// port, the buckets of the others fill up as time goes.
func TestBurstAfterAWaitIsJudgedByItsOwnTime(t *testing.T) {
	const (
		flood = 60000 // more than a port may have refused at once, so that it is throttled
		burst = 10
		size  = 1000 // bytes a frame
		// What brings a burst back: all pauses together are shorter than the shortest
		// wait for a throttled port, which is that of one frame, 50 µs.
		refill = time.Microsecond
		rate   = int64(burst * size * 8 * time.Second / refill)
	)
	inLab(t, vswitch.Options{Workers: 1}, func(l *lab) {
		seg := l.segment()
		throttled := l.portWith(
			seg,
			1,
			limited(policy.Policy{Security: policy.SecurityMACOnly, MAC: switchtest.MAC(1)}),
		)
		bounded := l.portWith(
			seg,
			2,
			limited(policy.Policy{RateIn: policy.Rate{BitsPerSecond: rate, BurstBytes: burst * size}}),
		)
		peer := l.port(seg, 3)
		peer.send(bounded.mac, "I am here")
		for range flood {
			throttled.Send(switchtest.Frame(peer.mac, switchtest.MAC(9), "spoofed"))
		}
		synctest.Wait()
		send := func(what string) {
			t.Helper()
			for range burst {
				bounded.Send(
					switchtest.Frame(peer.mac, bounded.mac, string(make([]byte, size-frame.EthernetHeaderLen))),
				)
			}
			synctest.Wait()
			if n := len(peer.Frames()); n != burst {
				t.Errorf("%d frames of a burst %s passed, want all %d", n, what, burst)
			}
		}
		waiting := throttled.Waiting()
		for range 3 {
			time.Sleep(5 * refill)
			peer.send(bounded.mac, "the worker reads its clock")
			send("while the clock is fresh")
			time.Sleep(5 * refill)
			send("after a wait")
		}
		if waiting == 0 || throttled.Waiting() != waiting {
			t.Errorf(
				"%d frames of the throttled port waited, and %d do now: the wait has ended for them",
				waiting,
				throttled.Waiting(),
			)
		}
		dropped(t, bounded.Port, drop.RateLimitIn, 0)
		balanced(t, bounded.Port)
	})
}
