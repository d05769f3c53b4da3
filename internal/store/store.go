// Package store keeps the state of the switch on disk. A batch of changes flows in with every
// change, before it is acknowledged, and is there as a whole or not at all; the state flows out
// when a file is opened. What a state may be, package model says. [DB] is the store on disk; it
// never repairs or overwrites a file that it finds damaged.
package store

import (
	"io"

	"vswitch/internal/control/model"
)

// Store keeps a state.
type Store interface {
	// State returns the state as the last change left it. It waits for nobody.
	State() *model.State
	// Apply makes all changes, in their order, in one transaction, or none of them. When it
	// has returned nil they survive the end of the process and of the machine, and State has
	// them. It refuses what [model.State.With] refuses, and records that are too large. What
	// changes nothing writes nothing.
	Apply(changes ...model.Change) error
	// Backup writes a copy of the state as it is at one moment.
	Backup(w io.Writer) error
	Close() error
}
