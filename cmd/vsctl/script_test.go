package main

import (
	"bytes"
	"context"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// Each script talks to a switch of its own through "vsctl ARGS", which must exit with 0;
// "! vsctl ARGS", which must exit with 1; and "misuse ARGS", with 2. "netns NAME..." and
// "process PID" make containers; "send", "learn" and "runts" have them send frames; "pool SUBNET
// [SEGMENT]" makes a pool, with a segment over it. All times are shown as [scriptTime], and all ages
// as [scriptAge].
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			b := controltest.New(t)
			env.Values["switch"] = b
			env.Setenv(socketVariable, apitest.Serve(t, fixed{b}))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"vsctl": func(ts *testscript.TestScript, neg bool, args []string) {
				want := exitOK
				if neg {
					want = exitFailure
				}
				script(ts, args, want)
			},
			"misuse":  func(ts *testscript.TestScript, _ bool, args []string) { script(ts, args, exitUsage) },
			"netns":   makeNamespaces,
			"process": startProcess,
			"send":    send,
			"learn":   learn,
			"runts":   runts,
			"await":   await,
			"pool":    pool,
		},
	})
}

// These stand for all times, and for all ages in seconds, which differ from one run to the next.
const (
	scriptTime = "2026-01-02T03:04:05Z"
	scriptAge  = 12
)

// fixed is a switch that says the same in each run: what it was built from, and that all learned
// entries are of [scriptAge].
type fixed struct{ *controltest.Switch }

func (b fixed) Version(ctx context.Context) (api.Version, error) {
	v, err := b.Switch.Version(ctx)
	v.GoVersion, v.Revision = "go1.26.0", "0123456789abcdef"
	return v, err
}

func (b fixed) FDB(ctx context.Context, segment string) ([]api.FDBEntry, error) {
	list, err := b.Switch.FDB(ctx, segment)
	for i := range list {
		if list[i].Kind == api.Dynamic {
			list[i].AgeSeconds = scriptAge
		}
	}
	return list, err
}

var anyTime = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

func script(ts *testscript.TestScript, args []string, want int) {
	var stdout bytes.Buffer
	got := run(context.Background(), args, strings.NewReader(""), &stdout, ts.Stderr(), ts.Getenv)
	_, err := ts.Stdout().Write(anyTime.ReplaceAll(stdout.Bytes(), []byte(scriptTime)))
	ts.Check(err)
	if got != want {
		ts.Fatalf("vsctl %q: exit status %d, want %d", args, got, want)
	}
}

func switchOf(ts *testscript.TestScript) *controltest.Switch {
	return ts.Value("switch").(*controltest.Switch)
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

func port(ts *testscript.TestScript, name string) api.Port {
	p, err := switchOf(ts).Port(context.Background(), name)
	ts.Check(err)
	return p
}

func makeNamespaces(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		switchOf(ts).Machine.AddNamespace(name)
	}
}

func startProcess(ts *testscript.TestScript, _ bool, args []string) {
	switchOf(ts).Machine.StartProcess(number(ts, args[0]))
}

// send has a port's container send N datagrams to an address: "send PORT ADDRESS N". They go to
// the port on the same segment that has it, or else to the gateway.
func send(ts *testscript.TestScript, _ bool, args []string) {
	from, to := port(ts, args[0]), netip.MustParseAddr(args[1])
	b := switchOf(ts)
	entries, err := b.ARP(context.Background(), from.Segment)
	ts.Check(err)
	var mac, gateway frame.MAC
	for _, e := range entries {
		switch e.IP.String() {
		case args[1]:
			mac = e.MAC
		case from.Gateway:
			gateway = e.MAC
		}
	}
	if mac == (frame.MAC{}) {
		mac = gateway
	}
	datagram := switchtest.UDP(mac, from.MAC, netip.AddrPortFrom(to, 9),
		netip.AddrPortFrom(from.IPs[0].Addr(), 4000), make([]byte, 56))
	for range number(ts, args[2]) {
		b.Send(from.Name, datagram)
	}
}

// learn has the switch learn an address behind a port, which is the port's own with 06 as its
// first byte, and which its security must allow: "learn PORT".
func learn(ts *testscript.TestScript, _ bool, args []string) {
	p := port(ts, args[0])
	behind := p.MAC
	behind[0] = 0x06
	switchOf(ts).Send(p.Name, switchtest.Frame(frame.Broadcast, behind, "here I am"))
}

// runts has a port's container send N frames that are too short: "runts PORT N".
func runts(ts *testscript.TestScript, _ bool, args []string) {
	for range number(ts, args[1]) {
		switchOf(ts).Send(args[0], make([]byte, 10))
	}
}

// await waits until so many frames have been written to a port or a host link: "await NAME N".
// Announcements of other ports are among them, which come at their own time.
func await(ts *testscript.TestScript, _ bool, args []string) {
	b, want := switchOf(ts), uint64(number(ts, args[1]))
	b.Await("await "+strings.Join(args, " "), func() bool {
		segments, err := b.Segments(context.Background())
		ts.Check(err)
		for _, s := range segments {
			if s.HostLink.Name == args[0] {
				return s.HostLink.Counters.TxFrames == want
			}
		}
		return port(ts, args[0]).Counters.TxFrames == want
	})
}

func pool(ts *testscript.TestScript, _ bool, args []string) {
	b, ctx := switchOf(ts), context.Background()
	made, err := b.AddPool(ctx, api.PoolSpec{Subnet: netip.MustParsePrefix(args[0])})
	ts.Check(err)
	if len(args) > 1 {
		_, err = b.AddSegmentOver(ctx, made.ID, api.SegmentSpec{Name: args[1]})
		ts.Check(err)
	}
}
