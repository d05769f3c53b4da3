package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
)

func (a *app) upgrade() *cobra.Command {
	return &cobra.Command{
		Use:     "upgrade [BINARY]",
		GroupID: groupSwitch,
		Short:   "Replace the running vswitchd by another program",
		Long: `upgrade has vswitchd's supervising process start BINARY, or vswitchd as it is on
disk now, and hand all ports over to it once it is up; frames wait for some
milliseconds meanwhile. When it does not come up, the running vswitchd goes on and
the command fails.`,
		Example: `  vsctl upgrade
  vsctl upgrade /opt/vswitch/vswitchd`,
		Args:              want(0, 1, "at most one BINARY"),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: func(cmd *cobra.Command, args []string) error {
			binary := ""
			if len(args) > 0 {
				var err error
				if binary, err = filepath.Abs(args[0]); err != nil {
					return err
				}
			}
			client := a.client()
			before, err := client.Version(cmd.Context())
			if err != nil {
				return err
			}
			if err := client.Upgrade(cmd.Context(), binary); err != nil {
				return err
			}
			// The socket is the same, and waits for the new process.
			after, err := client.Version(cmd.Context())
			if err != nil {
				return err
			}
			if after.PID == before.PID {
				return fmt.Errorf("vswitchd %s still runs as process %d: see its log", clean(before.Version), before.PID)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "vswitchd %s (process %d) replaced by %s (process %d)\n",
				clean(before.Version), before.PID, clean(after.Version), after.PID)
			return err
		},
	}
}
