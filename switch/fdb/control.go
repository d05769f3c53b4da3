package fdb

import (
	"cmp"
	"slices"
)

// SetStatic puts a static entry at place in the place of what key had, unless that is the
// own entry of another place ([ErrOwned]). Where key is place's own, it stays so.
func (t *Table) SetStatic(key uint64, place Place) error {
	return t.set(key, value(Static, place, 0), func(old Value) (bool, error) {
		if old.Kind() != Own {
			return true, nil
		}
		if old.Place() != place {
			return false, ErrOwned
		}
		return false, nil
	})
}

// Pin makes key the own address of the port in slot place, in the place of any entry but
// another port's own ([ErrOwned]); one of those that is not locked gives way to one that is.
// locked says that no frame from elsewhere may have it as its source. Pinning again changes
// locked.
func (t *Table) Pin(key uint64, place Place, locked bool) error {
	v := value(Own, place, 0)
	if locked {
		v |= lockedBit
	}
	return t.set(key, v, func(old Value) (bool, error) {
		if old.Kind() == Own && old.Place() != place && (old.Locked() || !locked) {
			return false, ErrOwned
		}
		return true, nil
	})
}

// Unpin ends the own entry of key at place, if there is one. The address is then known to
// be nowhere until it ages or is seen elsewhere, so that what is still sent to it is not
// flooded.
func (t *Table) Unpin(key uint64, place Place, now uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.current.Load()
	s := g.find(key)
	if s == nil {
		return
	}
	v := Value(s.value.Load())
	if v.Kind() != Own || v.Place() != place {
		return
	}
	t.release(g, s, v, now) // or it has moved meanwhile
	t.version.Add(1)
}

// Release takes place out of use: its static entries end, and its own and learned addresses
// are known to be nowhere until they age or are seen elsewhere. Nobody learns at place any
// more.
func (t *Table) Release(place Place, now uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.current.Load()
	for i := range g.slots {
		s := &g.slots[i]
		v := Value(s.value.Load())
		for v != 0 && v.Place() == place && !t.release(g, s, v, now) {
			v = Value(s.value.Load()) // it has moved meanwhile
		}
	}
	t.version.Add(1)
}

// release has the entry of s be nowhere, if its value is still v.
func (t *Table) release(g *generation, s *slot, v Value, now uint32) bool {
	next := Value(0)
	switch {
	case v.Kind() == Learned:
		next = value(Learned, Nowhere, v.Tick())
	case v.Kind() == Own && t.makeRoom(g, Nowhere):
		next = value(Learned, Nowhere, now)
	}
	if !s.swap(v, next) {
		return false
	}
	if v.Kind() == Learned {
		g.disown(v.Place())
	}
	if next != 0 {
		g.own(Nowhere)
	}
	return true
}

// SetRemote puts the announcement of a remote host in the place of what key had: the
// announcements' own order (RFC 7432 §15) is the caller's. A static entry stays, and so
// does the own entry of a port for which live says yes ([ErrOwned]).
func (t *Table) SetRemote(key uint64, host uint16, live func(Place) bool) error {
	place := Remote(host)
	t.Use(place)
	return t.set(key, value(RemoteHost, place, 0), func(old Value) (bool, error) {
		switch old.Kind() {
		case Own:
			if live(old.Place()) {
				return false, ErrOwned
			}
		case Static:
			return false, nil
		}
		return true, nil
	})
}

// set gives key the value v if may says so of the one that it has.
func (t *Table) set(key uint64, v Value, may func(old Value) (bool, error)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range 4 {
		g := t.current.Load()
		s := g.claim(key)
		if s == nil {
			t.rebuildLocked(2)
			continue
		}
		for {
			old := Value(s.value.Load())
			if ok, err := may(old); !ok {
				return err
			}
			if s.swap(old, v) {
				if old.Kind() == Learned {
					g.disown(old.Place())
				}
				t.version.Add(1)
				return nil
			}
		}
	}
	return ErrFull
}

// Remove ends every entry that match says so of, and returns how many.
func (t *Table) Remove(match func(key uint64, v Value) bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, n := t.current.Load(), 0
	for i := range g.slots {
		s := &g.slots[i]
		for {
			v := Value(s.value.Load())
			if v == 0 || !match(s.key.Load(), v) {
				break
			}
			if s.end(g, v) {
				n++
				break
			}
		}
	}
	if n > 0 {
		t.version.Add(1)
	}
	return n
}

// Entry is one address of the table.
type Entry struct {
	MAC uint64
	Value
}

// Entries lists a segment's entries, sorted by address.
func (t *Table) Entries(segment uint16) []Entry {
	g := t.current.Load()
	var list []Entry
	for i := range g.slots {
		key, v := g.slots[i].key.Load(), Value(g.slots[i].value.Load())
		if v != 0 && KeySegment(key) == segment {
			list = append(list, Entry{KeyMAC(key), v})
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.MAC, b.MAC) })
	return list
}
