package vswitch_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
)

// lab is a switch with in-memory devices inside a synctest bubble.
type lab struct {
	t  testing.TB
	sw *vswitch.Switch
}

// port is a port of the lab with its device and its station's address.
type port struct {
	*switchtest.Device
	*vswitch.Port
	mac frame.MAC
}

// inLab runs a test in a bubble. When f returns, the switch must be able to end,
// and with it all of its goroutines: else synctest reports a deadlock.
func inLab(t *testing.T, o vswitch.Options, f func(l *lab)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if o.NewPoller == nil {
			o.NewPoller = switchtest.NewPoller
		}
		o.Poll = vswitch.PollSleep
		sw, err := vswitch.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer sw.Close()
		f(&lab{t, sw})
	})
}

func (l *lab) segment() *vswitch.Segment {
	l.t.Helper()
	return l.segmentWith(vswitch.SegmentConfig{})
}

func (l *lab) segmentWith(c vswitch.SegmentConfig) *vswitch.Segment {
	l.t.Helper()
	seg, err := l.sw.AddSegment(c)
	if err != nil {
		l.t.Fatal(err)
	}
	return seg
}

// port adds a port whose station has the n-th test address.
func (l *lab) port(seg *vswitch.Segment, n int) *port {
	l.t.Helper()
	return l.portWith(seg, n, vswitch.PortConfig{})
}

func (l *lab) portWith(seg *vswitch.Segment, n int, c vswitch.PortConfig) *port {
	l.t.Helper()
	return l.portOf(seg, &switchtest.Device{}, n, c)
}

// portOf adds a port with that device.
func (l *lab) portOf(
	seg *vswitch.Segment, d *switchtest.Device, n int, c vswitch.PortConfig,
) *port {
	l.t.Helper()
	p, err := l.sw.AddPort(seg, d, c)
	if err != nil {
		l.t.Fatal(err)
	}
	return &port{d, p, switchtest.MAC(n)}
}

// plainPort adds a port whose device takes plain frames only.
func (l *lab) plainPort(seg *vswitch.Segment, n int) *port {
	l.t.Helper()
	return l.portOf(seg, &switchtest.Device{Plain: true}, n, vswitch.PortConfig{})
}

// shortPort adds a port whose device takes all but tunnels' super-frames.
func (l *lab) shortPort(seg *vswitch.Segment, n int) *port {
	l.t.Helper()
	return l.portOf(seg, &switchtest.Device{Short: true}, n, vswitch.PortConfig{})
}

// ports adds ports with the first n test addresses, from 1.
func (l *lab) ports(seg *vswitch.Segment, n int) []*port {
	l.t.Helper()
	all := make([]*port, n)
	for i := range all {
		all[i] = l.port(seg, i+1)
	}
	return all
}

// send sends a frame from p's station and waits until the switch is at rest.
func (p *port) send(dst frame.MAC, text string) {
	p.sendFrom(p.mac, dst, text)
}

func (p *port) sendFrom(src, dst frame.MAC, text string) {
	p.Send(switchtest.Frame(dst, src, text))
	synctest.Wait()
}

// teach makes the switch learn the stations' addresses, by frames that it
// forwards nowhere.
func teach(ports ...*port) {
	for _, p := range ports {
		p.send(frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, "")
	}
}

// expect says what each port must have received since it was last asked.
func expect(t testing.TB, p *port, texts ...string) {
	t.Helper()
	var got []string
	for _, f := range p.Frames() {
		got = append(got, switchtest.Text(f))
	}
	if !slices.Equal(got, texts) {
		t.Errorf("the port of %s received %q, want %q", p.mac, got, texts)
	}
}

// dropped expects exactly these drops of one reason at a port, and no others but
// of the frames that teach sent.
func dropped(t testing.TB, p *vswitch.Port, reason drop.Reason, n uint64) {
	t.Helper()
	c := p.Counters()
	for _, r := range drop.All() {
		switch {
		case r == reason && c.Drops[r] != n:
			t.Errorf("%d drops as %s, want %d", c.Drops[r], r, n)
		case r != reason && r != drop.ReservedGroup && c.Drops[r] != 0:
			t.Errorf("%d drops as %s, want none", c.Drops[r], r)
		}
	}
}

// balanced checks that each frame that was read has exactly one outcome.
func balanced(t testing.TB, p *vswitch.Port) {
	t.Helper()
	c := p.Counters()
	if sum := c.Forwarded + c.Flooded + c.Local + c.IngressDrops(); c.RxFrames != sum {
		t.Errorf("port %q has read %d frames and accounts for %d: %+v", p.Name(), c.RxFrames, sum, c)
	}
}
