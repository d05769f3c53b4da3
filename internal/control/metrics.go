package control

import (
	"log/slog"

	"vswitch/internal/gateway/dns"
	"vswitch/internal/reactor"
)

// Log returns where what becomes of the switch is logged.
func (c *Control) Log() *slog.Logger { return c.log }

// Batched reports for each worker whether it carries several frames in one system call.
func (c *Control) Batched() []bool {
	batched := make([]bool, len(c.pollers))
	for i, p := range c.pollers {
		r, ok := p.(*reactor.Reactor)
		batched[i] = ok && r.Batched() == nil
	}
	return batched
}

// Evicted returns how many learned addresses gave way to others in a full forwarding table.
func (c *Control) Evicted() uint64 { return c.sw.Evicted() }

// MetByDNS returns how often clients have met the limits of the segments' resolvers, by the
// segments' names.
func (c *Control) MetByDNS() map[string][dns.LimitCount]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	met := make(map[string][dns.LimitCount]uint64, len(c.allSegments))
	for _, s := range c.allSegments {
		met[s.record.Name] = s.services.resolver.Met()
	}
	return met
}
