package seed_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vswitch/test/lab/seed"
)

// red is the environment variable that has TestRed run and fail.
const red = "VSWITCH_SEED_RED"

// TestRed is the random test that the others start in a process of its own. It prints the
// numbers that each of its parts draws.
func TestRed(t *testing.T) {
	if os.Getenv(red) == "" {
		return // it is for the other tests, which start it and want it to fail
	}
	part := func(t *testing.T, parallel bool) {
		if parallel {
			t.Parallel()
		}
		first, second := seed.New(t), seed.New(t)
		third := make([]byte, 9)
		if _, err := seed.NewReader(t).Read(third); err != nil {
			t.Fatal(err)
		}
		t.Errorf("numbers %x %x %x %x", first.Uint64(), second.Uint64(), first.Uint64(), third)
	}
	t.Run("plain", func(t *testing.T) { part(t, false) })
	t.Run("it's [odd]/$x (#1)", func(t *testing.T) { part(t, false) })
	for i := range 3 {
		t.Run(fmt.Sprint("parallel ", i), func(t *testing.T) { part(t, true) })
	}
	t.Run("above", func(t *testing.T) {
		r := seed.New(t)
		t.Run("one", func(t *testing.T) { part(t, true) })
		t.Run("other", func(t *testing.T) {
			t.Parallel()
			t.Errorf("numbers %x from above", r.Uint64())
		})
	})
}

// outcome is what one red test has said.
type outcome struct{ seed, pattern, folder, flag, numbers string }

var (
	failed = regexp.MustCompile(`^ *--- FAIL: (.*) \(`)
	again  = regexp.MustCompile(
		`random seed (0x[0-9a-f]+): run again with: go test -run ('.*') (\S+) -args (-seed=\S+)$`)
	numbers = regexp.MustCompile(`numbers .*$`)
)

// runRed runs TestRed with arguments, a shell's words, and returns the outcome of each test
// that has failed, by its name.
func runRed(t *testing.T, arguments string) map[string]outcome {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `"$0" `+arguments, self)
	cmd.Env = append(os.Environ(), red+"=1")
	cmd.Dir = t.TempDir() // the command does not depend on where the test runs
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("TestRed does not fail with %s:\n%s", arguments, out)
	}
	all, name := map[string]outcome{}, ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if m := failed.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		o := all[name]
		if m := again.FindStringSubmatch(line); m != nil {
			o.seed, o.pattern, o.folder, o.flag = m[1], m[2], m[3], m[4]
		}
		if m := numbers.FindString(line); m != "" {
			o.numbers = m
		}
		if o != (outcome{}) {
			all[name] = o
		}
	}
	return all
}

// TestRunAgain: each red test prints a command, and that gives it the same numbers again.
func TestRunAgain(t *testing.T) {
	t.Parallel()
	first := runRed(t, "-test.run '^TestRed$'")
	if len(first) != 8 {
		t.Fatalf("%d tests have failed, want 8: %+v", len(first), first)
	}
	seen := map[string]bool{}
	for name, o := range first {
		if name == "TestRed/above/other" { // draws from the generator of the test above
			o.pattern, o.flag = "'^TestRed$/^above$/^other$'", first["TestRed/above"].flag
		} else if o.folder != "./test/lab/seed" || o.flag != "-seed="+o.seed {
			t.Errorf("%s: folder %q, seed %q and flag %q", name, o.folder, o.seed, o.flag)
		}
		repeated := runRed(t, "-test.run "+o.pattern+" "+o.flag)
		if got := repeated[name].numbers; got != o.numbers {
			t.Errorf("%s: %q, and with %s %q", name, o.numbers, o.flag, got)
		}
		if o.numbers != "" && seen[o.numbers] {
			t.Errorf("%s draws the numbers of another test: %s", name, o.numbers)
		}
		seen[o.numbers] = true
	}
	if first["TestRed/above"].seed != first["TestRed/above/one"].seed {
		t.Error("a subtest has another seed than the test above it")
	}
	again := runRed(t, "-test.run '^TestRed$'")
	if again["TestRed/plain"].seed == first["TestRed/plain"].seed {
		t.Error("a second run has the seed of the first")
	}
}

// TestFlag takes decimal and hexadecimal numbers, zero too, and refuses others.
func TestFlag(t *testing.T) {
	t.Parallel()
	const name = "TestRed/plain"
	arguments := "-test.run '^TestRed$/^plain$' -seed="
	decimal, hex := runRed(t, arguments+"255")[name], runRed(t, arguments+"0xff")[name]
	if decimal != hex || decimal.seed != "0xff" {
		t.Errorf("255 gives %+v, 0xff %+v", decimal, hex)
	}
	if zero := runRed(t, arguments+"0")[name]; zero.seed != "0x0" {
		t.Errorf("0 gives %+v", zero)
	}
	if bad := runRed(t, arguments+"many"); len(bad) != 0 {
		t.Errorf("a seed that is no number gives %+v", bad)
	}
}

// TestNumbersAreFresh: runs differ, and so do the generators of one test.
func TestNumbersAreFresh(t *testing.T) {
	t.Parallel()
	var got []uint64
	draw := func(r *rand.Rand) { got = append(got, r.Uint64()) }
	for range 3 {
		t.Run("sub", func(t *testing.T) { draw(seed.New(t)); draw(seed.New(t)) })
	}
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != 6 {
		t.Errorf("%d of 6 numbers differ: %x", n, got)
	}
}
