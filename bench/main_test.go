package bench

import (
	"fmt"
	"os"
	"testing"

	"vswitch/test/lab"
)

// helperArg makes the test binary a helper, as a hidden command does with vsbench.
const helperArg = "bench-helper"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == helperArg {
		if err := Helper(os.Args[2:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	lab.Main(m)
}
