package main

import (
	"errors"

	"github.com/spf13/cobra"

	"vswitch/bench/report"
)

// newCompareCommand is "vsbench compare".
func newCompareCommand() *cobra.Command {
	format := compareFormat("table")
	cmd := &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Say what changed from one run to another, and whether it is more than noise",
		Long: `compare says for each figure of two runs what changed from A to B, by how much, and
whether that is more than noise: a Mann–Whitney U test over the rounds with alpha
0.05, for which each run needs at least 4 rounds.

The test knows the noise between rounds, not what differs between one run and the
next. The last two columns therefore compare the ratio to the kernel bridge in the
same round: trust a change that shows there too.

The exit status is 0 whatever has changed.`,
		Example: `  vsbench compare before.json after.json
  vsbench compare before.json after.json --format json | jq '.changes[] | select(.verdict == "worse")'`,
		Args: wantFiles("A.json", "B.json"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := report.ReadResult(args[0])
			if err != nil {
				return err
			}
			b, err := report.ReadResult(args[1])
			if err != nil {
				return err
			}
			c := report.Compare(a, b)
			if format == "json" {
				return c.WriteJSON(cmd.OutOrStdout())
			}
			return c.WriteTable(cmd.OutOrStdout())
		},
	}
	cmd.Flags().Var(&format, "format", "how to print it")
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// compareFormat is the value of --format.
type compareFormat string

// String, Set and Type implement [pflag.Value].
func (f *compareFormat) String() string { return string(*f) }

// Type names the value in the help.
func (f *compareFormat) Type() string { return "table|json" }

// Set takes one of the formats, so that another one is wrong usage.
func (f *compareFormat) Set(s string) error {
	if s != "table" && s != "json" {
		return errors.New("want table or json")
	}
	*f = compareFormat(s)
	return nil
}
