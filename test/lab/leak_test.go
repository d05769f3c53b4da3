package lab

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patienceForLeak is short, since the leaks made here do not go away.
const patienceForLeak = 20 * time.Millisecond

// leaksOf is what a check finds after f.
func leaksOf(f func()) string {
	check := watch(patienceForLeak)
	f()
	return strings.Join(check(), "\n")
}

func command(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
}

func TestLeakCheckAcceptsATidyTest(t *testing.T) {
	standing, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer standing.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() { <-stop }()

	r := record(func(tb testing.TB) {
		LeakCheck(tb)
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Error(err)
			return
		}
		tb.Cleanup(func() { f.Close() })
		ended := make(chan struct{})
		go close(ended)
		<-ended
	})
	if r.failed {
		t.Errorf("a tidy test fails: %s", r.said())
	}
}

func TestLeakCheckNamesADescriptor(t *testing.T) {
	path := t.TempDir() + "/left"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var f *os.File
	got := leaksOf(func() {
		var err error
		if f, err = os.Open(path); err != nil {
			t.Fatal(err)
		}
	})
	f.Close()
	if !strings.Contains(got, "descriptor left open") || !strings.Contains(got, path) {
		t.Errorf("got %q, want the open descriptor of %s named", got, path)
	}
}

func TestLeakCheckNamesAGoroutine(t *testing.T) {
	stop, ended := make(chan struct{}), make(chan struct{})
	got := leaksOf(func() { go waitForStop(stop, ended) })
	close(stop)
	<-ended
	if !strings.Contains(got, "goroutines left") || !strings.Contains(got, "waitForStop") {
		t.Errorf("got %q, want the goroutine of waitForStop named", got)
	}
}

func waitForStop(stop <-chan struct{}, ended chan<- struct{}) {
	<-stop
	close(ended)
}

func TestLeakCheckNamesALink(t *testing.T) {
	RequireRoot(t)
	RequireCommand(t, "ip")
	ns := NewNamespace(t)
	link := ownPrefix() + "l"
	var got string
	ns.Do(func() {
		got = leaksOf(func() { command(t, "ip", "tuntap", "add", "dev", link, "mode", "tap") })
	})
	if !strings.Contains(got, "link left: "+link) {
		t.Errorf("got %q, want link %s named", got, link)
	}
}

func TestLeakCheckIgnoresOtherTestProcesses(t *testing.T) {
	RequireRoot(t)
	RequireCommand(t, "ip")
	ns := NewNamespace(t)
	// ffffff is above any process number.
	foreign := strings.Replace(ownPrefix(), fmt.Sprintf("%06x", os.Getpid()), "ffffff", 1)
	link, name := foreign+"l", foreign+rand.Text()[:5]
	ns.Do(func() {
		if got := leaksOf(func() {
			command(t, "ip", "tuntap", "add", "dev", link, "mode", "tap")
			command(t, "ip", "netns", "add", name)
			t.Cleanup(func() { command(t, "ip", "netns", "delete", name) })
		}); got != "" {
			t.Errorf("names of another process are reported: %s", got)
		}
	})
}

func TestLeakCheckNamesANamespace(t *testing.T) {
	RequireRoot(t)
	RequireCommand(t, "ip")
	name := ownPrefix() + "left"
	t.Cleanup(func() { command(t, "ip", "netns", "delete", name) })
	got := leaksOf(func() { command(t, "ip", "netns", "add", name) })
	if !strings.Contains(got, "network namespace left: "+name) {
		t.Errorf("got %q, want namespace %s named", got, name)
	}
}

func TestLeakCheckNoticesAThreadLeftInANamespace(t *testing.T) {
	RequireRoot(t)
	ns := NewNamespace(t)
	check := watch(patienceForLeak)
	ns.Do(func() {
		if got := strings.Join(check(), "\n"); !strings.Contains(got, "thread left in network namespace") {
			t.Errorf("got %q, want the thread's namespace named", got)
		}
	})
}

func TestLeakCheckWaitsForStragglers(t *testing.T) {
	t.Parallel()
	left := []string{"first", "second"}
	got := settle(func() []string {
		now := left
		left = left[:max(0, len(left)-1)]
		return now
	}, time.Minute)
	if len(got) != 0 {
		t.Errorf("got %q, want nothing once the stragglers are gone", got)
	}
}

func TestMainFailsOnLeaksOnly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		code, want int
		leaks      []string
	}{
		{"passed and tidy", 0, 0, nil},
		{"passed with leaks", 0, 1, []string{"something left"}},
		{"failed", 2, 2, []string{"not looked at"}},
	} {
		var out strings.Builder
		got := run(exitStatus(test.code), func() []string { return test.leaks }, &out)
		if got != test.want {
			t.Errorf("%s: exit status %d, want %d", test.name, got, test.want)
		}
		if named := out.String() != ""; named != (test.want == 1) {
			t.Errorf("%s: prints %q", test.name, out.String())
		}
	}
}

type exitStatus int

func (e exitStatus) Run() int { return int(e) }
