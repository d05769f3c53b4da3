package kerneltest

import (
	"context"
	"io"
	"maps"
	"slices"

	"vswitch/internal/control/model"
	"vswitch/internal/store"
)

// Store keeps the machine's state. It implements [store.Store], though a
// backup is only a text that tests know.
type Store struct{ *Machine }

var _ store.Store = Store{}

// State implements [store.Store].
func (s Store) State() *model.State {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Machine.State
}

// Apply implements [store.Store].
func (s Store) Apply(changes ...model.Change) error {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	next, deltas, err := s.Machine.State.With(changes...)
	if err != nil || len(deltas) == 0 {
		return err
	}
	if err := s.step("store %d records", len(deltas)); err != nil {
		return err
	}
	s.Machine.State = next
	return nil
}

// BackupText is what a backup of the machine's state is.
const BackupText = "the state"

// Backup implements [store.Store].
func (Store) Backup(w io.Writer) error {
	_, err := io.WriteString(w, BackupText)
	return err
}

// Close implements [store.Store].
func (Store) Close() error { return nil }

// Keeper is the supervisor: it keeps devices for the next process, and no memory.
type Keeper struct{ *Machine }

// Names returns the names of the descriptors that the process may take.
func (k Keeper) Names() []string {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	return slices.Sorted(maps.Keys(k.given))
}

// Take gives the process the descriptors of a name.
func (k Keeper) Take(name string) []int {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	fd, given := k.given[name]
	if !given {
		return nil
	}
	delete(k.given, name)
	return []int{fd}
}

// Keep keeps a descriptor of the process under a name.
func (k Keeper) Keep(name string, fd int) error {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if k.Devices[fd] == nil {
		return nil // memory
	}
	if err := k.step("keep %s", name); err != nil {
		return err
	}
	k.Kept[name] = fd
	return nil
}

// Drop closes what is kept under a name.
func (k Keeper) Drop(name string) error {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if err := k.step("drop %s", name); err != nil {
		return err
	}
	d := k.Devices[k.Kept[name]]
	delete(k.Kept, name)
	if d != nil && d.Closed {
		d.closeLocked()
	}
	return nil
}

// Sync returns once all that was asked for is done, which it is at once.
func (k Keeper) Sync(context.Context) error { return nil }
