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
	"path/filepath"
	"testing"

	"vswitch/test/lab"
)

func TestMain(m *testing.M) {
	program := map[string]func() error{
		predecessor: predecessorMain, forbidder: forbidderMain,
	}[filepath.Base(os.Args[0])]
	if program == nil {
		lab.Main(m, lab.Build)
	}
	if err := program(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}
