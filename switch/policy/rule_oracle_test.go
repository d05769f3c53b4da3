package policy_test

import (
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/policy"
)

// probes are rules that deny, each to see one thing of how a frame is classified.
var probes = []policy.Rule{
	{Protocol: policy.ProtocolTCP, Action: policy.Deny},
	{Protocol: policy.ProtocolUDP, Action: policy.Deny},
	{Protocol: policy.ProtocolICMP, Action: policy.Deny},
	{Protocol: policy.ProtocolAny, Action: policy.Deny},
	{Ports: policy.PortRange{First: 68, Last: 80}, Action: policy.Deny},
	{
		Protocol: policy.ProtocolTCP, Ports: policy.PortRange{First: 80, Last: 80},
		Action: policy.Deny,
	},
}

// checkTraffic compares what the probes do to a frame with what the comment on
// [policy.Rule] says.
func checkTraffic(t *testing.T, f *frame.Parsed) {
	t.Helper()
	traffic := policy.Classify(f)
	kind, port, ported, hidden := classifyNaively(f.Eth)
	for _, probe := range probes {
		r, err := policy.NewRules([]policy.Rule{probe}, 1)
		if err != nil {
			t.Fatal(err)
		}
		first, last := probe.Ports.First, probe.Ports.Last
		inRange := last == 0 || hidden ||
			(kind == "tcp" || kind == "udp") && (!ported || port >= first && port <= last)
		about := hidden || map[policy.Protocol]bool{
			policy.ProtocolAny: true, policy.ProtocolTCP: kind == "tcp",
			policy.ProtocolUDP: kind == "udp", policy.ProtocolICMP: kind == "icmp",
		}[probe.Protocol]
		want := kind != "exempt" && about && inRange
		if got := r.Deny(0, 1, 2, traffic); got != want {
			t.Errorf("%x with %+v: denied %v, want %v (%s)", f.Eth, probe, got, want, kind)
		}
	}
	if traffic.Exempt != (kind == "exempt") {
		t.Errorf("%x: exempt %v, want %s", f.Eth, traffic.Exempt, kind)
	}
}

// classifyNaively is what a frame is for rules: its kind, and the destination port
// if it shows one; hidden where it could be anything.
func classifyNaively(eth []byte) (kind string, port uint16, ported, hidden bool) {
	etherType, b, _ := untag(eth)
	protocol, rest, later := uint8(255), []byte(nil), false
	switch {
	case etherType == 0x0806:
		return "exempt", 0, false, false
	case etherType == 0x0800 && len(b) >= 20 &&
		b[0] >= 0x45 && b[0] <= 0x4f && len(b) >= int(b[0]-0x40)*4:
		protocol, rest = b[9], b[int(b[0]-0x40)*4:]
		later = b[6]&0x1f != 0 || b[7] != 0
		if protocol == 1 {
			return "icmp", 0, false, false
		}
	case etherType == 0x86dd && len(b) >= 40 && b[0]>>4 == 6 && len(b) >= 40+int(b[4])<<8+int(b[5]):
		next, behind, _, isLater, why := headers6(b[:40+int(b[4])<<8+int(b[5])])
		if why != passes {
			return "hidden", 0, false, true
		}
		protocol, rest, later = next, behind, isLater
		if protocol == 58 {
			if !later && len(rest) > 0 && rest[0] >= 133 && rest[0] <= 137 {
				return "exempt", 0, false, false
			}
			return "icmp", 0, false, false
		}
	}
	kind = map[uint8]string{6: "tcp", 17: "udp"}[protocol]
	if kind == "" || later || len(rest) < 4 {
		return kind, 0, false, false
	}
	return kind, uint16(rest[2])<<8 | uint16(rest[3]), true, false
}
