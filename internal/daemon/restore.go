package daemon

import (
	"os"

	"vswitch/internal/store"
)

// RestoreState puts the state of a backup into the state directory, where there
// must be none.
func RestoreState(from, stateDir string) error {
	backup, err := os.Open(from)
	if err != nil {
		return err
	}
	defer backup.Close()
	return store.Restore(backup, stateDir)
}
