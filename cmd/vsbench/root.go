package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"vswitch/bench"
)

// version is set by the linker.
var version string

// helperCommand is the hidden command that the harness runs itself with.
const helperCommand = "helper"

func newRootCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "vsbench",
		Short: "Measure vswitch beside the kernel bridge and other switches",
		Long: `vsbench measures packet paths side by side: vswitch in each poll mode, the kernel
bridge, a bare relay between two TAP devices, and Open vSwitch and VDE where they
are installed.`,
		Example: `  vsbench run --out result
  vsbench report result/result.json
  vsbench compare before/result.json after/result.json`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("no command %q: see vsbench --help", args[0])}
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("no command given: see vsbench --help")}
		},
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
	})
	for _, sub := range []*cobra.Command{
		newRunCommand(), newRFC2889Command(), newSizeCommand(), newReportCommand(), newCompareCommand(),
	} {
		if check := sub.Args; check != nil {
			sub.Args = func(c *cobra.Command, args []string) error {
				if err := check(c, args); err != nil {
					return usageError{fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
				}
				return nil
			}
		}
		c.AddCommand(sub)
	}
	c.AddCommand(newHelperCommand())
	return c
}

func newHelperCommand() *cobra.Command {
	return &cobra.Command{
		Use:    helperCommand + " NAME TASK",
		Short:  "Run a part of a measurement; for vsbench itself",
		Hidden: true,
		// The task is JSON, not flags.
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return bench.Helper(args, c.OutOrStdout())
		},
	}
}
