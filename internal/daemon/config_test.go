package daemon

import "testing"

func TestIPv6PoolsAreNotOfferedYet(t *testing.T) {
	t.Parallel()
	flags := DefaultFlags()
	flags.Pools = []string{"base=10.0.0.0/8,size=24", "base=fd00::/48,size=64"}
	want := `--default-address-pool: address pool "base=fd00::/48,size=64": fd00::/48` +
		": IPv6 subnets are not supported yet: use an IPv4 prefix such as 10.1.0.0/16"
	if _, err := flags.Check(); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
