package view

import (
	"vswitch/api"
	"vswitch/internal/control/model"
)

// Pool is a pool, and the segment over it.
type Pool struct {
	Record  model.Pool
	Segment *Segment // nil: none
}

func (p *Pool) id() string    { return p.Record.ID }
func (p *Pool) title() string { return p.Record.Prefix.String() }

// View shows the pool.
func (p *Pool) View() api.Pool {
	v := api.Pool{
		ID: p.Record.ID, Subnet: p.Record.Prefix, Gateway: p.Record.Gateway,
		Leases: len(p.Record.Leases), Created: p.Record.Created,
	}
	if p.Segment != nil {
		v.Segment = p.Segment.Record.Name
	}
	return v
}
