package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"vswitch/test/lab"
)

// Each script has a host of its own, on which it may run
//
//	daemon [FLAG...]      start vswitchd and wait until it serves
//	stop-daemon           end it by SIGTERM, and want exit status 0
//	ns NAME...            make namespaces; $NAME is what ip netns calls each
//	vsctl ARG...          want exit status 0; with "!" before it, 1
//	misuse ARG...         want exit status 2 and one line
//	ping-ok NAME ADDR     in a namespace: three pings, all answered
//	ping-none NAME ADDR   the same, none answered
//	in NAME COMMAND...    run a command in a namespace
//	keep NAME             set $NAME to standard output
//	json PATH WANT        want a value in standard output: "0.counters.drops.runt"
//
// besides testscript's own commands, which win over any of the same name: its stop
// ends a script. "!" vsctl wants one line on standard error.
func TestScripts(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	lab.RequireCommand(t, "ip", "nsenter", "ping")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon":      onStage((*stage).startDaemon),
			"stop-daemon": onStage((*stage).stopDaemon),
			"ns":          onStage((*stage).makeNamespaces),
			"in":          onStage((*stage).runInside),
			"json":        onStage((*stage).checkJSON),
			"keep":        onStage((*stage).keep),
			"vsctl": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg {
					vsctl(ts, args, 1)
				} else {
					vsctl(ts, args, 0)
				}
			},
			"misuse":    func(ts *testscript.TestScript, _ bool, args []string) { vsctl(ts, args, 2) },
			"ping-ok":   onStage((*stage).pingAll),
			"ping-none": onStage((*stage).pingNone),
		},
	})
}

// stage is what one script plays on.
type stage struct {
	tb         testing.TB
	env        *testscript.Env
	host       *lab.Host
	namespaces map[string]*lab.Namespace
}

func setUpScript(env *testscript.Env) error {
	tb, ok := env.T().(testing.TB)
	if !ok {
		return errors.New("scripts run as tests only")
	}
	s := &stage{
		tb: tb, env: env, host: lab.NewQuietHost(tb), namespaces: map[string]*lab.Namespace{},
	}
	env.Values["stage"] = s
	env.Setenv("VSWITCH_SOCKET", s.host.Socket)
	env.Setenv("PATH", filepath.Dir(lab.Program("vsctl"))+string(os.PathListSeparator)+env.Getenv("PATH"))
	return nil
}

// onStage makes a script's command of a method.
func onStage(do func(*stage, *testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command takes no \"!\"")
		}
		do(ts.Value("stage").(*stage), ts, args)
	}
}

func (s *stage) startDaemon(ts *testscript.TestScript, flags []string) {
	s.host.StateDir = ts.MkAbs("state")
	s.host.Start(flags...)
}

func (s *stage) stopDaemon(*testscript.TestScript, []string) { s.host.Stop() }

func (s *stage) makeNamespaces(ts *testscript.TestScript, names []string) {
	for _, name := range names {
		ns := lab.NewQuietNamespace(s.tb)
		s.namespaces[name] = ns
		ts.Setenv(name, ns.Name())
	}
}

// namespace is one that the script has made.
func (s *stage) namespace(ts *testscript.TestScript, args []string, least int) *lab.Namespace {
	if len(args) < least || s.namespaces[args[0]] == nil {
		ts.Fatalf("want the NAME of a namespace that ns has made, and more, got %q", args)
	}
	return s.namespaces[args[0]]
}

func (s *stage) runInside(ts *testscript.TestScript, args []string) {
	ns := s.namespace(ts, args, 2)
	ts.Check(ts.Exec("nsenter", append([]string{"--net=" + ns.Path(), "--"}, args[1:]...)...))
}

func (s *stage) pingAll(ts *testscript.TestScript, args []string) {
	if r := lab.Ping(s.tb, s.namespace(ts, args, 2), 3, args[1]); r.Received != r.Sent {
		ts.Fatalf("%d of %d answered:\n%s", r.Received, r.Sent, r.Output)
	}
}

func (s *stage) pingNone(ts *testscript.TestScript, args []string) {
	if r := lab.Ping(s.tb, s.namespace(ts, args, 2), 3, args[1], "-W", "0.5"); r.Received != 0 {
		ts.Fatalf("%d of %d answered:\n%s", r.Received, r.Sent, r.Output)
	}
}

// vsctl runs the real one. What fails says so in one line and nothing else,
// unless it had printed what succeeded before.
func vsctl(ts *testscript.TestScript, args []string, want int) {
	const variable = "VSWITCH_SOCKET"
	if h := ts.Value("stage").(*stage).host; ts.Getenv(variable) == h.Socket {
		ts.Setenv(variable, h.CheckedSocket())
		defer ts.Setenv(variable, h.Socket)
	}
	got := 0
	if err := ts.Exec(lab.Program("vsctl"), args...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("run vsctl: %v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("vsctl %q: exit status %d, want %d", args, got, want)
	}
	stderr := ts.ReadFile("stderr")
	switch lines := strings.Count(stderr, "\n"); {
	case want == 0 && stderr != "":
		ts.Fatalf("vsctl %q: succeeds and complains", args)
	case want != 0 && (lines != 1 || !strings.HasPrefix(stderr, "vsctl: ")):
		ts.Fatalf("vsctl %q: complains in %d lines, want one", args, lines)
	}
}

func (s *stage) keep(ts *testscript.TestScript, args []string) {
	if len(args) != 1 {
		ts.Fatalf("want NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// checkJSON walks standard output along a path of keys and indices.
func (s *stage) checkJSON(ts *testscript.TestScript, args []string) {
	if len(args) != 2 {
		ts.Fatalf("want PATH and WANT")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for key := range strings.SplitSeq(args[0], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			var i int
			ts.Check(json.Unmarshal([]byte(key), &i))
			if i >= len(at) {
				ts.Fatalf("%s: %d elements", args[0], len(at))
			}
			v = at[i]
		default:
			v = nil
		}
	}
	got, isText := v.(string)
	if !isText {
		text, err := json.Marshal(v)
		ts.Check(err)
		got = string(text)
	}
	if got != args[1] {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}
