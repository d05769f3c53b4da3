package control

import (
	"context"
	"log/slog"

	"vswitch/api"
	"vswitch/internal/gateway/dns"
	"vswitch/internal/reactor"
)

// Log returns where what becomes of the switch is logged.
func (c *Control) Log() *slog.Logger { return c.log }

// Workers implements [api.Backend].
func (c *Control) Workers(context.Context) ([]api.Worker, error) {
	list := make([]api.Worker, len(c.pollers))
	for i, p := range c.pollers {
		list[i] = api.Worker{Worker: i, Features: []string{}}
		r, ok := p.(interface{ State() reactor.State })
		if !ok {
			list[i].IO = reactor.Plain.String()
			continue
		}
		s := r.State()
		list[i].IO, list[i].SystemCallNS = s.Engine.String(), int(s.Call.Nanoseconds())
		list[i].Features = append(list[i].Features, s.Features...)
		if s.Why != nil {
			list[i].Reason = s.Why.Error()
		}
	}
	return list, nil
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
