package view

import (
	"net/netip"
	"reflect"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
	"vswitch/switch/policy"
)

func TestPolicyOfARecord(t *testing.T) {
	t.Parallel()
	mac := frame.MAC{0x02, 0x42, 172, 17, 0, 2}
	addr := netip.MustParseAddr("172.17.0.2")
	plain := policy.Policy{Security: policy.SecurityStrict, MAC: mac, Addrs: []netip.Addr{addr}, IPv6: true}
	full := policy.Policy{
		Security: policy.SecurityMACOnly, MAC: mac, IPv6: true,
		Addrs:     []netip.Addr{addr, netip.MustParseAddr("172.17.0.99")},
		Prefixes:  []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")},
		MACs:      []frame.MACMask{frame.SingleMAC(frame.MAC{0, 0, 0x5e, 0, 1, 1})},
		Protocols: []ethertype.Protocol{"ptp", ethertype.ReservedGroups},
		Isolated:  true, BPDUGuard: true, MACLimit: -1, FloodLimit: 5,
		RateIn: policy.Rate{BitsPerSecond: 1e8, BurstBytes: 65536}, RateOut: policy.Rate{BitsPerSecond: policy.MaxRate},
	}
	for name, test := range map[string]struct {
		record model.Port
		want   policy.Policy
	}{
		"of a version without levels": {model.Port{Addrs: []netip.Addr{addr}}, plain},
		"of a later version's level":  {model.Port{Addrs: []netip.Addr{addr}, Security: "paranoid"}, plain},
		"with everything": {model.Port{
			Addrs: []netip.Addr{addr}, Security: string(api.SecurityMAC), Isolated: true, BPDUGuard: true, MACLimit: -1, FloodLimit: 5,
			AllowMACs:      []frame.MACMask{frame.SingleMAC(frame.MAC{0, 0, 0x5e, 0, 1, 1})},
			AllowProtocols: []ethertype.Protocol{"ptp", ethertype.ReservedGroups},
			RateIn:         1e8, RateInBurst: 65536, RateOut: 18e18,
			AllowAddresses: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24"), netip.MustParsePrefix("172.17.0.99/32")},
		}, full},
	} {
		test.record.MAC = mac
		if got := Policy(test.record); !reflect.DeepEqual(got, test.want) {
			t.Errorf("a record %s: got %+v, want %+v", name, got, test.want)
		}
	}
}

func TestViewOfAPolicy(t *testing.T) {
	t.Parallel()
	var v api.Port
	viewPolicy(&v, model.Port{BPDUGuard: true, MACLimit: -7, RateOut: 1e9, RateOutBurst: 1024})
	want := api.Port{Security: api.SecurityStrict, BPDUGuard: true, MACLimit: api.NoLimit, FloodLimit: api.DefaultFloodLimit, RateOut: "1gbit:1kb"}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got %+v, want %+v", v, want)
	}
	if api.DefaultMACLimit != policy.DefaultMACLimit || api.DefaultFloodLimit != policy.DefaultFloodLimit || api.MaxRules != policy.MaxRules {
		t.Error("the limits that the api tells are not those of the switch")
	}
}
