package store

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vswitch/test/lab/seed"
)

// crashDir is the environment variable that makes the test binary a child that
// changes the store in the directory it names until it is killed.
const crashDir = "VSWITCH_STORE_CRASH_DIR"

// crashChild runs the script from where the store stands and prints the count of
// changes made after each that was acknowledged.
func crashChild(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	db, err := Open(dir, Options{pageSize: smallPage})
	if err != nil {
		fail(err)
	}
	state := db.State().Records()
	var s script
	for !sameState(s.state, state) {
		s.next()
	}
	fmt.Println(s.count)
	for {
		if err := s.next().apply(db); err != nil {
			fail(err)
		}
		fmt.Println(s.count)
	}
}

func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	kills := 30
	if testing.Short() {
		kills = 10
	}
	dir := t.TempDir()
	random, done := seed.New(t), 0
	for range kills {
		acknowledged := runUntilKilled(t, dir, random)
		if acknowledged < done {
			t.Fatalf("the store stood at change %d after a kill, and %d was acknowledged before", acknowledged, done)
		}
		db, err := Open(dir, Options{LockTimeout: noWait})
		must(t, err)
		got := load(t, db)
		checkBolt(t, db)
		must(t, db.Close())

		// The change that was being made may be there, or not.
		var s script
		for range acknowledged {
			s.next()
		}
		done = acknowledged
		if !sameState(got, s.state) {
			s.next()
			done++
		}
		if !sameState(got, s.state) {
			t.Fatalf("after change %d was acknowledged the state is\n%+v, want\n%+v or one change less", acknowledged, got, s.state)
		}
	}
	if done < kills {
		t.Errorf("%d kills left %d changes only", kills, done)
	}
}

// runUntilKilled runs a child, kills it during the change after some have been
// acknowledged and returns the count of the last one that was. The seed repeats how many
// and how long it waits, not what the scheduler makes of that.
func runUntilKilled(t *testing.T, dir string, random *rand.Rand) int {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), crashDir+"="+dir)
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	defer child.Wait()         //nolint:errcheck // it was killed
	defer child.Process.Kill() //nolint:errcheck // it may be gone
	lines, count := bufio.NewScanner(out), -1
	read := func() bool {
		if !lines.Scan() {
			return false
		}
		if _, err := fmt.Sscan(lines.Text(), &count); err != nil {
			t.Fatalf("the child says %q: %v", lines.Text(), err)
		}
		return true
	}
	for range random.IntN(8) + 1 {
		if !read() {
			t.Fatalf("the child ended by itself: %s", stderr.String())
		}
	}
	// Anywhere in the change that follows; how far it gets is up to the scheduler.
	for range random.IntN(1 << 16) {
		_ = random.Uint64()
	}
	must(t, child.Process.Kill())
	for more := true; more; { // what was acknowledged before the kill counts
		more = read()
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	return count
}
