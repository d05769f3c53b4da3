package vswitch

import (
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// BenchmarkStage has one sub-benchmark for each optional stage of the packet path, in up to
// three states: "absent", where the switch has nothing of the kind; "elsewhere", where another
// port or segment of the switch has it, or it is there and has nothing to do; and "on", where
// each frame goes through it. A stage costs nothing where it is not configured if the first
// two take the same time.
func BenchmarkStage(b *testing.B) {
	for _, stage := range []struct {
		name              string
		absent, elsewhere stageSetup
		on                stageSetup
	}{
		{"rules", plainStage, withRules(true), withRules(false)},
		{"rate-in", plainStage, withPolicy(2, ratedIn), withPolicy(0, ratedIn)},
		{"rate-out", plainStage, withPolicy(2, ratedOut), withPolicy(1, ratedOut)},
		{"mac-only", plainStage, withPolicy(2, macOnly), withPolicy(0, macOnly)},
		{"strict", plainStage, withPolicy(2, strict), withPolicy(0, strict)},
		{"isolation", plainStage, withPolicy(2, isolated), withPolicy(0, isolated)},
		{"observer", plainStage, withObserver(true), withObserver(false)},
		{"host-filter", plainStage, withHostPort(false), withHostPort(true)},
		{"flap-detection", plainStage, withFlaps(false), withFlaps(true)},
		{"violation-report", violationStage(nil), nil, violationStage(func(Violation) {})},
		{"flood-limit", floodStage(-1), nil, floodStage(policy.MaxFloodLimit)},
		{"mac-limit", learningStage(-1), nil, learningStage(1 << 20)},
	} {
		for _, state := range []struct {
			name  string
			setUp stageSetup
		}{{"absent", stage.absent}, {"elsewhere", stage.elsewhere}, {"on", stage.on}} {
			if state.setUp == nil {
				continue
			}
			b.Run(stage.name+"/"+state.name, func(b *testing.B) { runStage(b, state.setUp(b)) })
		}
	}
}

// TestStagesDoNotAllocate holds for each stage where it is on.
func TestStagesDoNotAllocate(t *testing.T) {
	for name, setUp := range map[string]stageSetup{
		"rules": withRules(false), "rate in": withPolicy(0, ratedIn), "rate out": withPolicy(1, ratedOut),
		"observer": withObserver(false), "host filter": withHostPort(true), "flap detection": withFlaps(true),
		"violation": violationStage(nil), "flood limit": floodStage(policy.MaxFloodLimit),
		"MAC limit": learningStage(1 << 20),
	} {
		t.Run(name, func(t *testing.T) {
			run := setUp(t)
			w := run.ports[0].worker
			var allocs float64
			w.do(func() { allocs = testing.AllocsPerRun(100, func() { run.burst(burstFrames) }) })
			if allocs != 0 && !raceEnabled { // the race detector allocates
				t.Errorf("%v allocations in a burst of %d frames, want none", allocs, burstFrames)
			}
		})
	}
}

// stageRun is a switch whose first ports send frames in turn, a burst each.
type stageRun struct {
	ports  []*Port
	frames [][]byte
	turns  int // of the first ports; the frame at a port's index is that port's
}

// stageSetup makes a run, in its own switch.
type stageSetup func(tb testing.TB) *stageRun

// burst carries n frames of each port in turn.
func (r *stageRun) burst(n int) {
	for i, p := range r.ports[:r.turns] {
		d := p.device.(*nullDevice)
		if r.turns == 1 {
			d.frames = r.frames
		} else {
			d.frames = r.frames[i : i+1]
		}
		d.left = n
		for d.left > 0 {
			p.worker.burst(p)
		}
	}
}

func runStage(b *testing.B, r *stageRun) {
	b.ReportAllocs()
	r.ports[0].worker.do(func() {
		r.burst(1)
		b.ResetTimer()
		if r.turns == 1 {
			r.burst(b.N)
		} else {
			for range b.N / r.turns {
				r.burst(1)
			}
		}
		b.StopTimer()
	})
}

func unlimited(int) policy.Policy { return policy.Policy{FloodLimit: -1, MACLimit: -1} }

func ratedIn(int) policy.Policy {
	return policy.Policy{FloodLimit: -1, RateIn: policy.Rate{BitsPerSecond: policy.MaxRate}}
}

func ratedOut(int) policy.Policy {
	return policy.Policy{FloodLimit: -1, RateOut: policy.Rate{BitsPerSecond: policy.MaxRate}}
}

func macOnly(i int) policy.Policy {
	return policy.Policy{Security: policy.SecurityMACOnly, MAC: station(i), FloodLimit: -1}
}

func isolated(int) policy.Policy { return policy.Policy{FloodLimit: -1, Isolated: true} }

// withPolicy is a flow of IPv4 from port 0 to port 1, with that policy at one of three ports.
func withPolicy(at int, special func(int) policy.Policy) stageSetup {
	return func(tb testing.TB) *stageRun {
		_, ports := newNullSwitchWith(tb, 3, func(i int) policy.Policy {
			if i == at {
				return special(i)
			}
			return unlimited(i)
		})
		return &stageRun{ports: ports, frames: [][]byte{ipv4Frame(station(1), 0)}, turns: 1}
	}
}

func plainStage(tb testing.TB) *stageRun { return withPolicy(-1, unlimited)(tb) }

// withRules is that flow under ten rules that do not match it, or with them on another segment.
func withRules(elsewhere bool) stageSetup {
	return func(tb testing.TB) *stageRun {
		s, ports := newNullSwitchWith(tb, 3, unlimited)
		seg := ports[0].segment
		if elsewhere {
			seg = addNullPorts(tb, s, 2, unlimited)[0].segment
		}
		rules := make([]Rule, 10)
		for i := range rules {
			port := uint16(i) + 1
			rules[i] = Rule{
				Protocol: policy.ProtocolTCP, Ports: policy.PortRange{First: port, Last: port},
				Action: policy.Deny,
			}
		}
		if err := seg.SetRules(rules); err != nil {
			tb.Fatal(err)
		}
		return &stageRun{ports: ports, frames: [][]byte{ipv4Frame(station(1), 0)}, turns: 1}
	}
}

// countingObserver does as little as an observer can.
type countingObserver struct{ seen int }

func (o *countingObserver) Observe(*Event) { o.seen++ }

// withObserver is that flow with an observer, or after there was one.
func withObserver(gone bool) stageSetup {
	return func(tb testing.TB) *stageRun {
		run := plainStage(tb)
		s := run.ports[0].segment.owner
		s.SetObserver(&countingObserver{})
		if gone {
			s.SetObserver(nil)
		}
		return run
	}
}

// withHostPort is a flow from the host's port through its filter, or between two others beside
// it.
func withHostPort(fromHost bool) stageSetup {
	return func(tb testing.TB) *stageRun {
		s, ports := newNullSwitchWith(tb, 3, unlimited)
		seg := ports[0].segment
		if _, err := s.AddResponder(seg, station(100), toHostResponder{}); err != nil {
			tb.Fatal(err)
		}
		host, err := s.AddHostPort(seg, &nullDevice{}, passFilter{}, PortConfig{Policy: unlimited(0)})
		if err != nil {
			tb.Fatal(err)
		}
		if !fromHost {
			return &stageRun{ports: ports, frames: [][]byte{ipv4Frame(station(1), 0)}, turns: 1}
		}
		return &stageRun{
			ports: slices.Concat([]*Port{host}, ports), turns: 1,
			frames: [][]byte{rawFrame(station(1), station(100), frame.EtherTypeIPv4)},
		}
	}
}

// withFlaps looks for loops in that flow, in which no address moves, or in frames from one
// address that come in turn from two ports, without end of the patience for them.
func withFlaps(moving bool) stageSetup {
	return func(tb testing.TB) *stageRun {
		s := newNullSwitchOf(tb, Options{LoopMoves: policy.MaxFlapLimit})
		ports := addNullPorts(tb, s, 3, unlimited)
		if !moving {
			return &stageRun{ports: ports, frames: [][]byte{ipv4Frame(station(1), 0)}, turns: 1}
		}
		s.workers[0].do(func() { s.workers[0].loop.moves = 1 << 31 })
		f := rawFrame(station(2), station(50), frame.EtherTypeIPv4)
		return &stageRun{ports: ports, frames: [][]byte{f, f}, turns: 2}
	}
}

// violationStage drops each frame, for a source that is not the port's, and has report told.
func violationStage(report func(Violation)) stageSetup {
	return func(tb testing.TB) *stageRun {
		s := newNullSwitchOf(tb, Options{LoopMoves: -1, OnViolation: report})
		ports := addNullPorts(tb, s, 2, macOnly)
		return &stageRun{
			ports: ports, frames: [][]byte{rawFrame(station(1), station(7), frame.EtherTypeIPv4)}, turns: 1,
		}
	}
}

// floodStage floods each frame to one other port, within that limit.
func floodStage(limit int) stageSetup {
	return func(tb testing.TB) *stageRun {
		_, ports := newNullSwitchWith(tb, 2, func(int) policy.Policy {
			return policy.Policy{FloodLimit: limit, MACLimit: -1}
		})
		f := rawFrame(frame.Broadcast, station(0), frame.EtherTypeIPv4)
		return &stageRun{ports: ports, frames: [][]byte{f}, turns: 1}
	}
}

// learningStage sends from 64 addresses in turn, which are known from the first time on.
func learningStage(limit int) stageSetup {
	return func(tb testing.TB) *stageRun {
		_, ports := newNullSwitchWith(tb, 2, func(int) policy.Policy {
			return policy.Policy{FloodLimit: -1, MACLimit: limit}
		})
		frames := make([][]byte, 64)
		for i := range frames {
			frames[i] = rawFrame(station(1), station(100+i), frame.EtherTypeIPv4)
		}
		run := &stageRun{ports: ports, frames: frames, turns: 1}
		ports[0].worker.do(func() { run.burst(len(frames)) })
		return run
	}
}

// The stages drop nothing but what they are made for.
func TestStagesCarryTheirFrames(t *testing.T) {
	for name, test := range map[string]struct {
		setUp   stageSetup
		refused bool
	}{
		"plain": {plainStage, false}, "rules": {withRules(false), false},
		"rate in": {withPolicy(0, ratedIn), false}, "rate out": {withPolicy(1, ratedOut), false},
		"strict": {withPolicy(0, strict), false}, "host filter": {withHostPort(true), false},
		"moving": {withFlaps(true), false}, "violation": {violationStage(func(Violation) {}), true},
		"flood": {floodStage(policy.MaxFloodLimit), false}, "learning": {learningStage(1 << 20), false},
	} {
		t.Run(name, func(t *testing.T) {
			run := test.setUp(t)
			run.ports[0].worker.do(func() {
				for range 10 {
					run.burst(burstFrames)
				}
			})
			var rx, dropped uint64
			for _, p := range run.ports {
				c := p.Counters()
				rx += c.RxFrames
				for r, n := range c.Drops {
					if r != int(drop.None) {
						dropped += n
					}
				}
			}
			want := uint64(0)
			if test.refused {
				want = rx
			}
			if rx == 0 || dropped != want {
				t.Errorf("%d of %d frames dropped, want %d", dropped, rx, want)
			}
		})
	}
}
