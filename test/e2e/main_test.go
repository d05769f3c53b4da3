// Package e2e tests the real binaries on the machine's kernel: vswitchd in a
// network namespace that plays the host, containers that are namespaces too, and
// the programs that people use in them. It asserts what a user would notice.
//
// Every test makes its own host and its own containers, so all may run at once,
// beside another copy of the suite and beside a vswitchd of the machine's own.
// They need root; without it they are skipped.
package e2e

import (
	"fmt"
	"os"
	"testing"

	"vswitch/test/lab"
)

// binaries is the directory of vswitchd and vsctl while the tests run.
var binaries string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // all are skipped, and say so
	}
	var err error
	if binaries, err = os.MkdirTemp("", "vswitch-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binaries)
	// One test runs the daemon as another user.
	if err := os.Chmod(binaries, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := lab.Build(binaries); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return lab.Run(m)
}
