package store

import (
	"encoding/json"
	"time"

	"go.etcd.io/bbolt"

	"vswitch/internal/control/model"
)

// migration takes the records of a file from one schema to the next. It sees
// them as the old schema has them, and changes them through the writer only. What
// it leaves is checked before it is kept. A new field of a record needs none: it
// is zero in the records that lack it.
type migration func(*writer) error

// migrations are the steps in order: the first goes from schema 1 to 2. A new
// schema is one more function at the end.
func migrations() []migration { return []migration{addPools, addFamilies, addProtocols} }

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
	var state *model.State
	err := db.transact(func(w *writer) error { return w.migrate(steps) }, func(tx *bbolt.Tx) (err error) {
		state, err = stateOf(tx, db.schema)
		return err
	})
	if err == nil {
		db.state.Store(state)
	}
	return err
}

// addPools is the step to schema 2, which has pools.
func addPools(w *writer) error {
	// It may be left from a migration that was taken back.
	_, err := w.tx.CreateBucketIfNotExists([]byte(poolsBucket))
	return err
}

// fields is a record as far as a step needs to know it.
type fields map[string]json.RawMessage

// move gives the field from of f to another record under another name; to may be f.
func (f fields) move(from string, to fields, name string) {
	if value, has := f[from]; has {
		delete(f, from)
		to[name] = value
	}
}

// addFamilies is the step to schema 3, in which a segment has a list of subnets, a port one of
// addresses, and a pool's subnet is called as theirs.
func addFamilies(w *writer) error {
	err := w.each(segmentsBucket, func(f fields) error {
		subnet := fields{}
		for from, name := range map[string]string{
			"subnet": "prefix", "gateway": "gateway", "range": "range", "pool_id": "pool_id",
		} {
			f.move(from, subnet, name)
		}
		return f.set("subnets", []fields{subnet})
	})
	if err != nil {
		return err
	}
	err = w.each(portsBucket, func(f fields) error {
		addr := f["addr"]
		delete(f, "addr")
		return f.set("addrs", []json.RawMessage{addr})
	})
	if err != nil {
		return err
	}
	return w.each(poolsBucket, func(f fields) error {
		f.move("subnet", f, "prefix")
		return nil
	})
}

// addProtocols is the step to schema 4, in which a port's frames to reserved groups are one of
// the protocols that it may send.
func addProtocols(w *writer) error {
	return w.each(portsBucket, func(f fields) error {
		reserved := string(f["allow_reserved"]) == "true"
		delete(f, "allow_reserved")
		if !reserved {
			return nil
		}
		return f.set("allow_protocols", []string{"reserved"})
	})
}

func (f fields) set(name string, value any) error {
	text, err := json.Marshal(value)
	f[name] = text
	return err
}

// each has change edit each record of a bucket.
func (w *writer) each(bucket string, change func(fields) error) error {
	edited := make(map[string]fields)
	err := w.tx.Bucket([]byte(bucket)).ForEach(func(key, value []byte) error {
		text, err := unseal(bucket, string(key), value)
		if err != nil {
			return err
		}
		f, err := decodeJSON[fields](bucket, string(key), text)
		if err != nil {
			return err
		}
		edited[string(key)] = f
		return change(f)
	})
	for key, f := range edited {
		if err == nil {
			err = w.put(bucket, key, f)
		}
	}
	return err
}
