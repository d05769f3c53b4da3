package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// programs is the directory of vswitchd and vsctl while the tests of [Main] run.
var programs string

// Program returns the path of a program, or of another file, that a step of [Main] has made.
func Program(name string) string { return filepath.Join(programs, name) }

// Main runs a package's tests and then checks as [LeakCheck] does, once for all of them, and
// ends the process. It is for
//
//	func TestMain(m *testing.M) { lab.Main(m, lab.Build) }
//
// As root it first runs the given steps with a directory that is removed in the end, and that
// any user can read. Without root all tests that need the files are skipped.
func Main(m *testing.M, steps ...func(dir string) error) { os.Exit(mainCode(m, steps)) }

func mainCode(m *testing.M, steps []func(dir string) error) int {
	if os.Geteuid() != 0 || len(steps) == 0 {
		return run(m, watch(grace), os.Stderr)
	}
	dir, err := os.MkdirTemp("", "vswitch-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	err = os.Chmod(dir, 0o755)
	for _, step := range steps {
		if err == nil {
			err = step(dir)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(errors.New("prepare the tests"), err))
		return 1
	}
	programs = dir
	return run(m, watch(grace), os.Stderr)
}
