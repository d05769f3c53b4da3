package policy_test

import (
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// benchFrames are frames of flows as a strict port sends them.
func benchFrames() map[string][]byte {
	options := edit(
		ipv4(host1.IP, frame.ProtoTCP, append(make([]byte, 4), transport(1, 80)...)...), 0, 0x46,
	)
	return map[string][]byte{
		"IPv4 UDP":     ipv4(host1.IP, frame.ProtoUDP, transport(1, 80)...),
		"IPv4 TCP":     ipv4(host1.IP, frame.ProtoTCP, transport(1, 80)...),
		"IPv4 options": options,
		"IPv4 tagged":  tagged(ipv4(host1.IP, frame.ProtoUDP, transport(1, 80)...), dot1q),
		"IPv6 UDP":     ipv6(host1.IP6, frame.ProtoUDP, transport(1, 80)...),
		"IPv6 ping":    ipv6(host1.IP6, frame.ProtoICMPv6, icmp6(128)...),
	}
}

func benchEach(b *testing.B, f func(b *testing.B, p *frame.Parsed, eth []byte)) {
	for name, eth := range benchFrames() {
		b.Run(name, func(b *testing.B) { f(b, new(frame.Parsed), eth) })
	}
}

// BenchmarkInspect is what port security costs each frame of a flow.
func BenchmarkInspect(b *testing.B) {
	g := newGuard(b, policy1(policy.SecurityStrict))
	benchEach(b, func(b *testing.B, p *frame.Parsed, eth []byte) {
		for b.Loop() {
			if p.Reset(eth); g.Inspect(p) != drop.None {
				b.Fatal("a good frame is refused")
			}
		}
	})
}

// BenchmarkAdmit is what it costs the first one.
func BenchmarkAdmit(b *testing.B) {
	g := newGuard(b, policy1(policy.SecurityStrict))
	benchEach(b, func(b *testing.B, p *frame.Parsed, eth []byte) {
		for b.Loop() {
			if p.Reset(eth); g.Admit(p, testGateway) != drop.None {
				b.Fatal("a good frame is refused")
			}
		}
	})
}

// BenchmarkClassify is what any rule costs each frame.
func BenchmarkClassify(b *testing.B) {
	benchEach(b, func(b *testing.B, p *frame.Parsed, eth []byte) {
		for b.Loop() {
			if p.Reset(eth); policy.Classify(p).Exempt {
				b.Fatal("a frame that rules are about is exempt")
			}
		}
	})
}
