// Package apitest has a switch that exists in memory only, for tests of whatever
// stands on an [api.Backend], and a helper that serves a backend on a socket.
//
// What the fake answers is what a daemon would, errors included; a test in test/e2e asks both
// the same and compares.
package apitest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"vswitch/api"
)

// Fake is an [api.Backend] in memory. Its ids, addresses and times depend only on
// the order of calls. It does what tests of the interface need and no more: pools
// are 172.17.0.0/16 and up, and the network 172.31.0.0/16 is the last; every namespace
// exists, and every port of the host is free.
type Fake struct {
	// Hook, when set, is called at the start of each method with the method's name.
	// An error it returns is the method's; it may block or panic.
	Hook func(ctx context.Context, method string) error

	mu        sync.Mutex
	made      int // objects ever made
	segments  []*segment
	ports     []*api.Port
	pools     []*pool
	fdb       []entry
	published []publication
}

type segment struct {
	api.Segment
	next  netip.Addr
	rules []api.Rule // their ends name ports by id
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

// SetCounters gives a port counters, found by name, which count since it was added.
func (f *Fake) SetCounters(port string, c api.Counters) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.ports {
		if p.Name == port {
			c.Since = p.Created
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
			learned := p.MAC
			learned[0] = 0x06
			f.fdb = append(f.fdb, entry{
				port: p, mac: learned, kind: api.Dynamic, age: ageSeconds,
			})
		}
	}
}

// fakePID is the daemon's process.
const fakePID = 4321

// Version implements [api.Backend].
func (f *Fake) Version(ctx context.Context) (api.Version, error) {
	if err := f.enter(ctx, "Version"); err != nil {
		return api.Version{}, err
	}
	defer f.mu.Unlock()
	return api.Version{
		PID: fakePID, Version: "v0.0.0-fake", GoVersion: "go1.26.0", API: api.APIVersion,
		Revision: "0123456789abcdef",
	}, nil
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

// update sets a field to what a request has for it, if anything.
func update[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

// find is what ref names among all: by id, by name, or by a prefix of one id alone. what and
// list are the kind and the command in the error.
func find[T any](
	all []T, key func(T) (id, name string), ref, what, list string,
) (found T, err error) {
	matches := 0
	for _, v := range all {
		id, name := key(v)
		if id == ref || name == ref {
			return v, nil
		}
		if strings.HasPrefix(id, ref) {
			found = v
			matches++
		}
	}
	switch matches {
	case 0:
		return found, api.NotFoundf("%s %q does not exist: see vsctl %s", what, ref, list)
	case 1:
		return found, nil
	}
	var none T
	return none, api.Conflictf("%s id %q is ambiguous, %d ids begin with it: "+
		"give more digits or the name", what, ref, matches)
}

// free is a subnet that no segment but except, and no pool, has any of.
func (f *Fake) free(p netip.Prefix, except *segment) (netip.Prefix, error) {
	if p.IsValid() {
		if other := f.overlapping(p, except); other.IsValid() {
			return p, api.Conflictf("subnet %s overlaps the existing subnet %s: "+
				"choose another prefix, or none for a free one", p, other)
		}
		return p, nil
	}
	for second := byte(17); second < 32; second++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, second}), 16)
		if !f.overlapping(p, nil).IsValid() {
			return p, nil
		}
	}
	return netip.Prefix{}, api.Exhaustedf("no free pool: give a subnet or delete a segment")
}

// overlapping is the subnet that has addresses of p, or none.
func (f *Fake) overlapping(p netip.Prefix, except *segment) netip.Prefix {
	for _, s := range f.segments {
		if s != except && s.Subnet.Overlaps(p) {
			return s.Subnet
		}
	}
	for _, o := range f.pools {
		if o.Subnet.Overlaps(p) {
			return o.Subnet
		}
	}
	return netip.Prefix{}
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
