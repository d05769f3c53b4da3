package api_test

import (
	"net/netip"
	"testing"

	"vswitch/api"
)

// What the server refuses, callers in the same process are refused as well.
func TestCheckedRefuses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b, pools := api.Checked(nil), api.CheckedPools(nil) // what is called panics
	name, reserved := "-", api.PortSpec{Name: api.GatewayName, NetNS: "c"}
	for what, call := range map[string]func() error{
		"AddSegment":    func() error { _, err := b.AddSegment(ctx, api.SegmentSpec{Name: name}); return err },
		"Segment":       func() error { _, err := b.Segment(ctx, ""); return err },
		"UpdateSegment": func() error { _, err := b.UpdateSegment(ctx, "s", api.SegmentUpdate{Name: &name}); return err },
		"DeleteSegment": func() error { _, err := b.DeleteSegment(ctx, "/", true); return err },
		"AddPort":       func() error { _, err := b.AddPort(ctx, api.PortSpec{Name: "p"}); return err },
		"Port":          func() error { _, err := b.Port(ctx, ""); return err },
		"UpdatePort":    func() error { _, err := b.UpdatePort(ctx, "p", api.PortUpdate{Name: &name}); return err },
		"AddPort, name": func() error { _, err := b.AddPort(ctx, reserved); return err },
		"DeletePort":    func() error { _, err := b.DeletePort(ctx, ""); return err },
		"AddPool": func() error {
			_, err := pools.AddPool(ctx, api.PoolSpec{Subnet: netip.MustParsePrefix("fd00::/64")})
			return err
		},
		"AddPool, range": func() error {
			_, err := pools.AddPool(ctx, api.PoolSpec{IPRange: netip.MustParsePrefix("10.0.0.0/24")})
			return err
		},
		"AddSegmentOver": func() error { _, err := pools.AddSegmentOver(ctx, "x", api.SegmentSpec{Name: name}); return err },
		"AddPool, inside": func() error {
			_, err := pools.AddPool(ctx, api.PoolSpec{Subnet: netip.MustParsePrefix("10.0.0.0/24"), IPRange: netip.MustParsePrefix("10.1.0.0/25")})
			return err
		},
	} {
		switch err := call(); api.KindOf(err) {
		case api.Invalid, api.Unsupported, api.Conflict:
		default:
			t.Errorf("%s: %v, want it refused", what, err)
		}
	}
}
