package control

import (
	"log/slog"

	"vswitch/internal/gateway/dns"
)

// Log returns where what becomes of the switch is logged.
func (d *Control) Log() *slog.Logger { return d.log }

// Batched reports for each worker whether it carries several frames in one system call.
func (d *Control) Batched() []bool {
	batched := make([]bool, len(d.reactors))
	for i, r := range d.reactors {
		batched[i] = r.Batched() == nil
	}
	return batched
}

// Evicted returns how many learned addresses gave way to others in a full forwarding table.
func (d *Control) Evicted() uint64 { return d.sw.Evicted() }

// MetByDNS returns how often clients have met the limits of the segments' resolvers, by the
// segments' names.
func (d *Control) MetByDNS() map[string][dns.LimitCount]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	met := make(map[string][dns.LimitCount]uint64, len(d.segments))
	for _, s := range d.segments {
		met[s.record.Name] = s.services.resolver.Met()
	}
	return met
}
