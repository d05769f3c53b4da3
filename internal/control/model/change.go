package model

import (
	"fmt"
	"slices"
	"time"
)

// Change is one part of what [State.With] is to change: the put or the delete of one record. A
// put adds a record or replaces the one with its key.
type Change interface {
	fmt.Stringer // what it is about, for the error
	apply(t *txn) error
}

// Kind is the kind of a record.
type Kind uint8

// The kinds of records.
const (
	KindPool Kind = iota + 1
	KindSegment
	KindPort
	KindEntry
)

// Delta is a record that a change has written, in the form that the change left it in.
type Delta struct {
	Kind   Kind
	Key    string
	Record any // Pool, Segment, Port or Entry, as Kind says; nil: it was deleted
}

// With returns the state after all changes, in their order, and the records that they touched,
// or an error; s stays as it is. Each change is checked against what the ones before it left.
// Deleting what is not there is no error and touches nothing.
func (s *State) With(changes ...Change) (*State, []Delta, error) { return s.with(false, changes) }

// with is With, of records that may break the rules of the book of addresses if they were stored.
func (s *State) with(stored bool, changes []Change) (*State, []Delta, error) {
	t := &txn{tables: s.clone(), stored: stored, at: make(map[recordKey]int)}
	for _, c := range changes {
		if err := c.apply(t); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c, err)
		}
	}
	return &State{tables: t.tables}, t.deltas(), nil
}

func (s *State) clone() tables {
	s.cloning.Lock()
	defer s.cloning.Unlock()
	return tables{
		pools: s.pools.clone(), segments: s.segments.clone(), ports: s.ports.clone(),
		entries: s.entries.clone(), segmentNames: s.segmentNames.clone(),
		portNames: s.portNames.clone(), members: s.members.clone(), addrs: s.addrs.clone(),
		allowed: s.allowed.clone(), macs: s.macs.clone(), portEntries: s.portEntries.clone(),
		poolSegments: s.poolSegments.clone(),
	}
}

// txn is a state in the making.
type txn struct {
	tables
	stored  bool        // the changes put what an earlier version may have stored
	touched []recordKey // in the order of the first touch
	at      map[recordKey]int
}

type recordKey struct {
	kind Kind
	key  string
}

func (t *txn) touch(kind Kind, key string) {
	k := recordKey{kind, key}
	if _, seen := t.at[k]; !seen {
		t.at[k] = len(t.touched)
		t.touched = append(t.touched, k)
	}
}

// deltas returns what the touched records have become.
func (t *txn) deltas() []Delta {
	deltas := make([]Delta, len(t.touched))
	for i, k := range t.touched {
		deltas[i] = Delta{Kind: k.kind, Key: k.key, Record: t.record(k)}
	}
	return slices.Clip(deltas)
}

// record returns a record, or nil when there is none.
func (t *txn) record(k recordKey) any {
	switch k.kind {
	case KindPool:
		return orNil(t.pools.get(k.key))
	case KindSegment:
		return orNil(t.segments.get(k.key))
	case KindPort:
		return orNil(t.ports.get(k.key))
	default:
		return orNil(t.entries.get(k.key))
	}
}

func orNil[T any](record T, found bool) any {
	if !found {
		return nil
	}
	return record
}

// utc is t as it comes back from JSON.
func utc(t time.Time) time.Time { return t.Round(0).UTC() }
