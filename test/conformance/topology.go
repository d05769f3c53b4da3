package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/internal/frame"
	"vswitch/test/lab"
)

// retry is after how long a frame is sent again that may have come too early.
const retry = 20 * time.Millisecond

// topology is a switch with stations on it, for one check.
type topology struct {
	testing.TB

	sw       Adapter
	stations []*station
	marks    mark
	remark   string // for the report
}

// segment adds a segment.
func (l *topology) segment(name string) {
	l.Helper()
	l.must(l.sw.AddSegment(name))
}

// must fails the check at once.
func (l *topology) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// attach makes a station for each name and connects it to a segment.
func (l *topology) attach(segment string, names []string, edit func(i int, spec *PortSpec)) []*station {
	l.Helper()
	var made []*station
	for i, name := range names {
		spec := PortSpec{Name: name, Segment: segment}
		if edit != nil {
			edit(i, &spec)
		}
		s := newStation(l, spec)
		l.connect(s)
		l.stations = append(l.stations, s)
		made = append(made, s)
	}
	l.join(made...)
	return made
}

// connect adds the station's port.
func (l *topology) connect(s *station) {
	l.Helper()
	var err error
	s.Attachment, err = l.sw.AddPort(s.spec)
	l.must(err)
}

// trio is three stations on a segment of their own.
func (l *topology) trio(edit func(i int, spec *PortSpec)) (a, b, c *station) {
	l.Helper()
	l.segment("lan")
	s := l.attach("lan", []string{"a", "b", "c"}, edit)
	return s[0], s[1], s[2]
}

// first applies an edit to the first station of a few.
func first(edit func(spec *PortSpec)) func(int, *PortSpec) {
	return func(i int, spec *PortSpec) {
		if i == 0 {
			edit(spec)
		}
	}
}

// join waits until each of the stations and its neighbours hear each other, for
// links take a while to come up (linkwatch, net/core/link_watch.c).
func (l *topology) join(stations ...*station) {
	l.Helper()
	for _, s := range stations {
		for _, other := range l.neighbours(s) {
			l.awaitPath(s, other)
			l.awaitPath(other, s)
		}
	}
}

func (l *topology) awaitPath(from, to *station) {
	l.Helper()
	deadline := time.Now().Add(lab.Patience)
	for {
		marker := l.marker(from)
		err := from.send(marker.frame)
		came, hearErr := to.hear(marker.mark, time.Now().Add(retry))
		l.must(hearErr)
		if came {
			return
		}
		if time.Now().After(deadline) {
			l.Fatalf("no frame from %s came to %s within %s (last error: %v)", from, to, lab.Patience, err)
		}
	}
}

// await asks until it is so, for what an [Adapter] can be asked for and does not announce.
func (l *topology) await(what string, so func() (bool, error)) {
	l.Helper()
	lab.Eventually(l, what, func() bool {
		is, err := so()
		l.must(err)
		return is
	})
}

// neighbours are the stations of the segment that hear what s floods.
func (l *topology) neighbours(s *station) []*station {
	var list []*station
	for _, other := range l.stations {
		if other == s || other.deaf || other.spec.Segment != s.spec.Segment || other.spec.Isolated && s.spec.Isolated {
			continue
		}
		list = append(list, other)
	}
	return list
}

// settle returns when all that s has sent so far has arrived wherever it does.
//
// A marker of s comes to its neighbours behind all else that it has sent, so that
// the switch is done with it. A marker of one neighbour then comes to s, and to
// those that s does not reach, behind whatever the switch may have sent them.
func (l *topology) settle(s *station) {
	l.Helper()
	neighbours := l.neighbours(s)
	if len(neighbours) == 0 {
		l.Fatalf("nobody hears %s: nothing can be proven", s)
	}
	l.broadcastMarker(s)
	relay := neighbours[0]
	for _, n := range neighbours {
		if !n.spec.Isolated && n.spec.FloodLimit == 0 {
			relay = n
			break
		}
	}
	l.broadcastMarker(relay)
}

func (l *topology) broadcastMarker(from *station) {
	l.Helper()
	marker := l.marker(from)
	l.must(from.send(marker.frame))
	for _, to := range l.neighbours(from) {
		l.awaitMarker(marker, from, to)
	}
}

func (l *topology) awaitMarker(marker probe, from, to *station) {
	l.Helper()
	came, err := to.hear(marker.mark, time.Now().Add(lab.Patience))
	l.must(err)
	if !came {
		l.Fatalf("a marker from %s did not come to %s", from, to)
	}
	l.noneLost(to)
}

// noneLost fails the check when a station's kernel threw frames away before they
// were read: what was not heard proves nothing then.
func (l *topology) noneLost(s *station) {
	l.Helper()
	lost, err := s.socket.Drops()
	l.must(err)
	if lost > 0 {
		l.Fatalf("station %s lost %d frames before it read them", s, lost)
	}
}

// expect sends a probe and wants it at these stations, once and unchanged, and
// nowhere else.
func (l *topology) expect(what string, from *station, p probe, want ...*station) {
	l.Helper()
	l.must(from.send(p.frame))
	l.settle(from)
	l.arrived(what, from, p, want...)
}

// arrived wants a probe that was sent before at these stations and nowhere else.
func (l *topology) arrived(what string, from *station, p probe, want ...*station) {
	l.Helper()
	var got []*station
	for _, s := range l.stations {
		h := s.heard[p.mark]
		if h == nil {
			continue
		}
		got = append(got, s)
		if h.copies > 1 {
			l.Errorf("%s from %s: %s got it %d times", what, from, s, h.copies)
		}
		if !bytes.Equal(h.frame, p.frame) {
			l.Errorf("%s from %s: %s got\n% x, sent was\n% x", what, from, s, h.frame, p.frame)
		}
	}
	slices.SortFunc(want, func(a, b *station) int { return slices.Index(l.stations, a) - slices.Index(l.stations, b) })
	if !slices.Equal(got, want) {
		l.Errorf("%s from %s: came to %s, want %s", what, from, names(got), names(want))
	}
}

func names(stations []*station) string {
	if len(stations) == 0 {
		return "nobody"
	}
	list := make([]string, len(stations))
	for i, s := range stations {
		list[i] = s.spec.Name
	}
	return strings.Join(list, ", ")
}

// learn has the switch see a frame from an address behind a station.
func (l *topology) learn(mac frame.MAC, at *station) {
	l.Helper()
	l.expect(fmt.Sprintf("a broadcast of %s", mac), at, l.probe(frame.Broadcast, mac), l.neighbours(at)...)
}

// entry is the forwarding table's entry of an address, if there is one.
func (l *topology) entry(segment string, mac frame.MAC) (Entry, bool) {
	l.Helper()
	list, err := l.sw.FDB(segment)
	l.must(err)
	for _, e := range list {
		if e.MAC == mac {
			return e, true
		}
	}
	return Entry{}, false
}

// isAt wants an address behind a station.
func (l *topology) isAt(mac frame.MAC, at *station, static bool) {
	l.Helper()
	e, ok := l.entry(at.spec.Segment, mac)
	want := Entry{MAC: mac, Port: at.spec.Name, Static: static}
	if !ok || e != want {
		l.Errorf("the forwarding table has %+v for %s, want %+v", e, mac, want)
	}
}

// isNowhere wants no entry for an address.
func (l *topology) isNowhere(mac frame.MAC, segment string) {
	l.Helper()
	if e, ok := l.entry(segment, mac); ok {
		l.Errorf("the forwarding table has %+v, want no entry for %s", e, mac)
	}
}

// others are addresses that no port has, of hosts behind one: a virtual machine's
// or a nested bridge's.
func others(i int) frame.MAC { return frame.MACFromUint64(0x0200_5e00_0000 + uint64(i)) }
