package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// upTo waits for a child of that program and returns its number.
func (r *rig) upTo(program string) int {
	r.t.Helper()
	pid, got := r.up()
	if got != program {
		r.t.Fatalf("%s is up, want %s", got, program)
	}
	return pid
}

// own is the name of this test's program.
func own(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(self)
}

func TestUpgradeAtTheChildsRequest(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	r.upTo(own(t))
	r.want("keep tap0 frames", "<nil>")
	r.want("upgrade "+program(t, "second"), "asked")
	r.hears("making room")
	pid := r.upTo("second")
	r.want("show tap0", "[frames@6]")
	r.want("environment", "[]")

	kill(t, pid)
	r.upTo("second") // from now on
	r.want("show tap0", "[frames@6]")

	r.want("upgrade "+program(t, "third"), "asked")
	r.hears("making room")
	r.upTo("third")
	r.want("show tap0", "[frames@6]")
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

func TestUpgradeToWhatReplacedTheFile(t *testing.T) {
	t.Parallel()
	path := program(t, "daemon")
	m, notifier := newManager(t)
	r := start(t, "child", func(o *Options) { o.Binary, o.Notify = path, notifier })
	first := r.upTo("daemon")
	m.hears("READY=1\nSTATUS=serving")
	old, err := os.Stat(exe(first))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, b, 0o755)
	r.upgrade <- struct{}{}
	m.hearsReloading()
	r.hears("making room")
	second := r.upTo("daemon")
	m.hears("READY=1\nSTATUS=serving")
	if now, err := os.Stat(exe(second)); err != nil || os.SameFile(old, now) {
		t.Errorf("the file that was replaced runs still: %v", err)
	}
}

func exe(pid int) string { return fmt.Sprintf("/proc/%d/exe", pid) }

func TestChildOfADeletedProgramIsRestarted(t *testing.T) {
	t.Parallel()
	path := program(t, "daemon")
	r := start(t, "child", func(o *Options) { o.Binary = path })
	pid := r.upTo("daemon")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	kill(t, pid)
	r.upTo("daemon")
	r.want("upgrade", "asked")
	r.hears("upgrade: open program " + path + ": no such file or directory")
}

// After each of these the child that asked goes on as if nothing had happened.
func TestUpgradeThatFailsBeforeItsTurn(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text")
	write(t, text, []byte("no program"), 0o755)
	for _, test := range []struct {
		name, binary, want string
		change             func(*Options)
	}{
		{"missing", "/nonexistent/program", "upgrade: open program /nonexistent/program: no such file or directory", nil},
		{"no program", text, "upgrade: start " + text + ": exec format error", nil},
		{"exits", program(t, "exits"), "exits: exit status 3", nil},
		{"hangs", program(t, "hangs"), "hangs: did not come up within " + shortStart.String(), withShortStart},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, notifier := newManager(t)
			r := start(t, "child", func(o *Options) {
				o.Notify = notifier
				if test.change != nil {
					test.change(o)
				}
			})
			pid := r.upTo(own(t))
			m.hears("READY=1\nSTATUS=serving")
			r.want("upgrade "+test.binary+" 7", "asked")
			m.hearsReloading()
			m.hears("READY=1\nSTATUS=serving")
			if got := r.heard(); !strings.HasSuffix(got, test.want) {
				t.Errorf("upgrade fails by %q, want %q", got, test.want)
			}
			r.want("show tap0", "[]")
			failed := filepath.Base(test.binary) + " failed "
			if got := r.do("upgraded 7"); !strings.HasPrefix(got, failed) {
				t.Errorf("the upgrade is %q, want %q", got, failed)
			}
			kill(t, pid)
			r.upTo(own(t))
			if got := r.do("upgraded 7"); !strings.HasPrefix(got, failed) {
				t.Errorf("to the next child the upgrade is %q, want %q", got, failed)
			}
		})
	}
}

// shortStart is long enough for a child that does come up.
const shortStart = 3 * time.Second

func withShortStart(o *Options) { o.StartTimeout = shortStart }

func TestUpgradeThatFailsInItsTurnIsRolledBack(t *testing.T) {
	t.Parallel()
	for program2, test := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"exits-in-turn": {func(*Options) {}, "ended before it was ready: exit status 4"},
		"dies-in-turn":  {func(*Options) {}, "ended before it was ready: signal: killed"},
		"hangs-in-turn": {withShortStart, "was not ready within " + shortStart.String()},
	} {
		t.Run(program2, func(t *testing.T) {
			t.Parallel()
			path := program(t, "daemon")
			r := start(t, "child", func(o *Options) { o.Binary = path; test.change(o) })
			r.upTo("daemon")
			r.want("keep tap0 frames", "<nil>")
			bad := program(t, program2)
			if err := os.Remove(path); err != nil { // the way back must not need it
				t.Fatal(err)
			}
			r.want("upgrade "+bad+" 7", "asked")
			r.hears("making room")
			pid := r.upTo("daemon")
			r.want("show tap0", "[frames@6]")
			r.want("upgraded 7", program2+" failed "+program2+" "+test.want)
			kill(t, pid)
			r.upTo("daemon")
			r.want("upgraded 7", program2+" failed "+program2+" "+test.want)
			r.want("upgrade "+program(t, "good")+" 8", "asked")
			r.hears("making room")
			r.upTo("good")
			r.want("show tap0", "[frames@6]")
			r.wantUpgraded("8", "good succeeded")
			r.want("upgraded 7", program2+" failed "+program2+" "+test.want)
		})
	}
}

// wantUpgraded waits until the child has been told that of an upgrade.
func (r *rig) wantUpgraded(number, want string) {
	r.t.Helper()
	got := r.do("upgraded " + number)
	for begin := time.Now(); got != want && time.Since(begin) < patience; {
		got = r.do("upgraded " + number)
	}
	if got != want {
		r.t.Errorf("of upgrade %s the child knows %q, want %q", number, got, want)
	}
}

func TestUpgradeSeesWhatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	r.upTo(own(t))
	r.want("keep stays old", "<nil>")
	r.want("keep goes old", "<nil>")
	r.want("keep changes old", "<nil>")
	r.want("upgrade "+program(t, "gated"), "asked")
	r.hears("gated …")
	r.want("keep stays more", "<nil>")
	r.want("keep comes new", "<nil>")
	r.want("drop goes", "<nil>")
	r.want("drop changes", "<nil>")
	r.want("keep changes new", "<nil>")
	r.want("upgrade "+program(t, "another")+" 8", "asked")
	r.hears("upgrade: another upgrade is under way: try again when it has ended")
	r.want("upgraded 8", "another failed another upgrade is under way: try again when it has ended")
	r.open()
	r.hears("making room")
	r.upTo("gated")
	for name, want := range map[string]string{
		"stays": "[old@3 more@4]", "comes": "[new@3]", "goes": "[]", "changes": "[new@3]",
	} {
		r.want("show "+name, want)
	}
}

// open lets a gated child through.
func (r *rig) open() {
	r.t.Helper()
	if _, err := r.gate.Write([]byte{1}); err != nil {
		r.t.Fatal(err)
	}
}

func TestChildThatDiesDuringItsUpgradeIsRestarted(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	pid := r.upTo(own(t))
	r.want("upgrade "+program(t, "gated")+" 7", "asked")
	r.hears("gated …")
	kill(t, pid)
	r.upTo(own(t))
	r.want("upgraded 7", "gated under-way")
	r.want("keep tap0 frames", "<nil>")
	r.open()
	r.hears("making room")
	r.upTo("gated")
	r.want("show tap0", "[frames@6]")
	r.wantUpgraded("7", "gated succeeded")
}

// The new program dies after the one that asked: the one that was started meanwhile knows.
func TestUpgradeThatFailsAfterItsAskerIsKnown(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	pid := r.upTo(own(t))
	r.want("upgrade "+program(t, "gated")+" 7", "asked")
	gated := r.heard()
	kill(t, pid)
	r.upTo(own(t))
	kill(t, number(t, strings.TrimPrefix(gated, "gated ")))
	r.wantUpgraded("7", "gated failed gated: signal: killed")
}

func TestRunStopsDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	r.upTo(own(t))
	r.want("upgrade "+program(t, "gated"), "asked")
	r.hears("gated …")
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	line := r.heard()
	if strings.HasSuffix(line, "gated: the supervisor is stopping") { // heard before the signal
		line = r.heard()
	}
	if line != "ending" {
		t.Errorf("the child says %q, want that it ends", line)
	}
}

// A program that keeps dying can be replaced by one that does not, also while it
// waits for its next start.
func TestUpgradeOfAChildThatKeepsDying(t *testing.T) {
	t.Parallel()
	path := program(t, "daemon")
	r := start(t, "child", func(o *Options) { o.Binary = path })
	for range 3 {
		kill(t, r.upTo("daemon"))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, b, 0o755)
	replaced, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	r.upgrade <- struct{}{}
	for {
		line := r.heard()
		if line == "making room" {
			continue // the old one had been started again
		}
		fields := strings.Fields(line)
		if now, err := os.Stat(exe(number(t, fields[1]))); err == nil && os.SameFile(replaced, now) {
			return
		}
	}
}

func TestUpgradeWithoutASupervisor(t *testing.T) {
	t.Parallel()
	c, err := newControl(environment{}, &Files{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitTurn(t.Context()); err != nil {
		t.Errorf("AwaitTurn: %v, want nil", err)
	}
	if err := c.Upgrade(t.Context(), UpgradeRequest{}); err == nil || !strings.Contains(err.Error(), "no supervisor") {
		t.Errorf("Upgrade: %v, want that there is no supervisor", err)
	}
	select {
	case <-c.orphaned:
		t.Error("a process without a supervisor is orphaned")
	case <-c.Replaced():
		t.Error("a process without a supervisor is replaced")
	default:
	}
	c.close()
}
