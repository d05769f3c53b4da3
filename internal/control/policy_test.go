package control

import (
	"net/netip"
	"reflect"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/model"
)

func TestSetPolicy(t *testing.T) {
	t.Parallel()
	s := &segment{record: model.Segment{Name: "bridge", Subnets: []model.SegmentSubnet{{Subnet: model.Subnet{
		Prefix: netip.MustParsePrefix("172.17.0.0/16"), Gateway: netip.MustParseAddr("172.17.0.1"),
	}}}}}
	record := model.Port{Name: "a"}
	routed := netip.MustParsePrefix("10.8.0.0/24")
	spec := api.PortSpec{
		AllowAddresses: []netip.Prefix{routed, routed, netip.MustParsePrefix("fd00::1/128")}, BPDUGuard: true,
		MACLimit: 3, RateIn: api.Rate{BitsPerSecond: 1e9, BurstBytes: 65536},
	}
	if err := setPolicy(&record, s, policyOf(spec)); err != nil {
		t.Fatal(err)
	}
	want := model.Port{
		Name: "a", Security: string(api.SecurityStrict), BPDUGuard: true, MACLimit: 3, RateIn: 1e9, RateInBurst: 65536,
		AllowAddresses: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24"), netip.MustParsePrefix("fd00::1/128")},
	}
	if !reflect.DeepEqual(record, want) {
		t.Errorf("got %+v, want %+v", record, want)
	}
	// What is not named stays; "none" lifts a bound.
	if err := setPolicy(&record, s, api.PortUpdate{RateIn: new(api.Rate{}), Isolated: new(true), BPDUGuard: new(false)}); err != nil {
		t.Fatal(err)
	}
	want.RateIn, want.RateInBurst, want.Isolated, want.BPDUGuard = 0, 0, true, false
	if !reflect.DeepEqual(record, want) {
		t.Errorf("got %+v, want %+v", record, want)
	}
	gateway := []netip.Prefix{netip.MustParsePrefix("172.17.0.1/32")}
	if err := setPolicy(&record, s, api.PortUpdate{AllowAddresses: &gateway}); api.KindOf(err) != api.Invalid {
		t.Errorf("the gateway's address: got %v, want it refused", err)
	}
}
