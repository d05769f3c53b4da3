package host

import (
	"encoding/binary"
	"fmt"
	"net"

	"github.com/google/nftables"
)

// others are the host's interfaces from before we had it forward. It did not forward between
// them, and does not now, unless that is asked for. The table remembers them: like the setting
// that they are about it outlives the process, and not the network namespace.
type others []uint32 // their indexes, which no other interface of the namespace gets

// recall finds the others in a table that a process before has left.
func (t *Table) recall() error {
	if t.recalled {
		return nil
	}
	var found []nftables.SetElement
	err := t.talk(func(s *session) (err error) {
		_, err = s.conn.GetSetByName(s.table, kinds[setBefore].name)
		if missing(err) {
			return nil
		}
		if err == nil {
			found, err = s.conn.GetSetElements(s.sets[setBefore])
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the nftables set %s: %w", kinds[setBefore].name, err)
	}
	t.recalled, t.others = true, nil
	for _, e := range found {
		if len(e.Key) == 4 {
			t.others = append(t.others, binary.NativeEndian.Uint32(e.Key))
		}
	}
	return nil
}

// survey finds the others if the host does not forward yet and is to for c. As [Table.sysctls] it
// is about the namespace of the calling thread.
func (t *Table) survey(c Config) error {
	if err := t.recall(); err != nil || len(c.Segments) == 0 {
		return err
	}
	value, err := read(t.forwardingPath())
	if err != nil || value == "1" {
		return err
	}
	links, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list the host's interfaces: %w", err)
	}
	t.others = nil
	for _, l := range links {
		t.others = append(t.others, uint32(l.Index))
	}
	return nil
}

// addOthers adds what keeps others apart, unless they are to be routed, and what remembers them.
func (c content) addOthers(o others, routed bool) {
	for _, index := range o {
		before := element{set: setBefore}
		binary.NativeEndian.PutUint32(before.key[:], index)
		c[before] = struct{}{}
		same := element{set: setBridged}
		copy(same.key[:], before.key[:4])
		copy(same.key[4:], before.key[:4])
		c[same] = struct{}{}
	}
	if len(o) > 0 && !routed {
		unrouted := element{set: setUnrouted}
		unrouted.key[0] = byte(nftables.TableFamilyIPv4)
		c[unrouted] = struct{}{}
	}
}
