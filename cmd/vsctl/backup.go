package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// backupMode is that of the state file itself.
const backupMode = 0o600

func (a *app) backup() *cobra.Command {
	return &cobra.Command{
		Use:     "backup FILE",
		GroupID: groupSwitch,
		Short:   "Copy vswitchd's state to a file",
		Long: `backup writes a copy of vswitchd's state, as it is at one moment, to FILE, which
must not exist yet; - is the standard output. "vswitchd --restore FILE" starts with it.`,
		Example:           `  vsctl backup vswitch-state.db`,
		Args:              want(1, 1, "one FILE"),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: func(cmd *cobra.Command, args []string) error {
			var state bytes.Buffer
			if err := a.client().Backup(cmd.Context(), &state); err != nil {
				return err
			}
			if args[0] == "-" {
				_, err := cmd.OutOrStdout().Write(state.Bytes())
				return err
			}
			return writeNew(args[0], state.Bytes())
		},
	}
}

// writeNew makes a file, whole and on disk, or none.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, backupMode)
	if err != nil {
		return fmt.Errorf("back up to %s: %w: choose another name", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("back up to %s: %w", path, err)
	}
	return nil
}
