package control

import (
	"net/netip"
	"testing"

	"vswitch/api"
	"vswitch/internal/ipam"
)

// notYet is what users are told who ask for IPv6.
const notYet = ": IPv6 subnets are not supported yet: use an IPv4 prefix such as 10.1.0.0/16"

func TestIPv6IsNotOfferedYet(t *testing.T) {
	t.Parallel()
	addresses, err := ipam.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, subnet := range []string{"fd00:1::/64", "2001:db8::1/32", "::/0", "fe80::/128"} {
		config, err := subnetConfig(api.SegmentSpec{Subnet: netip.MustParsePrefix(subnet)})
		if err == nil {
			if _, err = addresses.Add(config, nil); err != nil {
				err = ipamError(err)
			}
		}
		if err == nil || err.Error() != subnet+notYet || api.KindOf(err) != api.Invalid {
			t.Errorf("got  %v\nwant %s%s, an invalid value", err, subnet, notYet)
		}
	}
}
