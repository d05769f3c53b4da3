package store

import (
	"time"

	"go.etcd.io/bbolt"
)

// migration takes the records of a file from one schema to the next. It sees
// them as the old schema has them, and changes them through the writer only. What
// it leaves is checked before it is kept. A new field of a record needs none: it
// is zero in the records that lack it.
type migration func(*writer) error

// migrations are the steps in order: the first goes from schema 1 to 2. A new
// schema is one more function at the end.
func migrations() []migration { return []migration{addPools} }

// initialise makes an empty file one without records: one of schema 1, which then
// goes through all steps.
func initialise(tx *bbolt.Tx, steps []migration) error {
	for _, name := range []string{metaBucket, segmentsBucket, portsBucket, entriesBucket} {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	w := &writer{tx: tx, about: about{Schema: 1, Created: time.Now().UTC()}}
	if err := w.migrate(steps); err != nil {
		return err
	}
	return w.finish()
}

// migrate takes each step from the present schema on.
func (w *writer) migrate(steps []migration) error {
	for _, step := range steps[w.about.Schema-1:] {
		if err := step(w); err != nil {
			return err
		}
		w.about.Schema++
	}
	return nil
}

// migrate brings a file from an older schema to the present one, in a single
// transaction: it is done wholly or not at all.
func (db *DB) migrate(steps []migration) error {
	return db.transact(func(w *writer) error { return w.migrate(steps) }, func(tx *bbolt.Tx) (err error) {
		_, db.index, err = stateOf(tx, db.schema)
		return err
	})
}
