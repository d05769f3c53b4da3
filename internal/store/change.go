package store

import (
	"cmp"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"vswitch/internal/control/model"
)

// write is a part of a transaction.
type write func(*writer) error

// Apply implements [Store].
func (db *DB) Apply(changes ...model.Change) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.usable(); err != nil {
		return err
	}
	next, deltas, err := db.state.Load().With(changes...)
	if err != nil {
		return err
	}
	if len(deltas) == 0 {
		return nil
	}
	if err := db.putInPlace(); err != nil {
		return db.note(err)
	}
	err = db.transact(func(w *writer) error { return w.apply(deltas) }, nil)
	if err != nil {
		return db.note(err)
	}
	db.state.Store(next)
	return nil
}

// transact makes one transaction of what write does, if verify is content with
// the result; it may be nil. When transact returns an error nothing has changed. What
// changes nothing costs no transaction.
func (db *DB) transact(write write, verify func(*bbolt.Tx) error) error {
	var id int
	var undo []change
	committing := false
	err := guard(func() error {
		tx, err := db.bolt.Begin(true)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // does nothing after a commit, and cannot fail before
		w, err := newWriter(tx)
		if err != nil {
			return err
		}
		before := w.about
		if err := write(w); err != nil {
			return err
		}
		if len(w.undo) == 0 && w.about == before {
			return nil
		}
		if err := w.finish(); err != nil {
			return err
		}
		if verify != nil {
			if err := verify(tx); err != nil {
				return err
			}
		}
		id, undo, committing = tx.ID(), w.undo, true
		if err := db.commit(tx); err != nil {
			return err
		}
		if err := db.inPlace(); err != nil {
			return fmt.Errorf("%w while it was written: try again", err)
		}
		return nil
	})
	if err == nil || !committing || errors.Is(err, ErrDamaged) {
		return err
	}
	return db.settle(id, undo, err)
}

// settle sees to it that the transaction id, whose commit failed with err, does
// not count. When the last sync failed, its root is in the file but perhaps not
// on the disk: then a further transaction takes it back. Where that fails too,
// only the next start will show what is there, and the store stops.
func (db *DB) settle(id int, undo []change, err error) error {
	counts := false
	failure := db.view(func(tx *bbolt.Tx) error {
		counts = tx.ID() >= id
		return nil
	})
	if failure == nil && !counts {
		return err
	}
	if failure == nil {
		failure = guard(func() error {
			tx, err := db.bolt.Begin(true)
			if err != nil {
				return err
			}
			defer tx.Rollback() //nolint:errcheck // does nothing after a commit, and cannot fail before
			w, err := newWriter(tx)
			if err != nil {
				return err
			}
			if err := w.revert(undo); err != nil {
				return err
			}
			return db.commit(tx)
		})
	}
	if failure == nil || errors.Is(failure, ErrDamaged) {
		return cmp.Or(failure, err)
	}
	err = fmt.Errorf("a change may be on disk or not (%w): check the disk and restart", err)
	db.failed = explain(db.path, err)
	return err
}
