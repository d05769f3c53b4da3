package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"vswitch/bench"
	"vswitch/bench/report"
)

// resultFile is where a run leaves its result below --out.
const resultFile = "result.json"

// suiteCommand is a command that runs the scenarios of a suite.
type suiteCommand struct {
	suite            bench.Suite
	use, short, long string
	example          string
}

func newRunCommand() *cobra.Command {
	return suiteCommand{
		suite: bench.SuiteAll, use: "run", short: "Run scenarios on all peers present",
		long: `Run scenarios on all peers present, one at a time, in network namespaces of its
own, and print medians, their spread and their ratio to the kernel bridge. Each
round goes through the peers forth or back in turn, so that drift hits all alike.
Needs root.`,
		example: `  vsbench run --out result
  vsbench run --scenario frames --case size=64 --peer vswitch,bridge --rounds 9
  vsbench run --scenario ping,tcp --seconds 5`,
	}.command()
}

func newRFC2889Command() *cobra.Command {
	return suiteCommand{
		suite: bench.SuiteRFC2889, use: "rfc2889", short: "Run the tests of RFC 2889 for LAN switches",
		long: `Run the tests of RFC 2889, by its sections: forwarding rate and loss, fully (5.1)
and partially meshed (5.2, 5.4), congestion control (5.5), address caching
capacity (5.7), address learning rate (5.8), errored frames (5.9) and broadcast
frames (5.10). Needs root.

Interfaces here are memory: there is no wire speed, so that loads are given as a
share of the highest rate that the peer forwards, no gap between frames (5.6) and
no frame check sequence. Section 5.3 wants two switches with an uplink.`,
		example: `  vsbench rfc2889 --out rfc2889
  vsbench rfc2889 --scenario 5.1-fully-meshed --case 'ports=*size=64' --peer vswitch,bridge`,
	}.command()
}

func newSizeCommand() *cobra.Command {
	return suiteCommand{
		suite: bench.SuiteSize, use: "size", short: "Measure what more ports, addresses and flows cost",
		long: `Measure the rate of the smallest frames with more and more ports (one pair, random
pairs, floods), learned addresses, and flows over the flow cache; the processor
time of quiet ports; and the memory of ports and workers. All sizes of a peer run
at the same time and are measured in turn. Ports stay in the peer's namespace, and
traffic is from packet sockets, since the kernel's neighbour table is full long
before (net.ipv4.neigh.default.gc_thresh3). Needs root.`,
		example: `  vsbench size --out size
  vsbench size --scenario size-ports --peer vswitch-adaptive --rounds 9 --seconds 0.3`,
	}.command()
}

func (s suiteCommand) command() *cobra.Command {
	o := bench.Options{Suite: s.suite, Rounds: bench.DefaultRounds}
	seconds, out := bench.DefaultDuration.Seconds(), ""
	c := &cobra.Command{
		Use:   s.use,
		Short: s.short,
		Long: fmt.Sprintf(`%s

Scenarios: %s.
Peers: %s; vswitch and relay alone are all of their poll modes.

On Ctrl-C it takes everything down and keeps what was measured until then.`,
			s.long, strings.Join(s.suite.ScenarioNames(), ", "), strings.Join(bench.PeerNames(), ", ")),
		Example: s.example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unexpected argument %q: %s takes flags only", args[0], s.use)
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if !(seconds > 0 && seconds < math.MaxInt32) {
				return usageError{fmt.Errorf("--seconds %v: give a number above 0", seconds)}
			}
			o.Duration = time.Duration(seconds * float64(time.Second))
			if err := o.Check(); err != nil {
				return usageError{err}
			}
			return run(c.Context(), o, out, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	peers := "all"
	if o.Peers = s.suite.DefaultPeers(); o.Peers != nil {
		peers = strings.Join(o.Peers, ",")
	}
	s.addFlags(c.Flags(), &o, peers)
	c.Flags().Float64Var(&seconds, "seconds", seconds, "how long one measurement takes; iperf3 rounds it up to whole seconds")
	c.Flags().StringVar(&out, "out", "", "directory for "+resultFile+", made if missing (default: not written)")
	s.complete(c)
	return c
}

func (s suiteCommand) addFlags(f *pflag.FlagSet, o *bench.Options, peers string) {
	f.StringSliceVar(&o.Scenarios, "scenario", nil, "scenarios to run (default all)")
	f.StringSliceVar(&o.Cases, "case", nil, "cases to run, names or patterns such as size=64 or streams=* (default all)")
	f.StringSliceVar(&o.Peers, "peer", o.Peers, "peers to measure (default "+peers+")")
	f.Lookup("peer").DefValue = "[]" // the line above says it
	f.IntVar(&o.Rounds, "rounds", o.Rounds, "how often to measure each")
	f.StringVar(&o.Bin, "bin", "", "directory of vswitchd (default: that of vsbench, then PATH)")
}

// complete has the shell complete the names of scenarios and peers.
func (s suiteCommand) complete(c *cobra.Command) {
	fixed := func(names []string) cobra.CompletionFunc {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return names, cobra.ShellCompDirectiveNoFileComp
		}
	}
	// They fail only for a flag that does not exist.
	_ = c.RegisterFlagCompletionFunc("scenario", fixed(s.suite.ScenarioNames()))
	_ = c.RegisterFlagCompletionFunc("peer", fixed(bench.PeerNames()))
}

// run measures, and prints and keeps what there is, also when it was interrupted.
func run(ctx context.Context, o bench.Options, out string, stdout, stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.Helper = []string{self, helperCommand}
	if o.Bin == "" {
		o.Bin = filepath.Dir(self)
	}
	progress := newProgress(stderr)
	o.Progress = progress.show
	if out != "" {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return fmt.Errorf("--out %s: %w", out, err)
		}
		o.Save = func(r *report.Result) error { return r.Write(filepath.Join(out, resultFile)) }
	}
	result, err := bench.Run(ctx, o)
	progress.end()
	if result == nil {
		return err
	}
	return errors.Join(err, report.WriteTable(stdout, result))
}

// progress is the line that tells where a run is: rewritten in place on a
// terminal, one after another elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progress) show(at bench.Progress) {
	line := fmt.Sprintf("[%d/%d] %s %s, round %d: %s, %v left", at.Done+1, at.Total, at.Scenario, at.Case, at.Round, at.Peer, at.Left)
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.w, line)
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
