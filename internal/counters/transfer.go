package counters

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"
)

// transfer makes a table of what is in a file of this size whose blocks have another layout.
func transfer(file io.ReaderAt, size int64, old *Layout, name string, l Layout) (*Table, error) {
	t, err := New(name, l)
	if err != nil {
		return nil, err
	}
	from := &source{file: file, layout: old, places: make([]int, len(old.Names))}
	for i, name := range old.Names {
		from.places[i] = slices.Index(l.Names, name)
	}
	for i := 0; i < l.Blocks && old.offset(i+1) <= size; i++ {
		id, since, counts, err := from.read(i)
		if err == nil && counts != nil {
			err = t.put(id, since, counts)
		}
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	return t, nil
}

// put adds a block that has counted so much since then, unless there is one of the ID, or it
// cannot be what it is said to be.
func (t *Table) put(id ID, since time.Time, counts []uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.blocks[id] != nil {
		return nil
	}
	b, err := t.next()
	if err != nil {
		return err
	}
	b.begin(id, since)
	b.taken = false
	for i, n := range counts {
		b.Words[i].Store(n)
	}
	t.blocks[id] = b
	if !t.recover(b) {
		t.release(id, b)
	}
	return nil
}

// source is a file that is read instead of mapped.
type source struct {
	file   io.ReaderAt
	layout *Layout
	places []int // of its counters among ours; -1: we do not have it
}

// read returns what the i-th block has counted, by our places; nil: nothing. So it is of a block
// that has counted what we do not know, for the rest of it would not add up.
func (s *source) read(i int) (id ID, since time.Time, counts []uint64, err error) {
	at := s.layout.offset(i)
	raw := make([]byte, headWords*wordBytes)
	if _, err = s.file.ReadAt(raw, at); err != nil {
		return id, since, nil, err
	}
	h := readHead(func(i int) uint64 { return binary.NativeEndian.Uint64(raw[i*wordBytes:]) })
	if !h.valid(i) {
		return id, since, nil, nil
	}
	raw = make([]byte, s.layout.blockBytes()-len(raw))
	if _, err = s.file.ReadAt(raw, at+headWords*wordBytes); err != nil {
		return id, since, nil, err
	}
	counts = make([]uint64, slices.Max(s.places)+1)
	for share := range s.layout.Shares {
		words := raw[share*s.layout.Words*wordBytes:]
		for j, place := range s.places {
			n := binary.NativeEndian.Uint64(words[j*wordBytes:])
			switch {
			case place >= 0:
				counts[place] += n
			case n != 0:
				return id, since, nil, nil
			}
		}
	}
	return h.id, time.Unix(0, h.since), counts, nil
}
