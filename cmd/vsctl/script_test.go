package main

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"vswitch/api"
	"vswitch/api/apitest"
)

// Each script talks to a switch of its own through "vsctl ARGS", which must exit
// with 0; "! vsctl ARGS", which must exit with 1; and "misuse ARGS", with 2. "learn
// PORT AGE", "count PORT NAME=N..." and "hit SEGMENT POSITION N" make the switch see
// traffic; "pool SUBNET [SEGMENT]" makes a pool, with a segment over it.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			fake := apitest.New()
			env.Values["fake"] = fake
			env.Setenv(socketVariable, apitest.Serve(t, fake))
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
			"misuse": func(ts *testscript.TestScript, _ bool, args []string) { script(ts, args, exitUsage) },
			"learn":  learn,
			"count":  count,
			"hit":    hit,
			"pool":   pool,
		},
	})
}

func script(ts *testscript.TestScript, args []string, want int) {
	got := run(context.Background(), args, strings.NewReader(""), ts.Stdout(), ts.Stderr(), ts.Getenv)
	if got != want {
		ts.Fatalf("vsctl %q: exit status %d, want %d", args, got, want)
	}
}

func learn(ts *testscript.TestScript, _ bool, args []string) {
	age, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Value("fake").(*apitest.Fake).Learn(args[0], age)
}

func count(ts *testscript.TestScript, _ bool, args []string) {
	c := api.Counters{Drops: map[string]uint64{}}
	into := map[string]*uint64{"rx_frames": &c.RxFrames, "rx_bytes": &c.RxBytes, "tx_frames": &c.TxFrames, "tx_bytes": &c.TxBytes}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		ts.Check(err)
		if field, ok := into[name]; ok {
			*field = n
		} else {
			c.Drops[name] = n
		}
	}
	ts.Value("fake").(*apitest.Fake).SetCounters(args[0], c)
}

func hit(ts *testscript.TestScript, _ bool, args []string) {
	position, err := strconv.Atoi(args[1])
	ts.Check(err)
	frames, err := strconv.ParseUint(args[2], 10, 64)
	ts.Check(err)
	ts.Value("fake").(*apitest.Fake).Hit(args[0], position, frames)
}

func pool(ts *testscript.TestScript, _ bool, args []string) {
	fake := ts.Value("fake").(*apitest.Fake)
	made, err := fake.AddPool(context.Background(), api.PoolSpec{Subnet: netip.MustParsePrefix(args[0])})
	ts.Check(err)
	if len(args) > 1 {
		_, err = fake.AddSegmentOver(context.Background(), made.ID, api.SegmentSpec{Name: args[1]})
		ts.Check(err)
	}
}
