package conformance

import (
	"fmt"
	"net/netip"
	"slices"

	"vswitch/internal/frame"
)

// matrix is every kind of traffic from each port of one segment to each port of
// another: none of it may arrive.
type matrix struct {
	*topology

	shots  []shot
	origin map[mark]shot    // former shots too: they may still be on their way
	sent   map[*station]int // how many shots are whose
	rounds int
}

// shot is one frame of the matrix.
type shot struct {
	probe

	kind     kind
	from, to *station
}

func (s shot) String() string { return fmt.Sprintf("%s from %s to %s", s.kind.name, s.from, s.to) }

// newMatrix makes two segments with three stations each.
func newMatrix(l *topology) *matrix {
	l.Helper()
	for _, name := range []string{"left", "right"} {
		l.segment(name)
		l.attach(name, []string{name + "1", name + "2", name + "3"}, nil)
	}
	m := &matrix{topology: l, origin: make(map[mark]shot)}
	m.load()
	return m
}

// load builds all frames, for the addresses that the stations have now.
func (m *matrix) load() {
	m.Helper()
	m.shots, m.sent = nil, make(map[*station]int)
	for _, from := range m.stations {
		for _, to := range m.stations {
			if from.spec.Segment != to.spec.Segment {
				m.loadPair(from, to)
			}
		}
	}
	for _, s := range m.shots {
		m.origin[s.mark] = s
	}
}

func (m *matrix) loadPair(from, to *station) {
	m.Helper()
	for _, k := range kinds() {
		if k.needs != "" && m.sw.Offers(k.needs) != nil {
			continue
		}
		id := m.newMark()
		b, err := k.build(from.Attachment, to.Attachment, id)
		m.must(err)
		m.shots = append(m.shots, shot{probe{id, b}, k, from, to})
		m.sent[from]++
	}
}

// round sends every shot and proves of each that it has left its sender and has
// not come to another segment.
func (m *matrix) round() {
	m.Helper()
	for _, segment := range []string{"left", "right"} { // or the last round's lies are still believed
		m.must(m.sw.Flush(segment))
	}
	before := m.received()
	for _, s := range m.stations {
		s.forget()
	}
	for _, s := range m.shots {
		m.must(s.from.send(s.frame))
	}
	m.settleAll()
	for _, s := range m.stations {
		m.await(fmt.Sprintf("the switch has taken %d frames from %s", m.sent[s], s), func() (bool, error) {
			n, err := m.sw.Received(s.spec.Name)
			return n >= before[s]+uint64(m.sent[s]), err
		})
	}
	m.wantHeardAtHome()
	m.wantNotHeardAbroad()
	m.rounds++
	pairs := m.pairs()
	m.remark = fmt.Sprintf("%d checks, which are %d kinds by %d port pairs, in each of %d rounds", len(m.shots), len(m.shots)/pairs, pairs, m.rounds)
}

// pairs counts the ordered pairs of stations in different segments.
func (m *matrix) pairs() (n int) {
	for _, from := range m.stations {
		for _, to := range m.stations {
			if from.spec.Segment != to.spec.Segment {
				n++
			}
		}
	}
	return n
}

// settleAll returns when all that was sent has arrived wherever it does: first the
// switch is done with it, and then whatever it made of it is there.
func (m *matrix) settleAll() {
	m.Helper()
	for range 2 {
		for _, s := range m.stations {
			m.settle(s)
		}
	}
}

// received is how many frames the switch has taken from each station.
func (m *matrix) received() map[*station]uint64 {
	m.Helper()
	count := make(map[*station]uint64)
	for _, s := range m.stations {
		n, err := m.sw.Received(s.spec.Name)
		m.must(err)
		count[s] = n
	}
	return count
}

// wantHeardAtHome wants each shot that may be forwarded at all with one of the
// sender's own neighbours.
func (m *matrix) wantHeardAtHome() {
	m.Helper()
	for _, s := range m.shots {
		if s.kind.stays {
			continue
		}
		if !slices.ContainsFunc(m.neighbours(s.from), func(n *station) bool { return n.heard[s.mark] != nil }) {
			m.Errorf("%s: did not leave, since no neighbour heard it", s)
		}
	}
}

// wantNotHeardAbroad wants no shot in another segment, and no answer to one.
func (m *matrix) wantNotHeardAbroad() {
	m.Helper()
	for _, at := range m.stations {
		for id := range at.heard {
			s, ok := m.origin[id]
			if !ok { // a marker
				continue
			}
			if s.from.spec.Segment != at.spec.Segment {
				m.Errorf("%s: came to %s", s, at)
			}
			if s.from == at {
				m.Errorf("%s: came back, or was answered", s)
			}
		}
		for _, b := range at.strays {
			if ip, ok := arpAnswer(b); ok && m.abroad(at, ip) {
				m.Errorf("%s got an ARP reply for %s, which is in another segment: % x", at, ip, b)
			}
		}
	}
}

// arpAnswer is the address that an ARP reply speaks for.
func arpAnswer(b []byte) (netip.Addr, bool) {
	eth, ok := frame.ParseEthernet(b)
	if !ok || eth.EtherType() != frame.EtherTypeARP {
		return netip.Addr{}, false
	}
	packet, ok := frame.ParseARP(eth.Payload())
	if !ok || packet.Operation() != frame.ARPReply {
		return netip.Addr{}, false
	}
	return packet.SenderIP(), true
}

// abroad says whether an address belongs to another segment than the station's.
func (m *matrix) abroad(at *station, ip netip.Addr) bool {
	for _, s := range m.stations {
		if s.spec.Segment != at.spec.Segment && s.IP.Contains(ip) {
			return true
		}
	}
	return false
}
