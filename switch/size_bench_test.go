package vswitch

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/fdb"
)

// BenchmarkPorts is what a frame costs the switch itself, without the system calls, with that many
// ports: from one to another, from each in turn to a random other, and to all, where the time is
// that of a copy.
func BenchmarkPorts(b *testing.B) {
	for _, count := range []int{2, 64, 1024, 4096} {
		b.Run(fmt.Sprintf("pair/ports=%d", count), func(b *testing.B) {
			_, ports := newNullSwitchWith(b, count, unlimited)
			carry(b, ports, ipv4FrameTo(count-1, 0))
		})
		b.Run(fmt.Sprintf("random/ports=%d", count), func(b *testing.B) { randomPairs(b, count) })
		b.Run(fmt.Sprintf("flood/ports=%d", count), func(b *testing.B) {
			_, ports := newNullSwitchWith(b, count, unlimited)
			run := &stageRun{ports: ports, turns: 1, frames: [][]byte{
				rawFrame(frame.Broadcast, station(0), frame.EtherTypeIPv4),
			}}
			b.ReportAllocs()
			ports[0].worker.do(func() {
				b.ResetTimer()
				run.burst(max(1, b.N/(count-1)))
				b.StopTimer()
			})
		})
	}
}

// ipv4FrameTo is a frame of the i-th station to another.
func ipv4FrameTo(to, i int) []byte { return ipv4Frame(station(to), i) }

// randomPairs has each port send bursts of eight frames to one other, in random order.
func randomPairs(b *testing.B, count int) {
	const burst = 8
	_, ports := newNullSwitchWith(b, count, unlimited)
	random := rand.New(rand.NewPCG(1, uint64(count)))
	order := random.Perm(count)
	for i, p := range ports {
		load(p, 0, ipv4FrameTo((i+1+random.IntN(count-1))%count, i))
	}
	w := ports[0].worker
	b.ReportAllocs()
	w.do(func() {
		b.ResetTimer()
		for n := 0; n < b.N; n += burst {
			p := ports[order[n/burst%count]]
			p.device.(*nullDevice).left = burst
			w.burst(p)
		}
		b.StopTimer()
	})
}

// BenchmarkAddresses is what a frame costs with that many addresses learned at the receiver: one to
// the port's own, and one to each of them in turn, so that none goes the way of the one before.
func BenchmarkAddresses(b *testing.B) {
	for _, count := range []int{10, 10_000, 1_000_000} {
		s := newNullSwitchOf(b, Options{LoopMoves: -1, Capacity: count + 1000})
		ports := addNullPorts(b, s, 2, unlimited)
		learnMany(b, s, ports[1], count)
		b.Run(fmt.Sprintf("pair/addresses=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			s.workers[0].do(func() {
				d := load(ports[0], b.N, ipv4FrameTo(1, 0))
				b.ResetTimer()
				for d.left > 0 {
					s.workers[0].burst(ports[0])
				}
				b.StopTimer()
			})
		})
		b.Run(fmt.Sprintf("all/addresses=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			s.workers[0].do(func() { toEach(b, ports[0], count) })
		})
	}
}

// toEach has p send to that many addresses in turn, in the same few buffers, for those of a million
// frames would be no cache's.
func toEach(b *testing.B, p *Port, count int) {
	frames := make([][]byte, burstFrames)
	for i := range frames {
		frames[i] = ipv4FrameTo(learnedFrom, 0)
	}
	next := 0
	b.ResetTimer()
	for n := 0; n < b.N; n += burstFrames {
		for _, f := range frames {
			frame.Ethernet(f[frame.VNetHeaderLen:]).SetDst(station(learnedFrom + next))
			if next++; next == count {
				next = 0
			}
		}
		load(p, burstFrames, frames...)
		p.worker.burst(p)
	}
	b.StopTimer()
}

// learnedFrom is the station whose address is the first of those that are learned.
const learnedFrom = 1 << 20

// learnMany has p known for that many addresses. The table grows beside it, and takes what it
// refused at the next attempt.
func learnMany(b *testing.B, s *Switch, p *Port, count int) {
	b.Helper()
	missing := count
	for attempt := 0; missing > 0 && attempt < 100; attempt++ {
		missing = 0
		for i := range count {
			key := fdb.Key(station(learnedFrom+i).Uint64(), p.segment.id)
			if s.table.Lookup(key) == 0 {
				missing++
				s.table.Learn(key, p.place(), 0, fdb.NoLimit)
			}
		}
		s.table.Rebuild()
	}
	if missing > 0 {
		b.Fatalf("%d of %d addresses are not known", missing, count)
	}
}
