package store

import (
	"bytes"
	"slices"

	"vswitch/internal/control/model"
	"vswitch/internal/wellformed"

	"go.etcd.io/bbolt"
)

// contents are the records of a state file, each with its checksum verified.
type contents struct {
	about   []byte            // the value; nil: not seen
	buckets map[string][]item // in order of keys
	found   tally
	verdict verdict // on the file
	err     error   // the first one; told only once the schema is known
}

type item struct {
	key  string
	text []byte // JSON
}

func newContents() *contents { return &contents{buckets: make(map[string][]item)} }

// note keeps an error that has no weight if the file is a newer version's.
func (c *contents) note(err error) {
	if c.err == nil {
		c.err = err
	}
}

// bucket takes in a bucket, before its records.
func (c *contents) bucket(name string) { c.buckets[name] = nil }

// record takes in a record. It keeps value.
func (c *contents) record(bucket, key string, value []byte) {
	if bucket == metaBucket && key == aboutKey {
		c.about = value
		return
	}
	text, err := unseal(bucket, key, value)
	if err != nil {
		c.note(err)
		return
	}
	c.found.add(value)
	c.buckets[bucket] = append(c.buckets[bucket], item{key: key, text: text})
}

// stray takes in something that no version up to this one puts into a bucket.
func (c *contents) stray(bucket, key string) {
	c.note(damagef("bucket %q has an unexpected %q", wellformed.Clip(bucket), wellformed.Clip(key)))
}

// stateOf returns the state that a transaction sees, checked as at a start.
func stateOf(tx *bbolt.Tx, schema int) (*model.State, error) {
	c := newContents()
	if err := c.readTx(tx); err != nil {
		return nil, err
	}
	return c.stateOf(schema)
}

// stateOf verifies the records, which must be of this schema, and decodes them.
func (c *contents) stateOf(schema int) (*model.State, error) {
	if _, err := c.verify(schema); err != nil {
		return nil, err
	}
	return c.state()
}

// readTx takes in all that a transaction sees.
func (c *contents) readTx(tx *bbolt.Tx) error {
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		c.bucket(string(name))
		var last []byte
		return b.ForEach(func(key, value []byte) error {
			if last != nil && bytes.Compare(key, last) <= 0 {
				c.note(damagef("record %q of %s is out of order", wellformed.Clip(string(key)), wellformed.Clip(string(name))))
			}
			last = key
			if value == nil {
				c.stray(string(name), string(key))
			} else {
				c.record(string(name), string(key), slices.Clone(value))
			}
			return nil
		})
	})
}

// verify says whether the records are those that were put, in a schema that is
// known up to version schema.
func (c *contents) verify(schema int) (about, error) {
	a, err := decodeAbout(c.about)
	if err == nil && a.Schema > schema {
		return a, newerError(a.Schema, schema)
	}
	switch {
	case c.err != nil:
		return a, c.err
	case err != nil:
		return a, err
	case c.verdict.OneRoot && (a.Change == 0 || a.Change < c.verdict.LastChange):
		// bbolt writes them in turn: this is the one before, or nobody can tell.
		return a, damagef("the root of its last change is unreadable")
	case a.tally != c.found:
		return a, damagef("it should have %d records and has %d, or some of them are of another time", a.Records, c.found.Records)
	}
	return a, nil
}

// state decodes records of the present schema and holds them against each other.
func (c *contents) state() (*model.State, error) {
	known := []string{metaBucket, segmentsBucket, portsBucket, entriesBucket, poolsBucket}
	for _, name := range known {
		if _, exists := c.buckets[name]; !exists {
			return nil, damagef("bucket %q is missing", name)
		}
	}
	for name, items := range c.buckets {
		if !slices.Contains(known, name) || name == metaBucket && len(items) > 0 {
			return nil, damagef("bucket %q is unexpected, or something in it", wellformed.Clip(name))
		}
	}
	records, err := c.records()
	if err != nil {
		return nil, err
	}
	s, err := model.New(records)
	if err != nil {
		return nil, damagef("%w", err)
	}
	return s, nil
}

// records decodes all records.
func (c *contents) records() (r model.Records, err error) {
	if r.Pools, err = readAll[model.Pool](c, poolsBucket); err != nil {
		return r, err
	}
	if r.Segments, err = readAll[model.Segment](c, segmentsBucket); err != nil {
		return r, err
	}
	if r.Ports, err = readAll[model.Port](c, portsBucket); err != nil {
		return r, err
	}
	r.Entries, err = readAll[model.Entry](c, entriesBucket)
	return r, err
}

// readAll decodes the records of a bucket.
func readAll[T keyed](c *contents, bucket string) ([]T, error) {
	all := make([]T, 0, len(c.buckets[bucket]))
	for _, i := range c.buckets[bucket] {
		record, err := decode[T](bucket, i.key, i.text)
		if err != nil {
			return nil, err
		}
		all = append(all, record)
	}
	return all, nil
}
