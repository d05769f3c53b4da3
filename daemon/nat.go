package daemon

import (
	"vswitch/nat"
)

// applyNAT has the host's kernel do what the segments and published ports need.
func (d *Daemon) applyNAT() error {
	if d.table == nil {
		var err error
		if d.table, err = nat.Open(nat.Options{Log: d.log}); err != nil {
			return err
		}
	}
	c := nat.Config{Forwards: d.forwards()}
	for _, s := range d.segments {
		if s.host != nil {
			c.Segments = append(c.Segments, nat.Segment{ID: s.record.ID, Link: s.host.name, Subnet: s.record.Subnet, Gateway: s.record.Gateway, Masquerade: true})
		}
	}
	return d.table.Apply(c)
}
