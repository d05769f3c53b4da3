package bench

import (
	"context"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
)

// securityCases show what it costs to hold a port to its addresses: the rate of the
// smallest frames, here with packets that the port may send.
func securityCases(d time.Duration) []variant {
	var cases []variant
	for _, guarded := range []bool{false, true} {
		name := "security=off"
		if guarded {
			name = "security=strict"
		}
		cases = append(cases, variant{
			name: name, about: d,
			needs: peer.Needs{Ports: 2, Segments: 1, Guarded: guarded, Foreign: !guarded},
			measure: func(ctx context.Context, s *stage) ([]reading, error) {
				a, b, err := s.pair(ctx)
				if err != nil {
					return nil, err
				}
				found, err := s.offer(ctx, load.FramesTask{
					Flows: []load.Flow{{From: a, To: b}}, Bytes: smallest - fcsLen, For: s.duration,
					Packets: true,
				})
				if err != nil {
					return nil, err
				}
				return []reading{deliveredReading(found)}, nil
			},
		})
	}
	return cases
}
