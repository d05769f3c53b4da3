package store

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// PutSegment implements [Store]. It refuses a segment that its ports do not fit
// into.
func (db *DB) PutSegment(s Segment) error {
	s.Created = utc(s.Created)
	check := func(x *index) error {
		if err := x.checkSegment(s); err != nil {
			return fmt.Errorf("put segment %q: %w", clip(s.Name), err)
		}
		return nil
	}
	write := func(w *writer) error { return w.put(segmentsBucket, s.ID, s) }
	return db.change(check, write, func(x *index) { x.putSegment(s) })
}

// DeleteSegment implements [Store]. It refuses to delete a segment that has ports.
func (db *DB) DeleteSegment(id string) error {
	check := func(x *index) error {
		if _, exists := x.segments[id]; !exists {
			return errNothing
		}
		return x.checkSegmentEnd(id)
	}
	// It has no static entries either: each leads to a port of its own segment.
	write := func(w *writer) error { return w.delete(segmentsBucket, id) }
	return db.change(check, write, func(x *index) { x.deleteSegment(id) })
}

// PutPort implements [Store]. It refuses a port without a segment that has its
// address, and one with another port's name, or address or MAC on that segment.
func (db *DB) PutPort(p Port) error {
	p.Created, p.LostSince = utc(p.Created), utc(p.LostSince)
	check := func(x *index) error {
		if err := x.checkPort(p); err != nil {
			return fmt.Errorf("put port %q: %w", clip(p.Name), err)
		}
		return nil
	}
	write := func(w *writer) error { return w.put(portsBucket, p.ID, p) }
	return db.change(check, write, func(x *index) { x.putPort(p) })
}

// DeletePort implements [Store].
func (db *DB) DeletePort(id string) error {
	var entries []station
	check := func(x *index) error {
		if _, exists := x.ports[id]; !exists {
			return errNothing
		}
		entries = x.entriesOfPort(id)
		return nil
	}
	write := func(w *writer) error {
		for _, e := range entries {
			if err := w.delete(entriesBucket, entryKey(e.segment, e.mac)); err != nil {
				return err
			}
		}
		return w.delete(portsBucket, id)
	}
	return db.change(check, write, func(x *index) {
		for _, e := range entries {
			delete(x.entries, e)
		}
		x.deletePort(id)
	})
}

// PutEntry implements [Store]. It refuses an entry for a port that is not on its
// segment.
func (db *DB) PutEntry(e Entry) error {
	check := func(x *index) error {
		if err := x.checkEntry(e); err != nil {
			return fmt.Errorf("put entry %q: %w", clip(e.MAC), err)
		}
		return nil
	}
	write := func(w *writer) error { return w.put(entriesBucket, entryKey(e.SegmentID, e.MAC), e) }
	return db.change(check, write, func(x *index) { x.entries[station{e.SegmentID, e.MAC}] = e.PortID })
}

// DeleteEntry implements [Store].
func (db *DB) DeleteEntry(segmentID, mac string) error {
	check := func(x *index) error {
		if _, exists := x.entries[station{segmentID, mac}]; !exists {
			return errNothing
		}
		return nil
	}
	write := func(w *writer) error { return w.delete(entriesBucket, entryKey(segmentID, mac)) }
	return db.change(check, write, func(x *index) { delete(x.entries, station{segmentID, mac}) })
}

// utc is t as it comes back from JSON.
func utc(t time.Time) time.Time { return t.Round(0).UTC() }

// errNothing says that what is to be deleted is not there.
var errNothing = errors.New("nothing to do")

// change makes one change: check holds it against the index, write brings it to
// disk, and apply brings the index up to date once it is there for good.
func (db *DB) change(check func(*index) error, write func(*writer) error, apply func(*index)) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.usable(); err != nil {
		return err
	}
	if err := check(db.index); errors.Is(err, errNothing) {
		return nil
	} else if err != nil {
		return err
	}
	if err := db.transact(write, nil); err != nil {
		return db.note(err)
	}
	apply(db.index)
	return nil
}

// transact makes one transaction of what write does, if verify is content with
// the result; it may be nil. When transact returns an error nothing has changed.
func (db *DB) transact(write func(*writer) error, verify func(*bbolt.Tx) error) error {
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
		if err := write(w); err != nil {
			return err
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
			if err := (&writer{tx: tx}).revert(undo); err != nil {
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
