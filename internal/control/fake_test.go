package control

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"vswitch/internal/control/model"
	"vswitch/internal/store"
)

// fakeStore keeps the world's state.
type fakeStore struct{ *world }

func (s fakeStore) State() *model.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s fakeStore) Apply(changes ...model.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, deltas, err := s.state.With(changes...)
	if err != nil || len(deltas) == 0 {
		return err
	}
	if err := s.step("store %d records", len(deltas)); err != nil {
		return err
	}
	s.state = next
	return nil
}

func (fakeStore) Backup(io.Writer) error { return errors.ErrUnsupported }
func (fakeStore) Close() error           { return nil }

var _ store.Store = fakeStore{}

// fakeKeeper is the supervisor. It does not keep memory.
type fakeKeeper struct{ *world }

func (k fakeKeeper) Names() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.given))
}

func (k fakeKeeper) Take(name string) []int {
	k.mu.Lock()
	defer k.mu.Unlock()
	fd, given := k.given[name]
	if !given {
		return nil
	}
	delete(k.given, name)
	return []int{fd}
}

func (k fakeKeeper) Keep(name string, fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.devices[fd] == nil {
		return nil // memory
	}
	if err := k.step("keep %s", name); err != nil {
		return err
	}
	k.kept[name] = fd
	return nil
}

func (k fakeKeeper) Drop(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.step("drop %s", name); err != nil {
		return err
	}
	d := k.devices[k.kept[name]]
	delete(k.kept, name)
	if d != nil && d.closed {
		d.closeLocked()
	}
	return nil
}

func (k fakeKeeper) Sync(context.Context) error { return nil }
