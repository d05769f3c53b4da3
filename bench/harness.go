package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
	"vswitch/bench/stat"
)

// Defaults and bounds of a run.
const (
	DefaultRounds   = 5
	DefaultDuration = 2 * time.Second

	maxRounds   = 1000
	minDuration = 10 * time.Millisecond
	maxDuration = 10 * time.Minute
)

// Options say what to run. The zero value of a field is its default.
type Options struct {
	Suite     Suite         // the scenarios to choose from
	Scenarios []string      // names; none: all
	Cases     []string      // names or patterns as of [path.Match]; none: all
	Peers     []string      // names, or what stands before their dash; none: all
	Rounds    int           // default [DefaultRounds]
	Duration  time.Duration // of one measurement; default [DefaultDuration]
	// Bin is the directory where vswitchd is looked for before PATH.
	Bin string
	// Helper is the command that calls [Helper] with the arguments added to it.
	Helper []string
	// Progress, if there is one, is told before each measurement.
	Progress func(Progress)
	// Save, if there is one, is given what there is so far after each case, and at
	// the end. Its error ends the run.
	Save func(*report.Result) error
}

// Progress says where a run is.
type Progress struct {
	Scenario, Case, Peer string
	Round                int // from 1
	Done, Total          int // measurements
	Left                 time.Duration
}

// Run measures. When ctx ends, the result is what was measured until then, and the
// error says so; a measurement that fails is no error but a [report.Failure] in the result.
// Whatever the run set up it has taken down when Run returns.
func Run(ctx context.Context, o Options) (*report.Result, error) {
	h, err := newHarness(o)
	if err != nil {
		return nil, err
	}
	err = h.run(ctx)
	err = errors.Join(err, h.lab.Close())
	h.result.Finished = time.Now().UTC()
	if o.Save != nil {
		err = errors.Join(err, o.Save(h.result))
	}
	return h.result, err
}

// Helper runs one of the helper programs of package load: see [load.Helper]. The main program
// offers it as a hidden command.
func Helper(args []string, out io.Writer) error { return load.Helper(args, out) }

// PeerNames returns the names of all peers.
func PeerNames() []string { return peer.Names() }

// harness is a run.
type harness struct {
	o         Options
	lab       *peer.Lab
	scenarios []scenario
	peers     []peer.Peer
	result    *report.Result
	series    map[report.SeriesKey]int         // where in the result
	samples   map[report.SeriesKey][][]float64 // quantiles of each round

	started      time.Time
	done, total  int
	spent, whole time.Duration // estimates for what is done and for all, of which their ratio counts
}

func newHarness(o Options) (*harness, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if len(o.Helper) == 0 {
		return nil, errors.New("no helper command")
	}
	o = o.withDefaults()
	h := &harness{
		o: o, series: make(map[report.SeriesKey]int), samples: make(map[report.SeriesKey][][]float64),
	}
	var err error
	if h.scenarios, err = o.Suite.choose(o.Scenarios); err != nil {
		return nil, err
	}
	if h.peers, err = peer.Select(o.Peers); err != nil {
		return nil, err
	}
	if h.lab, err = peer.NewLab(o.Helper, o.Bin); err != nil {
		return nil, err
	}
	h.result = &report.Result{
		Schema: report.SchemaVersion, Started: time.Now().UTC(), Machine: thisMachine(h.lab),
		Settings: report.Settings{Rounds: o.Rounds, Duration: o.Duration}, Series: []report.Series{},
	}
	for _, s := range h.scenarios {
		h.result.Settings.Scenarios = append(h.result.Settings.Scenarios, s.name)
	}
	for _, p := range h.peers {
		h.result.Settings.Peers = append(h.result.Settings.Peers, p.Name())
	}
	h.leaveOutMissing()
	if h.plan(); h.total == 0 {
		return nil, errors.New("nothing to measure: no case of these scenarios is known by that name, " +
			"or none of these peers can run")
	}
	return h, nil
}

func (o Options) withDefaults() Options {
	if o.Rounds == 0 {
		o.Rounds = DefaultRounds
	}
	if o.Duration == 0 {
		o.Duration = DefaultDuration
	}
	return o
}

// Check says what is wrong with names and numbers, which is for the user to mend.
func (o Options) Check() error {
	switch o = o.withDefaults(); {
	case o.Rounds < 1 || o.Rounds > maxRounds:
		return fmt.Errorf("rounds %d: give 1 to %d", o.Rounds, maxRounds)
	case o.Duration < minDuration || o.Duration > maxDuration:
		return fmt.Errorf("duration %v of a measurement: give %v to %v",
			o.Duration, minDuration, maxDuration)
	}
	for _, p := range o.Cases {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("case %q: %w: give a name such as size=64 or a pattern such as size=*", p, err)
		}
	}
	_, unknownScenario := o.Suite.choose(o.Scenarios)
	_, unknownPeer := peer.Select(o.Peers)
	return cmp.Or(unknownScenario, unknownPeer)
}

// leaveOutMissing takes out the peers that can't run here, and says so in the result.
func (h *harness) leaveOutMissing() {
	var present []peer.Peer
	for _, p := range h.peers {
		if err := p.Available(h.lab); err != nil {
			h.result.Failures = append(h.result.Failures, report.Failure{Peer: p.Name(), Error: err.Error()})
			continue
		}
		present = append(present, p)
	}
	h.peers = present
}

// job is one case with the peers that can do it.
type job struct {
	scenario string
	variant  variant
	peers    []peer.Peer
	rounds   int
}

// startStop is about what setting up and taking down takes.
const startStop = time.Second

func (h *harness) plan() []job {
	var jobs []job
	h.total, h.whole = 0, 0
	for _, s := range h.scenarios {
		for _, v := range s.cases(h.o.Duration) {
			if !v.rounds && !matchCase(h.o.Cases, v.name) {
				continue
			}
			j := job{scenario: s.name, variant: v, rounds: h.o.Rounds}
			if v.rounds {
				j.rounds = 1
			}
			for _, p := range h.peers {
				if p.Limits().Allow(v.needs) {
					j.peers = append(j.peers, p)
				}
			}
			jobs = append(jobs, j)
			h.total += j.rounds * len(j.peers)
			h.whole += time.Duration(j.rounds*len(j.peers)) * (v.about + startStop)
		}
	}
	return jobs
}

func (h *harness) run(ctx context.Context) error {
	h.started = time.Now()
	for _, j := range h.plan() {
		for round := range j.rounds {
			for i := range j.peers {
				if round%2 == 1 {
					i = len(j.peers) - 1 - i // back again
				}
				h.step(ctx, j, j.peers[i], round+1)
				if ctx.Err() != nil {
					return fmt.Errorf("interrupted at %d of %d measurements: %w",
						h.done, h.total, context.Cause(ctx))
				}
			}
		}
		if h.o.Save != nil {
			if err := h.o.Save(h.result); err != nil {
				return err
			}
		}
	}
	return nil
}

// step is one measurement with its report.
func (h *harness) step(ctx context.Context, j job, p peer.Peer, round int) {
	if h.o.Progress != nil {
		h.o.Progress(Progress{
			Scenario: j.scenario, Case: j.variant.name, Peer: p.Name(), Round: round,
			Done: h.done, Total: h.total, Left: h.left(),
		})
	}
	// Nothing that works takes so long; a transfer that stalls might take forever.
	most := 4*j.variant.about + time.Minute
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	readings, err := h.measure(limited, p, j.variant)
	if err != nil && limited.Err() != nil {
		err = fmt.Errorf("not done within %v: %w", most, err)
	}
	if ctx.Err() != nil {
		return // neither a value nor a failure
	}
	if err != nil {
		h.result.Failures = append(h.result.Failures, report.Failure{
			Scenario: j.scenario, Case: j.variant.name, Peer: p.Name(), Round: round, Error: err.Error(),
		})
	}
	h.record(j, p, readings)
	h.done++
	h.spent += j.variant.about + startStop
}

// left is estimated from how well the estimates were until now.
func (h *harness) left() time.Duration {
	rest := h.whole - h.spent
	if h.spent > 0 {
		rest = time.Duration(float64(rest) * float64(time.Since(h.started)) / float64(h.spent))
	}
	return rest.Round(time.Second)
}

// measure starts a peer, puts the question, and takes everything down. A figure from
// a measurement that failed in part does not count.
func (h *harness) measure(
	ctx context.Context, p peer.Peer, v variant,
) (readings []reading, err error) {
	if v.opens {
		return v.measure(ctx, &stage{h: h, peer: p, duration: h.o.Duration, rounds: h.o.Rounds})
	}
	s, err := h.setUp(ctx, h.lab, p, v.needs, v.bare)
	if err == nil {
		readings, err = v.measure(ctx, s)
	}
	if err = errors.Join(err, s.takeDown()); err != nil {
		return nil, err
	}
	return readings, nil
}

// setUp starts a peer in l with the endpoints of a case that needs n, which it attaches unless
// the case wants them bare. What it returns must be taken down even if there was an error.
func (h *harness) setUp(
	ctx context.Context, l *peer.Lab, p peer.Peer, n peer.Needs, bare bool,
) (*stage, error) {
	s := &stage{h: h, peer: p, lab: l, duration: h.o.Duration, rounds: h.o.Rounds}
	if err := l.Begin(); err != nil {
		return s, err
	}
	namespaces := slices.Repeat([]string{l.Host()}, n.Ports)
	if !n.Local {
		var err error
		if namespaces, err = l.EndpointNamespaces(n.Ports); err != nil {
			return s, err
		}
	}
	s.endpoints = place(namespaces, n)
	fabric, err := p.Start(ctx, l, n)
	if err != nil {
		return s, fmt.Errorf("start: %w", err)
	}
	s.fabric = fabric // which is no nil of some type
	if !bare {
		if err := s.fabric.Attach(ctx, s.endpoints...); err != nil {
			return s, fmt.Errorf("attach: %w", err)
		}
	}
	return s, nil
}

// open starts the stage's peer once more, in a lab of its own, for a case that needs n. What it
// returns must be closed, even if there was an error.
func (s *stage) open(ctx context.Context, n peer.Needs) (*stage, error) {
	l, err := peer.NewLab(s.h.o.Helper, s.h.o.Bin)
	if err != nil {
		return &stage{h: s.h}, err
	}
	return s.h.setUp(ctx, l, s.peer, n, false)
}

// takeDown stops the peer, and removes what the measurement has set up in the lab.
func (s *stage) takeDown() (err error) {
	if s.fabric != nil {
		err = s.fabric.Close()
	}
	return errors.Join(err, s.lab.End(s.endpoints))
}

// close takes down a stage from open, with its lab.
func (s *stage) close() error {
	if s.lab == nil {
		return nil
	}
	return errors.Join(s.takeDown(), s.lab.Close())
}

// record adds the readings of one round to their series.
func (h *harness) record(j job, p peer.Peer, readings []reading) {
	for _, r := range readings {
		if r.at.name == "" {
			r.at = point{j.variant.name, j.variant.x}
		}
		s := report.Series{
			Scenario: j.scenario, Case: r.at.name, X: r.at.x, Peer: p.Name(),
			Metric: r.metric, Unit: r.unit, Better: r.better,
		}
		i, known := h.series[s.Key()]
		if !known {
			i = len(h.result.Series)
			h.series[s.Key()] = i
			h.result.Series = append(h.result.Series, s)
		}
		at := &h.result.Series[i]
		at.Values = append(at.Values, r.value)
		if r.quantiles != nil {
			h.samples[s.Key()] = append(h.samples[s.Key()], r.quantiles)
			at.Sample = stat.Pool(h.samples[s.Key()])
		}
	}
}
