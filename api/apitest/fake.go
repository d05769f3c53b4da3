// Package apitest has a switch that exists in memory only, for tests of whatever
// stands on an [api.Backend], and a helper that serves a backend on a socket.
package apitest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"vswitch/api"
)

// Fake is an [api.Backend] in memory. Its ids, addresses and times depend only on
// the order of calls. It does what tests of the interface need and no more: pools
// are 172.17.0.0/16 and up, and the network 172.31.0.0/16 is the last.
type Fake struct {
	// Hook, when set, is called at the start of each method with the method's name.
	// An error it returns is the method's; it may block or panic.
	Hook func(ctx context.Context, method string) error

	mu        sync.Mutex
	made      int // objects ever made
	segments  []*segment
	ports     []*api.Port
	pools     []*pool
	fdb       []api.FDBEntry
	published []api.Published
}

type segment struct {
	api.Segment
	next  netip.Addr
	rules []api.Rule
}

var _ api.Backend = (*Fake)(nil)

// New returns a fake with the default segment.
func New() *Fake {
	f := &Fake{}
	if _, err := f.AddSegment(context.Background(), api.SegmentSpec{Name: api.DefaultSegment}); err != nil {
		panic(err) // an empty fake takes it
	}
	return f
}

// enter runs the hook and takes the lock, which the caller gives back.
func (f *Fake) enter(ctx context.Context, method string) error {
	if f.Hook != nil {
		if err := f.Hook(ctx, method); err != nil {
			return err
		}
	}
	f.mu.Lock()
	return nil
}

// SetCounters gives a port counters, found by name.
func (f *Fake) SetCounters(port string, c api.Counters) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.ports {
		if p.Name == port {
			p.Counters = c
		}
	}
}

// Learn adds a dynamic entry for a host behind a port, found by name: its address is the
// port's own with 06 as its first byte.
func (f *Fake) Learn(port string, ageSeconds int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.ports {
		if p.Name == port {
			f.fdb = append(f.fdb, api.FDBEntry{
				Segment: p.Segment, MAC: "06" + p.MAC[2:], Port: p.Name,
				Kind: api.Dynamic, AgeSeconds: ageSeconds,
			})
		}
	}
}

// Version implements [api.Backend].
func (f *Fake) Version(ctx context.Context) (api.Version, error) {
	if err := f.enter(ctx, "Version"); err != nil {
		return api.Version{}, err
	}
	defer f.mu.Unlock()
	return api.Version{Version: "v0.0.0-fake", GoVersion: "go1.26.0", API: api.APIVersion, Revision: "0123456789abcdef"}, nil
}

// Upgrade implements [api.Backend]: it succeeds and changes nothing.
func (f *Fake) Upgrade(ctx context.Context, _ string) error {
	if err := f.enter(ctx, "Upgrade"); err != nil {
		return err
	}
	f.mu.Unlock()
	return nil
}

// FakeState is what Backup writes.
const FakeState = "the state"

// Backup implements [api.Backend].
func (f *Fake) Backup(ctx context.Context, w io.Writer) error {
	if err := f.enter(ctx, "Backup"); err != nil {
		return err
	}
	defer f.mu.Unlock()
	_, err := io.WriteString(w, FakeState)
	return err
}

// AddSegment implements [api.Backend].
func (f *Fake) AddSegment(ctx context.Context, spec api.SegmentSpec) (api.Segment, error) {
	if err := f.enter(ctx, "AddSegment"); err != nil {
		return api.Segment{}, err
	}
	defer f.mu.Unlock()
	for _, s := range f.segments {
		if s.Name == spec.Name || s.ID == spec.ID {
			return api.Segment{}, api.Conflictf("segment %s exists already: choose another name", spec.Name)
		}
	}
	subnet, err := f.pool(spec.Subnet)
	if err != nil {
		return api.Segment{}, err
	}
	id, uplink := f.id(spec.ID), api.UplinkOf(spec.Uplink, spec.Internal)
	s := &segment{Segment: api.Segment{
		ID: id, Uplink: uplink, Name: spec.Name, Driver: "vswitch", Scope: "local", Subnet: subnet,
		Gateway: spec.Gateway, IPRange: spec.IPRange, Internal: spec.Internal, MTU: spec.MTU, Labels: spec.Labels, Created: f.now(),
	}}
	if s.Gateway == "" {
		s.Gateway = subnet.Addr().Next().String()
	}
	if s.MTU == 0 {
		s.MTU = 1500
	}
	if uplink == api.UplinkHost {
		s.HostLink = api.HostLink{Name: "vs-" + id[:11], State: api.PortUp, Counters: api.Counters{Drops: map[string]uint64{}}}
	}
	s.next = subnet.Addr().Next().Next()
	f.segments = append(f.segments, s)
	return s.Segment, nil
}

// Segments implements [api.Backend].
func (f *Fake) Segments(ctx context.Context) ([]api.Segment, error) {
	if err := f.enter(ctx, "Segments"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	var list []api.Segment
	for _, s := range slices.Backward(f.segments) { // the server sorts
		list = append(list, s.Segment)
	}
	return list, nil
}

// Segment implements [api.Backend].
func (f *Fake) Segment(ctx context.Context, ref string) (api.Segment, error) {
	if err := f.enter(ctx, "Segment"); err != nil {
		return api.Segment{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	return s.Segment, nil
}

// UpdateSegment implements [api.Backend].
func (f *Fake) UpdateSegment(ctx context.Context, ref string, u api.SegmentUpdate) (api.Segment, error) {
	if err := f.enter(ctx, "UpdateSegment"); err != nil {
		return api.Segment{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	update(&s.Name, u.Name)
	if u.Subnet != nil {
		if s.Subnet, err = f.pool(*u.Subnet); err != nil {
			return api.Segment{}, err
		}
		s.Gateway, s.next = s.Subnet.Addr().Next().String(), s.Subnet.Addr().Next().Next()
	}
	for _, p := range f.ports {
		if p.SegmentID == s.ID {
			p.Segment = s.Name
		}
	}
	s.Labels = relabelled(s.Labels, u.Labels)
	return s.Segment, nil
}

// relabelled is labels after a change, in which nil removes one.
func relabelled(labels map[string]string, change map[string]*string) map[string]string {
	result := map[string]string{}
	for k, v := range labels {
		result[k] = v
	}
	for k, v := range change {
		if delete(result, k); v != nil {
			result[k] = *v
		}
	}
	return result
}

// DeleteSegment implements [api.Backend].
func (f *Fake) DeleteSegment(ctx context.Context, ref string, force bool) (api.Segment, error) {
	if err := f.enter(ctx, "DeleteSegment"); err != nil {
		return api.Segment{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	if s.Ports > 0 && !force {
		return api.Segment{}, api.Conflictf("segment %s has %d ports: delete them first or use --force", s.Name, s.Ports)
	}
	f.ports = slices.DeleteFunc(f.ports, func(p *api.Port) bool { return p.SegmentID == s.ID })
	f.segments = slices.DeleteFunc(f.segments, func(o *segment) bool { return o == s })
	return s.Segment, nil
}

// update sets a field to what a request has for it, if anything.
func update[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

func (f *Fake) findSegment(ref string) (*segment, error) {
	for _, s := range f.segments {
		if s.Name == ref || strings.HasPrefix(s.ID, ref) {
			return s, nil
		}
	}
	return nil, api.NotFoundf("no segment %q: see list-segments", ref)
}

// segmentName resolves a filter; an empty one stays empty.
func (f *Fake) segmentName(ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	s, err := f.findSegment(ref)
	if err != nil {
		return "", err
	}
	return s.Name, nil
}

func (f *Fake) pool(subnet string) (netip.Prefix, error) {
	if subnet != "" {
		return netip.ParsePrefix(subnet)
	}
	for second := byte(17); second < 32; second++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, second}), 16)
		if !slices.ContainsFunc(f.segments, func(s *segment) bool { return s.Subnet.Overlaps(p) }) &&
			!slices.ContainsFunc(f.pools, func(o *pool) bool { return o.Subnet.Overlaps(p) }) {
			return p, nil
		}
	}
	return netip.Prefix{}, api.Exhaustedf("no free pool: give a subnet or delete a segment")
}

// id is the one that was asked for or else a new one.
func (f *Fake) id(want string) string {
	f.made++
	if want != "" {
		return want
	}
	sum := sha256.Sum256(fmt.Append(nil, f.made))
	return hex.EncodeToString(sum[:])
}

func (f *Fake) now() time.Time {
	return time.Date(2026, 1, 2, 3, 4, f.made, 0, time.UTC)
}
