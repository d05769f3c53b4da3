package model

import (
	"iter"
	"strings"

	"github.com/tidwall/btree"
)

// table is an ordered map that copies on write: a clone shares all nodes that neither side
// changes. Readers of one need no lock.
type table[T any] struct{ tree *btree.Map[string, T] }

func newTable[T any]() table[T] { return table[T]{new(btree.Map[string, T])} }

// clone returns a copy. It marks the nodes of t as shared, so two must not run at once on one
// table.
func (t table[T]) clone() table[T] { return table[T]{t.tree.Copy()} }

func (t table[T]) get(key string) (T, bool) { return t.tree.Get(key) }

func (t table[T]) set(key string, v T) { t.tree.Set(key, v) }

func (t table[T]) delete(key string) { t.tree.Delete(key) }

func (t table[T]) len() int { return t.tree.Len() }

// all iterates in the order of the keys.
func (t table[T]) all() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) { t.tree.Scan(yield) }
}

// within iterates over the keys that begin with prefix, in their order.
func (t table[T]) within(prefix string) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		t.tree.Ascend(prefix, func(key string, v T) bool {
			return strings.HasPrefix(key, prefix) && yield(key, v)
		})
	}
}

// records is a table of records, which are too large to be copied with the tree's nodes.
type records[T any] struct{ table[*T] }

func newRecords[T any]() records[T] { return records[T]{newTable[*T]()} }

func (r records[T]) clone() records[T] { return records[T]{r.table.clone()} }

func (r records[T]) get(key string) (record T, found bool) {
	p, found := r.table.get(key)
	if found {
		record = *p
	}
	return record, found
}

func (r records[T]) set(key string, record T) { r.table.set(key, &record) }

// values iterates in the order of the keys.
func (r records[T]) values() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, p := range r.all() {
			if !yield(*p) {
				return
			}
		}
	}
}
