package store

import (
	"bytes"
	"slices"

	"vswitch/internal/control/model"

	"go.etcd.io/bbolt"
)

// writer makes the changes of one transaction and keeps the record of the file
// itself in step with them.
type writer struct {
	tx    *bbolt.Tx
	about about
	undo  []change // newest last
}

// change is a value before it changed; nil: there was none.
type change struct {
	bucket, key string
	value       []byte
}

func newWriter(tx *bbolt.Tx) (*writer, error) {
	b := tx.Bucket([]byte(metaBucket))
	if b == nil {
		return nil, damagef("bucket %q is missing", metaBucket)
	}
	a, err := decodeAbout(b.Get([]byte(aboutKey)))
	return &writer{tx: tx, about: a}, err
}

func (w *writer) put(bucket, key string, record any) error {
	value, err := seal(bucket, key, record)
	if err != nil {
		return err
	}
	return w.count(bucket, key, value)
}

// apply writes what a change has made of records.
func (w *writer) apply(deltas []model.Delta) error {
	for _, d := range deltas {
		bucket := bucketOf(d.Kind)
		var err error
		if d.Record == nil {
			err = w.delete(bucket, d.Key)
		} else {
			err = w.put(bucket, d.Key, d.Record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// delete deletes a record, if it is there.
func (w *writer) delete(bucket, key string) error { return w.count(bucket, key, nil) }

func (w *writer) count(bucket, key string, value []byte) error {
	old, err := w.set(bucket, key, value)
	w.about.remove(old)
	w.about.add(value)
	return err
}

// set sets a value, none if it is nil, and returns the one before. Where that is the same
// it does nothing.
func (w *writer) set(bucket, key string, value []byte) (old []byte, err error) {
	b := w.tx.Bucket([]byte(bucket))
	if b == nil {
		return nil, damagef("bucket %q is missing", bucket)
	}
	old = bytes.Clone(b.Get([]byte(key)))
	if bytes.Equal(old, value) && (old == nil) == (value == nil) {
		return old, nil
	}
	w.undo = append(w.undo, change{bucket: bucket, key: key, value: old})
	if value == nil {
		return old, b.Delete([]byte(key))
	}
	return old, b.Put([]byte(key), value)
}

// finish is the last change of a transaction.
func (w *writer) finish() error {
	w.about.Change = max(w.about.Change+1, w.tx.ID())
	value, err := seal(metaBucket, aboutKey, w.about)
	if err != nil {
		return err
	}
	_, err = w.set(metaBucket, aboutKey, value)
	return err
}

// revert takes back what another writer has done, the newest change first, in a change
// of its own.
func (w *writer) revert(undo []change) error {
	for _, c := range slices.Backward(undo) {
		if c.bucket == metaBucket {
			old, err := decodeAbout(c.value)
			if err != nil {
				return err
			}
			old.Change = w.about.Change
			w.about = old
		} else if _, err := w.set(c.bucket, c.key, c.value); err != nil {
			return err
		}
	}
	return w.finish()
}
