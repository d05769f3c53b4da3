package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// portsVariable is how many ports the soak test of the starts attaches.
const portsVariable = "VSWITCH_PORTS"

// TestFramesAfterAStartOfManyPorts measures how long the frames of all ports stand still when the
// process that carries them is killed, or vswitchd is stopped and started.
func TestFramesAfterAStartOfManyPorts(t *testing.T) {
	if soak(t, 0) == 0 {
		t.Skipf("takes minutes: run it with $%s set", soakVariable)
	}
	c := newCrowd(newHost(t), soakPorts(t))
	c.Harmed()
	c.awaitFrames()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "START\tAPI ANSWERS\tFRAMES OF ALL PORTS\tFRAMES WRITTEN PER PORT\tCARRIERS")
	for _, s := range c.starts() {
		var answers, frames []time.Duration
		var written []uint64
		var carriers []int
		for range 3 {
			before, counted, from := c.Daemon, c.counters(), c.Daemon.Lines()
			begin := time.Now()
			s.do()
			answered := make(chan time.Duration)
			go func() { c.awaitAPI(); answered <- time.Since(begin) }()
			c.awaitFrames()
			frames = append(frames, time.Since(begin))
			answers = append(answers, <-answered)
			written = append(written, c.settled(counted)/uint64(len(c.members)))
			if c.Daemon != before {
				from = 0
			}
			carriers = append(carriers, c.carriersSince(from))
			c.Harmed()
		}
		if n := slices.Max(carriers); n > 1 {
			t.Errorf("%s: %d processes have carried frames one after another, want one", s.name, n)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", s.name, median(answers).Round(time.Millisecond),
			median(frames).Round(time.Millisecond), median(written), slices.Max(carriers))
	}
	w.Flush()
	fmt.Fprintf(&table, "a stop takes %s; the processes have %d KiB of memory per port\n",
		c.timeStop().Round(time.Millisecond), c.memory()/1024/len(c.members))
	if n := len(c.segments); n > 1 {
		fmt.Fprintf(&table, "del-segment --force of one of %d segments, with %d ports, takes %s\n",
			n, len(c.members)-(n-1)*crowdSegment, c.timeDelete(c.segments[n-1]).Round(time.Millisecond))
	}
	left, err := c.Client.Ports(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&table, "a stop with --stop-removes-ports takes %s with %d ports\n",
		c.timeRemoval().Round(time.Millisecond), len(left))
	t.Logf("%d ports, medians of 3:\n%s", len(c.members), &table)
}

// timeStop returns how long a stop takes, after which the daemon is started again.
func (c *crowd) timeStop() time.Duration {
	c.Helper()
	begin := time.Now()
	c.Stop()
	took := time.Since(begin)
	c.Start()
	c.Harmed()
	return took
}

// timeDelete returns how long a segment takes to be deleted together with its ports.
func (c *crowd) timeDelete(segment string) time.Duration {
	c.Helper()
	begin := time.Now()
	if _, err := c.Client.DeleteSegment(c.Context(), segment, true); err != nil {
		c.Fatal(err)
	}
	return time.Since(begin)
}

// timeRemoval returns how long a stop takes that removes all ports. The daemon is not started again.
func (c *crowd) timeRemoval() time.Duration {
	c.Helper()
	c.Stop()
	c.Start("--stop-removes-ports")
	c.Harmed()
	begin := time.Now()
	c.Stop()
	return time.Since(begin)
}

// memory returns how many bytes of memory the daemon's two processes have to themselves or share
// with each other alone.
func (c *crowd) memory() int {
	c.Helper()
	sum := 0
	for _, pid := range []int{c.Daemon.Pid(), c.Carrier()} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			c.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var kib int
			for _, kind := range []string{"RssAnon:", "RssShmem:"} {
				if n, _ := fmt.Sscanf(line, kind+" %d kB", &kib); n == 1 {
					sum += kib * 1024
				}
			}
		}
	}
	return sum
}

// soakPorts returns how many ports the soak test attaches.
func soakPorts(t *testing.T) int {
	t.Helper()
	text := os.Getenv(portsVariable)
	if text == "" {
		return 1000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 2 {
		t.Fatalf("$%s is %q: give a number of ports", portsVariable, text)
	}
	return n
}

// carriersSince returns how many processes have carried frames since that line of the log.
func (c *crowd) carriersSince(line int) int {
	lines := strings.SplitAfter(c.Daemon.Output(), "\n")
	return strings.Count(strings.Join(lines[line:], ""), "child is ready")
}

func median[T int | uint64 | time.Duration](values []T) T {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
