package view

import (
	"vswitch/internal/frame"
	"vswitch/internal/gateway/dhcp"
	"vswitch/internal/gateway/dns"
)

// Stations returns the names of a segment's ports and their addresses, for its DNS.
func (s *Segment) Stations() []dns.Station {
	var stations []dns.Station
	for _, p := range s.Ports {
		if !p.Lost {
			stations = append(stations, dns.Station{
				Addrs: p.Record.Addrs, Name: p.Record.Name, Aliases: p.Record.Aliases,
			})
		}
	}
	return stations
}

// Leases returns what the segment's DHCP clients are told, by the MAC that each asks from.
func (s *Segment) Leases() map[frame.MAC]dhcp.Lease {
	leases := make(map[frame.MAC]dhcp.Lease)
	for _, p := range s.Ports {
		if p.Record.DHCP && !p.Lost {
			leases[p.MAC()] = p.Lease()
		}
	}
	return leases
}
