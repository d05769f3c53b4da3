package vswitch_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
)

func TestNewErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("no descriptors left")
	pollers := 0
	for name, o := range map[string]vswitch.Options{
		"no poller":         {},
		"negative workers":  {NewPoller: switchtest.NewPoller, Workers: -1},
		"negative capacity": {NewPoller: switchtest.NewPoller, Capacity: -1},
		"negative ageing":   {NewPoller: switchtest.NewPoller, Ageing: -1},
		"broken poller": {Workers: 3, NewPoller: func() (vswitch.Poller, error) {
			if pollers++; pollers == 3 {
				return nil, broken
			}
			return switchtest.NewPoller()
		}},
	} {
		synctest.Test(t, func(t *testing.T) { // and the workers before the broken one have ended
			sw, err := vswitch.New(o)
			if err == nil || sw != nil {
				t.Errorf("%s: a switch, want an error", name)
			}
			if name == "broken poller" && !errors.Is(err, broken) {
				t.Errorf("%s: %v, want it to wrap the poller's", name, err)
			}
			if name == "no poller" && !strings.Contains(err.Error(), "NewPoller is nil") {
				t.Errorf("%s: %v, want it to name what is missing", name, err)
			}
		})
	}
}

func TestSegmentErrors(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		for _, mtu := range []int{-1, vswitch.MinMTU - 1, vswitch.MaxMTU + 1} {
			if _, err := l.sw.AddSegment(vswitch.SegmentConfig{MTU: mtu}); err == nil {
				l.t.Errorf("a segment of MTU %d, want an error", mtu)
			}
		}
		seg := l.segment()
		if seg.MTU() != vswitch.DefaultMTU {
			l.t.Errorf("MTU %d, want the default", seg.MTU())
		}
		p := l.port(seg, 1)
		if err := l.sw.RemoveSegment(seg); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("removing a segment with a port: %v, want ErrInUse", err)
		}
		for _, mac := range []frame.MAC{{}, frame.Broadcast} {
			if _, err := l.sw.AddResponder(seg, mac, &responder{}); !errors.Is(err, vswitch.ErrGroupMAC) {
				l.t.Errorf("a responder at %s: %v, want ErrGroupMAC", mac, err)
			}
		}
		if _, err := l.sw.AddResponder(seg, gatewayMAC, &responder{}); err != nil {
			l.t.Fatal(err)
		}
		if _, err := l.sw.AddResponder(seg, gatewayMAC, &responder{}); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("a second responder: %v, want ErrInUse", err)
		}
		l.sw.RemovePort(p.Port)
		if err := l.sw.RemoveSegment(seg); err != nil {
			l.t.Errorf("removing a segment with only a gateway: %v", err)
		}
	})
}

// TestRemovedSegmentIsOutOfReach: its number passes to the next segment, which
// nothing that is still done to the old one may touch.
func TestRemovedSegmentIsOutOfReach(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		old := l.segment()
		if err := l.sw.RemoveSegment(old); err != nil {
			l.t.Fatal(err)
		}
		heir := l.segment()
		p := l.ports(heir, 2)
		teach(p...)
		if err := l.sw.RemoveSegment(old); err != nil {
			l.t.Errorf("removing a segment twice: %v", err)
		}
		if _, err := l.sw.AddPort(old, &switchtest.Device{}, vswitch.PortConfig{}); err == nil {
			l.t.Error("a port was added to a removed segment")
		}
		if _, err := l.sw.AddResponder(old, gatewayMAC, &responder{}); err == nil {
			l.t.Error("a responder was added to a removed segment")
		}
		if err := l.sw.RemoveEntry(old, p[0].mac); !errors.Is(err, vswitch.ErrNoEntry) {
			l.t.Errorf("removing an entry of a removed segment: %v, want ErrNoEntry", err)
		}
		if n := l.sw.Flush(old, nil); n != 0 || l.sw.Entries(old) != nil {
			l.t.Errorf("a removed segment still has entries: flushed %d", n)
		}
		if n := len(l.sw.Entries(heir)); n != 2 {
			l.t.Errorf("its heir has %d entries, want 2", n)
		}
		if third := l.segment(); third == heir {
			l.t.Error("the heir's number was given away")
		}
		p[0].send(p[1].mac, "alive")
		expect(l.t, p[1], "alive")
	})
}

// failingPoller refuses every device.
type failingPoller struct{ vswitch.Poller }

var errWatch = errors.New("too many watches")

func (p failingPoller) Add(slot uint32, dev vswitch.Device, watch bool) error {
	if err := p.Poller.Add(slot, dev, watch); err != nil { // it may report the device once more
		return err
	}
	return errWatch
}

func TestAddPortFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sw, err := vswitch.New(vswitch.Options{Poll: vswitch.PollSleep, NewPoller: func() (vswitch.Poller, error) {
			p, err := switchtest.NewPoller()
			return failingPoller{p}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer sw.Close()
		seg, err := sw.AddSegment(vswitch.SegmentConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var d switchtest.Device
		for range 1000 { // so that a worker which began would be at it for many turns
			d.Send(switchtest.Frame(frame.Broadcast, switchtest.MAC(1), ""))
		}
		if _, err := sw.AddPort(seg, &d, vswitch.PortConfig{}); !errors.Is(err, errWatch) {
			t.Errorf("adding a port: %v, want the poller's error", err)
		}
		synctest.Wait()
		if n := d.Waiting(); n != 1000 {
			t.Errorf("%d frames were read from the device of a port that was not added", 1000-n)
		}
		if err := sw.RemoveSegment(seg); err != nil {
			t.Errorf("the segment is not empty: %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 3}, func(l *lab) {
		gw, p := l.withGateway(&responder{}, 2)
		seg := gw.Segment()
		teach(p...)
		l.sw.Close()
		l.sw.Close()
		calls := p[0].Calls()
		if _, err := l.sw.AddSegment(vswitch.SegmentConfig{}); !errors.Is(err, vswitch.ErrClosed) {
			l.t.Errorf("a segment: %v, want ErrClosed", err)
		}
		if _, err := l.sw.AddPort(seg, &switchtest.Device{}, vswitch.PortConfig{}); !errors.Is(err, vswitch.ErrClosed) {
			l.t.Errorf("a port: %v, want ErrClosed", err)
		}
		if _, err := l.sw.AddResponder(seg, gatewayMAC, &responder{}); !errors.Is(err, vswitch.ErrClosed) {
			l.t.Errorf("a responder: %v, want ErrClosed", err)
		}
		if err := l.sw.AddEntry(p[0].Port, switchtest.MAC(9)); !errors.Is(err, vswitch.ErrClosed) {
			l.t.Errorf("a static entry: %v, want ErrClosed", err)
		}
		p[0].send(p[1].mac, "nobody reads this")
		l.sw.Announce(p[0].Port, switchtest.Frame(frame.Broadcast, p[0].mac, ""))
		l.sw.RemovePort(p[0].Port)
		l.sw.RemovePort(gw)
		_ = l.sw.RemoveSegment(seg)
		l.sw.Flush(seg, nil)
		l.sw.Entries(seg)
		if c := p[0].Counters(); c.RxFrames != 1 || p[0].Calls() != calls {
			l.t.Errorf("after Close %d frames were read and the device was called %d times more", c.RxFrames, p[0].Calls()-calls)
		}
	})
}

// TestCloseWhileOthersWait: whoever is under way when the switch closes returns.
func TestCloseWhileOthersWait(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 2}, func(l *lab) {
		seg := l.segment()
		p := l.port(seg, 1)
		var busy, started sync.WaitGroup
		for range 4 {
			started.Add(1)
			begun := sync.OnceFunc(started.Done)
			busy.Go(func() {
				for ; ; begun() {
					q, err := l.sw.AddPort(seg, &switchtest.Device{}, vswitch.PortConfig{})
					if errors.Is(err, vswitch.ErrClosed) {
						return
					}
					if err != nil {
						l.t.Error(err)
						return
					}
					l.sw.Announce(p.Port, switchtest.Frame(frame.Broadcast, p.mac, ""))
					l.sw.RemovePort(q)
				}
			})
		}
		started.Wait()
		for range 2 {
			busy.Go(l.sw.Close)
		}
		busy.Wait()
	})
}

// TestBusyWorkersLetControlThrough on a machine with fewer processors than
// threads that never sleep.
func TestBusyWorkersLetControlThrough(t *testing.T) {
	t.Parallel()
	for _, mode := range []vswitch.PollMode{vswitch.PollBusy, vswitch.PollAdaptive} {
		sw, err := vswitch.New(vswitch.Options{Workers: 4, Poll: mode, NewPoller: switchtest.NewPoller})
		if err != nil {
			t.Fatal(err)
		}
		seg, err := sw.AddSegment(vswitch.SegmentConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 8 {
			p, err := sw.AddPort(seg, &switchtest.Device{}, vswitch.PortConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 {
				sw.RemovePort(p)
			}
		}
		sw.Close()
	}
}
