package fdb

// press asks for a rebuild of g, once.
func (t *Table) press(g *generation) {
	if g.pressed.Load() || !g.pressed.CompareAndSwap(false, true) {
		return
	}
	select {
	case t.pressure <- struct{}{}:
	default:
	}
}

// Pressure holds a token when a [Table.Rebuild] is due.
func (t *Table) Pressure() <-chan struct{} { return t.pressure }

// Rebuild copies the live entries into a new generation, if one was asked for since the
// last.
func (t *Table) Rebuild() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.Load().pressed.Load() {
		t.rebuildLocked(1)
	}
}

// rebuildLocked makes a generation that the entries fill to a quarter at most,
// half of what asks for the next rebuild, and factor times larger than that.
//
// Workers go on learning into the old one until they see the new. What changed
// there after it was copied is brought over when no worker uses it any more:
// else the move of a host that then falls silent would be forgotten.
func (t *Table) rebuildLocked(factor int) {
	old := t.current.Load()
	entries := 0
	for i := range old.slots {
		if old.slots[i].value.Load() != 0 {
			entries++
		}
	}
	copied := make([]Value, len(old.slots))
	g := newGeneration(slotsFor(entries) * factor)
	for !g.copyFrom(old, copied) {
		g = newGeneration(2 * int(g.mask+1))
	}
	t.current.Store(g)
	t.settle()
	t.catchUp(g, old, copied)
	t.version.Add(1)
}

// copyFrom copies the entries of old into g, which no one else uses yet, and notes in
// copied what their values were. It is false where an entry that must stay finds no slot.
// A learned one that finds none is left out and learned again; with a quarter of the slots
// in use that is next to impossible.
func (g *generation) copyFrom(old *generation, copied []Value) bool {
	for i := range old.slots {
		v := Value(old.slots[i].value.Load())
		copied[i] = v
		if v == 0 {
			continue
		}
		s := g.claim(old.slots[i].key.Load())
		switch {
		case s != nil:
			s.value.Store(uint64(v))
			if v.Kind() == Learned {
				g.own(v.Place())
			}
		case v.Kind() != Learned:
			return false
		}
	}
	return true
}

// catchUp brings to g what workers changed in old, which they no longer use, after it was
// copied. Where they have already changed it in g, that is newer. Workers learn and evict, so
// that an entry which differs was learned, or own and not locked, and is learned or has
// ended: all else takes mu. In the end g is no fuller than the capacity allows.
func (t *Table) catchUp(g, old *generation, copied []Value) {
	for i, before := range copied {
		v := Value(old.slots[i].value.Load())
		if v == before || before == 0 && g.live.Load() >= t.capacity {
			continue
		}
		s := g.claim(old.slots[i].key.Load())
		if s == nil || !s.swap(before, v) {
			continue
		}
		if before.Kind() == Learned {
			g.disown(before.Place())
		}
		if v.Kind() == Learned {
			g.own(v.Place())
		}
	}
	// What gave way in old behind the copy's back is here too much.
	for g.live.Load() > t.capacity {
		if !g.evict(g.most(t.highest[0].Load(), t.highest[1].Load()), 0) {
			return
		}
		t.evicted.Add(1)
	}
}
