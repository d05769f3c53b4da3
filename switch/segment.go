package vswitch

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"vswitch/internal/frame"
	"vswitch/switch/fdb"
	"vswitch/switch/policy"
)

// Segment is one broadcast domain. Frames never leave it.
type Segment struct {
	id        uint16
	mtu       int
	gatewayIP uint32 // 0: unknown
	owner     *Switch
	flaps     *policy.Flaps
	probe     loopProbe
	ports     atomic.Pointer[[]*Port]      // the containers': whom a flood reaches
	gateway   atomic.Pointer[Port]         // the responder's port; nil without one
	host      atomic.Pointer[Port]         // the host's port; nil without one
	rules     atomic.Pointer[policy.Rules] // nil without any
}

// SegmentConfig is what a segment is made with.
type SegmentConfig struct {
	MTU int // bytes of payload; 0: 1500
	// Gateway is the gateway's IPv4 address, which no port may claim by ARP; the
	// zero Addr where there is none.
	Gateway netip.Addr
}

// Bounds of a segment's MTU in bytes: RFC 791's least, and what fits a frame of
// the kernel's largest TAP MTU (drivers/net/tun.c).
const (
	DefaultMTU = 1500
	MinMTU     = 68
	MaxMTU     = 65521
)

// MTU is the largest payload of a frame, in bytes.
func (s *Segment) MTU() int { return s.mtu }

// Gateway is the port of the segment's responder, nil without one.
func (s *Segment) Gateway() *Port { return s.gateway.Load() }

func (s *Segment) maxFrame() int { return s.mtu + frame.EthernetHeaderLen + frame.VLANTagLen }

// claims is what no port may claim to be.
func (s *Segment) claims() policy.Gateway {
	g := policy.Gateway{IP4: s.gatewayIP}
	if gw := s.gateway.Load(); gw != nil {
		g.MAC = gw.mac
	}
	return g
}

// AddSegment makes an empty segment.
func (s *Switch) AddSegment(c SegmentConfig) (*Segment, error) {
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MTU < MinMTU || c.MTU > MaxMTU {
		return nil, fmt.Errorf("MTU %d is out of range: give %d to %d bytes", c.MTU, MinMTU, MaxMTU)
	}
	var gatewayIP uint32
	if c.Gateway.IsValid() {
		if !c.Gateway.Is4() || c.Gateway.IsUnspecified() {
			return nil, fmt.Errorf("the gateway's address %s: give that of an IPv4 host", c.Gateway)
		}
		gatewayIP = frame.Uint32(c.Gateway)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	for id := uint16(1); id != 0; id++ {
		if s.segments[id] == nil {
			seg := &Segment{
				id: id, mtu: c.MTU, gatewayIP: gatewayIP, owner: s,
				flaps: policy.NewFlaps(),
			}
			seg.probe.frame = newLoopProbe()
			seg.probe.proven.Store(-proofPause)
			seg.ports.Store(&[]*Port{})
			s.segments[id] = seg
			return seg, nil
		}
	}
	return nil, fmt.Errorf("%w: %d segments", ErrTooMany, len(s.segments))
}

// usable says why nothing can be added to seg: the switch is closed, or the
// segment was removed, and its number may be another's by now.
func (s *Switch) usable(seg *Segment) error {
	if s.closed {
		return ErrClosed
	}
	if s.segments[seg.id] != seg {
		return fmt.Errorf("the segment was %w", errRemoved)
	}
	return nil
}

// RemoveSegment ends a segment that has no port but its responder's. Of one
// that was removed before nothing is left to end.
func (s *Switch) RemoveSegment(seg *Segment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.segments[seg.id] != seg {
		return nil
	}
	for _, p := range *s.ports.Load() {
		if p != nil && p.segment == seg && p.responder == nil {
			return ErrInUse
		}
	}
	if gw := seg.gateway.Swap(nil); gw != nil {
		s.forgetPort(gw)
	}
	delete(s.segments, seg.id)
	s.table.Remove(func(key uint64, _ fdb.Value) bool { return fdb.KeySegment(key) == seg.id })
	return nil
}

// AddResponder gives a segment its responder, as one more port that owns mac.
// A segment has at most one.
func (s *Switch) AddResponder(seg *Segment, mac frame.MAC, r Responder) (*Port, error) {
	if !mac.IsUnicast() {
		return nil, ErrGroupMAC
	}
	guard, err := policy.NewGuard(policy.Policy{MACLimit: -1, FloodLimit: -1})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(seg); err != nil {
		return nil, err
	}
	if seg.gateway.Load() != nil {
		return nil, ErrInUse
	}
	p := &Port{name: "gateway", segment: seg, responder: r, maxFrame: seg.maxFrame(), mac: mac.Uint64()}
	p.adopt(guard)
	if err := s.placePort(p, nil); err != nil {
		return nil, err
	}
	if err := s.pin(p, mac.Uint64(), true); err != nil {
		s.forgetPort(p)
		return nil, err
	}
	seg.gateway.Store(p)
	s.table.Bump() // for routes of who has used its address up to now
	return p, nil
}
