package store

import (
	"slices"

	"go.etcd.io/bbolt"
)

// contents are the records of a state file, each with its checksum verified.
type contents struct {
	about   []byte            // the value; nil: not seen
	buckets map[string][]item // in order of keys
	found   tally
	err     error // the first one; told only once the schema is known
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
	c.note(damagef("bucket %q has an unexpected %q", clip(bucket), clip(key)))
}

// stateOf is the state that a transaction sees, checked as at a start.
func stateOf(tx *bbolt.Tx, schema int) (State, *index, error) {
	c := newContents()
	if err := c.readTx(tx); err != nil {
		return State{}, nil, err
	}
	if _, err := c.verify(schema); err != nil {
		return State{}, nil, err
	}
	return c.state()
}

// readTx takes in all that a transaction sees.
func (c *contents) readTx(tx *bbolt.Tx) error {
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		c.bucket(string(name))
		return b.ForEach(func(key, value []byte) error {
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
	case a.tally != c.found:
		return a, damagef("it should have %d records and has %d, or some of them are of another time", a.Records, c.found.Records)
	}
	return a, nil
}

// state decodes records of the present schema and holds them against each other.
func (c *contents) state() (State, *index, error) {
	var state State
	x := newIndex()
	known := []string{metaBucket, segmentsBucket, portsBucket, entriesBucket, poolsBucket}
	for _, name := range known {
		if _, exists := c.buckets[name]; !exists {
			return State{}, nil, damagef("bucket %q is missing", name)
		}
	}
	for name, items := range c.buckets {
		if !slices.Contains(known, name) || name == metaBucket && len(items) > 0 {
			return State{}, nil, damagef("bucket %q is unexpected, or something in it", clip(name))
		}
	}
	pools, err := c.readPools(x)
	if err != nil {
		return State{}, nil, err
	}
	state.Pools = pools
	for _, i := range c.buckets[segmentsBucket] {
		s, err := decodeSegment(i.key, i.text)
		if err != nil {
			return State{}, nil, err
		}
		if err := x.checkSegment(s); err != nil {
			return State{}, nil, damagef("segment %q, id %s: %w", clip(s.Name), clip(s.ID), err)
		}
		x.putSegment(s)
		state.Segments = append(state.Segments, s)
	}
	for _, i := range c.buckets[portsBucket] {
		p, err := decodePort(i.key, i.text)
		if err != nil {
			return State{}, nil, err
		}
		if err := x.checkPort(p); err != nil {
			return State{}, nil, damagef("port %q, id %s: %w", clip(p.Name), clip(p.ID), err)
		}
		x.putPort(p)
		state.Ports = append(state.Ports, p)
	}
	for _, i := range c.buckets[entriesBucket] {
		e, err := decodeEntry(i.key, i.text)
		if err != nil {
			return State{}, nil, err
		}
		if err := x.checkEntry(e); err != nil {
			return State{}, nil, damagef("entry for mac %s on segment %s: %w", clip(e.MAC), clip(e.SegmentID), err)
		}
		x.entries[station{e.SegmentID, e.MAC}] = e.PortID
		state.Entries = append(state.Entries, e)
	}
	return state, x, nil
}
