package store

import (
	"errors"
	"fmt"
	"syscall"
)

// What callers tell apart with [errors.Is]. The text of a returned error names
// the file and says what to do.
var (
	// ErrLocked says that another process has the state file open.
	ErrLocked = errors.New("in use by another process")
	// ErrDamaged says that the state file does not hold what was written to it.
	ErrDamaged = errors.New("damaged")
	// ErrNewer says that a later version has written the state file.
	ErrNewer = errors.New("written by a newer version")
)

// damagef is an [ErrDamaged] with what was found.
func damagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

// newerError is an [ErrNewer] for a file of schema found.
func newerError(found, known int) error {
	return fmt.Errorf("%w: its schema is %d, and this vswitchd knows up to %d", ErrNewer, found, known)
}

// explain adds to err which file it is about and what to do.
func explain(path string, err error) error {
	advice := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDamaged):
		advice = ": move it away, then start with --restore BACKUP, or without it to begin anew"
	case errors.Is(err, ErrNewer):
		advice = ": start the newer vswitchd, or move the file away to begin anew"
	case errors.Is(err, ErrLocked):
		advice = ": stop the other vswitchd, or give this one a --state-dir of its own"
	case errors.Is(err, syscall.ENOSPC):
		advice = ": free space, then try again"
	}
	return fmt.Errorf("state file %s: %w%s", path, err, advice)
}
