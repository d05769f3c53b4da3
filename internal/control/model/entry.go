package model

import (
	"fmt"

	"vswitch/internal/frame"
	"vswitch/internal/wellformed"
)

// Entry is the record of a static entry of the forwarding table.
type Entry struct {
	SegmentID string    `json:"segment_id"`
	MAC       frame.MAC `json:"mac"`
	PortID    string    `json:"port_id"`
}

// Key returns the key of the entry of a segment for a MAC.
func (e Entry) Key() string { return e.SegmentID + e.MAC.String() }

// Check says what is wrong with the record alone.
func (e Entry) Check() error {
	switch {
	case !wellformed.ID(e.SegmentID):
		return fmt.Errorf("segment id %q is not 64 hex digits", wellformed.Clip(e.SegmentID))
	case !e.MAC.IsUnicast():
		return fmt.Errorf("mac %q is not a unicast address such as 02:42:ac:11:00:02", e.MAC)
	case !wellformed.ID(e.PortID):
		return fmt.Errorf("port id %q is not 64 hex digits", wellformed.Clip(e.PortID))
	}
	return nil
}

type putEntry struct{ Entry }

// PutEntry adds a static entry, or replaces the one of its segment and MAC. It is refused for a
// port that is not on its segment.
func PutEntry(e Entry) Change { return putEntry{e} }

func (c putEntry) String() string {
	return fmt.Sprintf("entry for mac %s on segment %s", c.MAC, wellformed.Clip(c.SegmentID))
}

func (c putEntry) apply(t *txn) error {
	e := c.Entry
	if err := t.checkEntry(e); err != nil {
		return err
	}
	key := e.Key()
	t.forgetEntry(key)
	t.entries.set(key, e)
	t.portEntries.set(e.PortID+key, key)
	t.touch(KindEntry, key)
	return nil
}

// checkEntry says why e cannot be put beside what is there, or instead of the entry of its
// segment and MAC.
func (t *txn) checkEntry(e Entry) error {
	if err := e.Check(); err != nil {
		return err
	}
	s, exists := t.segments.get(e.SegmentID)
	if !exists {
		return fmt.Errorf("segment %s does not exist", e.SegmentID)
	}
	p, exists := t.ports.get(e.PortID)
	if !exists {
		return fmt.Errorf("port %s does not exist", e.PortID)
	}
	if p.SegmentID != e.SegmentID {
		return fmt.Errorf("port %q is not on segment %q", p.Name, s.Name)
	}
	return nil
}

// forgetEntry takes out an entry, if it is there.
func (t *txn) forgetEntry(key string) {
	e, exists := t.entries.get(key)
	if !exists {
		return
	}
	t.entries.delete(key)
	t.portEntries.delete(e.PortID + key)
	t.touch(KindEntry, key)
}

type deleteEntry struct {
	segmentID string
	mac       frame.MAC
}

// DeleteEntry deletes the static entry of a segment for a MAC.
func DeleteEntry(segmentID string, mac frame.MAC) Change {
	return deleteEntry{segmentID, mac}
}

func (c deleteEntry) String() string {
	return fmt.Sprintf("end of entry for mac %s on segment %s", c.mac, wellformed.Clip(c.segmentID))
}

func (c deleteEntry) apply(t *txn) error {
	t.forgetEntry(Entry{SegmentID: c.segmentID, MAC: c.mac}.Key())
	return nil
}
