package store

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Change is one part of a batch for [Store.Apply]: the put or the delete of one record.
type Change struct {
	// plan holds the change against the index and brings that up to date. What it
	// returns writes the change; nil: there is nothing to write.
	plan func(*index) (write, error)
}

// write is a part of a transaction.
type write func(*writer) error

// PutSegment adds a segment, or replaces the one with its id. It is refused when its
// ports do not fit into it.
func PutSegment(s Segment) Change {
	s.Created = utc(s.Created)
	return Change{func(x *index) (write, error) {
		if err := x.checkSegment(s); err != nil {
			return nil, fmt.Errorf("put segment %q: %w", clip(s.Name), err)
		}
		x.putSegment(s)
		return put(segmentsBucket, s), nil
	}}
}

// DeleteSegment is refused while the segment has ports.
func DeleteSegment(id string) Change {
	return Change{func(x *index) (write, error) {
		if _, exists := x.segments[id]; !exists {
			return nil, nil
		}
		if err := x.checkSegmentEnd(id); err != nil {
			return nil, err
		}
		x.deleteSegment(id)
		// It has no static entries either: each leads to a port of its own segment.
		return remove(segmentsBucket, id), nil
	}}
}

// PutPort adds a port, or replaces the one with its id. It is refused without a segment
// that has its address, and with another port's name, or address or MAC on that segment.
func PutPort(p Port) Change {
	p.Created, p.LostSince = utc(p.Created), utc(p.LostSince)
	return Change{func(x *index) (write, error) {
		if err := x.checkPort(p); err != nil {
			return nil, fmt.Errorf("put port %q: %w", clip(p.Name), err)
		}
		x.putPort(p)
		return put(portsBucket, p), nil
	}}
}

// DeletePort deletes a port with its static entries.
func DeletePort(id string) Change {
	return Change{func(x *index) (write, error) {
		if _, exists := x.ports[id]; !exists {
			return nil, nil
		}
		entries := x.entriesOfPort(id)
		for _, e := range entries {
			x.deleteEntry(e)
		}
		x.deletePort(id)
		return func(w *writer) error {
			for _, e := range entries {
				if err := w.delete(entriesBucket, entryKey(e.segment, e.mac)); err != nil {
					return err
				}
			}
			return w.delete(portsBucket, id)
		}, nil
	}}
}

// PutEntry adds a static entry, or replaces the one of its segment and MAC. It is refused
// for a port that is not on its segment.
func PutEntry(e Entry) Change {
	return Change{func(x *index) (write, error) {
		if err := x.checkEntry(e); err != nil {
			return nil, fmt.Errorf("put entry %q: %w", clip(e.MAC), err)
		}
		x.putEntry(e)
		return put(entriesBucket, e), nil
	}}
}

// DeleteEntry deletes the static entry of a segment for a MAC.
func DeleteEntry(segmentID, mac string) Change {
	return Change{func(x *index) (write, error) {
		e := station{segmentID, mac}
		if _, exists := x.entries[e]; !exists {
			return nil, nil
		}
		x.deleteEntry(e)
		return remove(entriesBucket, entryKey(segmentID, mac)), nil
	}}
}

func put(bucket string, record keyed) write {
	return func(w *writer) error { return w.put(bucket, record.key(), record) }
}

func remove(bucket, key string) write {
	return func(w *writer) error { return w.delete(bucket, key) }
}

// utc is t as it comes back from JSON.
func utc(t time.Time) time.Time { return t.Round(0).UTC() }

// Apply implements [Store].
func (db *DB) Apply(changes ...Change) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.usable(); err != nil {
		return err
	}
	writes, err := db.index.plan(changes)
	if err == nil && len(writes) > 0 {
		err = db.note(db.transact(func(w *writer) error {
			for _, write := range writes {
				if err := write(w); err != nil {
					return err
				}
			}
			return nil
		}, nil))
	}
	if err != nil {
		db.index.revert()
		return err
	}
	db.index.keep()
	return nil
}

// plan holds changes against the index, each as the ones before it leave it, and returns
// what writes them.
func (x *index) plan(changes []Change) ([]write, error) {
	var writes []write
	for _, c := range changes {
		write, err := c.plan(x)
		if err != nil {
			return nil, err
		}
		if write != nil {
			writes = append(writes, write)
		}
	}
	return writes, nil
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
		return db.commit(tx)
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
