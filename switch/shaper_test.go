package vswitch_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// testRate lets ten frames of testSize pass at once, and one each 10 ms.
var testRate = policy.Rate{BitsPerSecond: 800_000, BurstBytes: 10_000}

const (
	testSize = 1000
	atOnce   = 11 // the eleventh comes when nothing is left, and before anything is owed
	mayWait  = 16 // in 16 KiB
)

// rated is one direction of a rate: the ports between which frames go, and where and why those
// beyond it are dropped.
type rated struct {
	from, to *port
	at       *port
	reason   drop.Reason
}

// send sends n frames from one port to the other, numbered from first on.
func (r *rated) send(first, n int) {
	text := make([]byte, testSize-frame.EthernetHeaderLen)
	for i := range n {
		clear(text)
		copy(text, fmt.Sprint(first+i))
		r.from.Send(switchtest.Frame(r.to.mac, r.from.mac, string(text)))
	}
	synctest.Wait()
}

// arrived checks that frames arrive in order, the next being the one with this number, and
// returns how many do.
func (r *rated) arrived(t testing.TB, first int) int {
	t.Helper()
	all := r.to.Frames()
	for i, f := range all {
		if got, want := switchtest.Text(f), fmt.Sprint(first+i); got != want {
			t.Fatalf("frame %q arrives, want %q", got, want)
		}
	}
	return len(all)
}

// settled checks that each frame was delivered or dropped for the rate.
func (r *rated) settled(t testing.TB, sent, arrived int) {
	t.Helper()
	dropped(t, r.at.Port, r.reason, uint64(sent-arrived))
	balanced(t, r.from.Port)
	in, out := r.from.Counters(), r.to.Counters()
	if in.Forwarded != out.TxFrames+out.Drops[drop.RateLimitOut] || out.TxFrames != uint64(arrived) {
		t.Errorf("%d frames were forwarded, %d sent and %d dropped on the way, and %d arrived",
			in.Forwarded, out.TxFrames, out.Drops[drop.RateLimitOut], arrived)
	}
}

// inBoth runs a test with a rate on what a port sends, and again with one on what it is sent.
func inBoth(t *testing.T, rate policy.Rate, f func(l *lab, r *rated)) {
	for name, reason := range map[string]drop.Reason{
		"in": drop.RateLimitIn, "out": drop.RateLimitOut,
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, vswitch.Options{Workers: 2}, func(l *lab) {
				seg := l.segment()
				r := &rated{reason: reason}
				if reason == drop.RateLimitIn {
					r.from = l.portWith(seg, 1, limited(policy.Policy{RateIn: rate}))
					r.to = l.port(seg, 2)
					r.at = r.from
				} else {
					r.from = l.port(seg, 1)
					r.to = l.portWith(seg, 2, limited(policy.Policy{RateOut: rate}))
					r.at = r.to
				}
				r.to.send(frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, "")
				f(l, r)
			})
		})
	}
}

// TestRateHasFramesWait for their turn, in order and without a loss as long as they fit.
func TestRateHasFramesWait(t *testing.T) {
	inBoth(t, testRate, func(l *lab, r *rated) {
		r.send(0, atOnce+mayWait)
		passed := r.arrived(l.t, 0)
		if passed != atOnce {
			l.t.Errorf("%d frames pass at once, want %d", passed, atOnce)
		}
		for range mayWait / 2 {
			time.Sleep(10*time.Millisecond + time.Microsecond)
			synctest.Wait()
			n := r.arrived(l.t, passed)
			if n != 1 {
				l.t.Errorf("%d frames pass in 10 ms, want 1", n)
			}
			passed += n
		}
		time.Sleep(time.Second)
		synctest.Wait()
		passed += r.arrived(l.t, passed)
		r.settled(l.t, atOnce+mayWait, passed)
		if passed != atOnce+mayWait {
			l.t.Errorf("%d of %d frames arrive", passed, atOnce+mayWait)
		}
	})
}

// TestRateOfALongStream: of what comes at twice the rate the rate arrives, and the rest is dropped.
func TestRateOfALongStream(t *testing.T) {
	inBoth(t, testRate, func(l *lab, r *rated) {
		const sent = 2000
		for i := range sent {
			r.from.Send(switchtest.Frame(r.to.mac, r.from.mac, string(make([]byte, testSize-frame.EthernetHeaderLen))))
			if i%2 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		arrived := len(r.to.Frames())
		if want := sent/2 + atOnce + mayWait; arrived < want-2 || arrived > want+mayWait {
			l.t.Errorf("%d of %d frames arrive in 10 s, want about %d", arrived, sent, want)
		}
		r.settled(l.t, sent, arrived)
	})
}

// TestRateLeavesFloodInDevice: a port that sends far more than its rate is read no faster than
// its queue empties, so that its sender has the loss and not the worker the work. The ports
// beside it, and other ports of the one that is sent too much, have no delay.
func TestRateLeavesFloodInDevice(t *testing.T) {
	inBoth(t, testRate, func(l *lab, r *rated) {
		third := l.port(r.from.Segment(), 3)
		teach(third)
		const sent = 10000
		r.send(0, sent)
		third.send(r.to.mac, "beside it")
		if r.reason == drop.RateLimitIn {
			if n := r.from.Waiting(); n < sent-vswitch.BatchFrames {
				l.t.Errorf("%d of %d frames wait in the device, want all but a batch", n, sent)
			}
			expectLast(l.t, r.to, "beside it")
		}
		r.from.send(third.mac, "to another")
		if r.reason == drop.RateLimitOut {
			expect(l.t, third, "to another")
		}
		for r.from.Waiting() > 0 {
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		balanced(l.t, r.from.Port)
		if in := r.from.Counters(); in.RxFrames != sent+1 {
			l.t.Errorf("%d of %d frames were read", in.RxFrames, sent+1)
		}
	})
}

func expectLast(t testing.TB, p *port, text string) {
	t.Helper()
	all := p.Frames()
	if len(all) == 0 || switchtest.Text(all[len(all)-1]) != text {
		t.Errorf("%d frames arrive, and the last is not %q", len(all), text)
	}
}

// TestShallowBurstCutsSuperFrames into segments, each of which waits for its turn.
func TestShallowBurstCutsSuperFrames(t *testing.T) {
	inBoth(t, policy.Rate{BitsPerSecond: 8e6, BurstBytes: 3000}, func(l *lab, r *rated) {
		const payload, segment = 30000, 1448
		r.from.SendRaw(switchtest.Partial(tcpFrame(r.to.mac, r.from.mac, 1, pattern(payload)), segment))
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		bytes, all := 0, r.to.RawFrames()
		for _, raw := range all {
			h, eth, _ := frame.ParseVNet(raw)
			if !h.Plain() || len(eth) > 1514 {
				l.t.Fatalf("a frame of %d bytes arrives, plain: %t; want a segment", len(eth), h.Plain())
			}
			bytes += len(eth) - 54
		}
		if want := (payload + segment - 1) / segment; bytes != payload || len(all) != want {
			l.t.Errorf("%d bytes in %d frames arrive, want %d in %d", bytes, len(all), payload, want)
		}
		if c := r.to.Counters(); c.TxFrames != uint64(len(all)) {
			l.t.Errorf("%d frames are counted, want %d", c.TxFrames, len(all))
		}
		balanced(l.t, r.from.Port)
	})
}

// TestSuperFrameCountsAsItsSegments of which each has headers, as on a wire.
func TestSuperFrameCountsAsItsSegments(t *testing.T) {
	// The burst holds the super-frame, but nothing beside its segments.
	const payload, segment, headers = 10000, 1000, 54
	inBoth(t, policy.Rate{BitsPerSecond: 8e6, BurstBytes: payload + headers}, func(l *lab, r *rated) {
		for range 101 {
			r.from.SendRaw(switchtest.Partial(tcpFrame(r.to.mac, r.from.mac, 1, pattern(payload)), segment))
			time.Sleep(10 * time.Millisecond)
		}
		// 1 MB/s is a super-frame each 10 ms but for the headers, which take 540 bytes of 10540.
		wire := float64(payload + payload/segment*headers)
		want := (1e6*1.01 + payload + headers) / wire
		if n := float64(len(r.to.Frames())); n < want-1 || n > want+1 {
			l.t.Errorf("%v super-frames arrive in a second, want %.1f", n, want)
		}
	})
}

// TestFramesThatWaitEndWithThePort: what waits when a port goes away, or cannot take it, is
// dropped for a reason and counted.
func TestFramesThatWaitEndWithThePort(t *testing.T) {
	const sent = atOnce + 10
	for name, end := range map[string]func(l *lab, r *rated){
		"detached": func(l *lab, r *rated) { l.sw.Detach(r.at.Port) },
		"removed":  func(l *lab, r *rated) { l.sw.RemovePort(r.at.Port) },
		"closed":   func(l *lab, _ *rated) { l.sw.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, testRate, func(l *lab, r *rated) {
				r.send(0, sent)
				end(l, r)
				arrived := r.arrived(l.t, 0)
				time.Sleep(time.Second)
				synctest.Wait()
				if n := r.arrived(l.t, arrived); n != 0 || arrived != atOnce {
					l.t.Errorf("%d frames arrive before and %d after it, want %d and 0", arrived, n, atOnce)
				}
				r.settled(l.t, sent, arrived)
			})
		})
	}
}

// TestPortGoesDownWhileFramesWait: they are dropped as those that come then.
func TestPortGoesDownWhileFramesWait(t *testing.T) {
	const sent = atOnce + 10
	inBoth(t, testRate, func(l *lab, r *rated) {
		r.send(0, sent)
		r.at.SetDown(true)
		time.Sleep(time.Second)
		synctest.Wait()
		reason := drop.PortDown
		if r.reason == drop.RateLimitOut {
			reason = drop.LinkDown
		}
		dropped(l.t, r.at.Port, reason, sent-atOnce)
		balanced(l.t, r.from.Port)
	})
}

// TestRateChangesWhileFramesWait: those that wait have turns by the new rate, and none is
// overtaken.
func TestRateChangesWhileFramesWait(t *testing.T) {
	const waiting = 10
	for name, test := range map[string]struct {
		rate policy.Rate
		took time.Duration // until all have passed
		lost int
	}{
		"lifted": {policy.Rate{}, 0, 0},
		"faster": {policy.Rate{BitsPerSecond: 8_000_000, BurstBytes: 1}, 10 * time.Millisecond, 0},
		"slower": {policy.Rate{BitsPerSecond: 80_000, BurstBytes: 1}, time.Second, 0},
		"burst":  {policy.Rate{BitsPerSecond: 80_000, BurstBytes: waiting * testSize}, 0, 0},
		// 16 KiB may wait, and so may all of these.
		"slowest": {policy.Rate{BitsPerSecond: 8000, BurstBytes: 1}, 10 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, testRate, func(l *lab, r *rated) {
				r.send(0, atOnce+waiting)
				c := policy.Policy{RateIn: test.rate}
				if r.reason == drop.RateLimitOut {
					c = policy.Policy{RateOut: test.rate}
				}
				if err := r.at.SetPolicy(c); err != nil {
					l.t.Fatal(err)
				}
				if test.took == 0 {
					r.send(atOnce+waiting, 1)
				}
				time.Sleep(test.took/2 + time.Millisecond)
				synctest.Wait()
				arrived := r.arrived(l.t, 0)
				if early := arrived == atOnce+waiting; early != (test.took == 0) && arrived != atOnce+waiting+1 {
					l.t.Errorf("%d of %d frames arrive in %v", arrived, atOnce+waiting, test.took/2)
				}
				time.Sleep(10*test.took + time.Minute)
				synctest.Wait()
				sent := atOnce + waiting
				if test.took == 0 {
					sent++
				}
				arrived += r.arrived(l.t, arrived)
				r.settled(l.t, sent, arrived)
				if arrived != sent-test.lost {
					l.t.Errorf("%d of %d frames arrive", arrived, sent)
				}
			})
		})
	}
}
