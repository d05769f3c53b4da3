package store

import (
	"net/netip"
	"testing"

	"vswitch/internal/control/model"
)

// TestAnAddressThatIsUsedTwice, as versions before let it through, is no damage.
func TestAnAddressThatIsUsedTwice(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	owner, user := sample().Ports[0], aPort(3, 1)
	user.AllowAddresses = []netip.Prefix{netip.PrefixFrom(owner.Addrs[0], 32)}
	tamper(t, dir, func(w *writer) error { return w.put(portsBucket, user.ID, user) })
	want := sample()
	want.Ports = append(want.Ports, user)
	wantDisk(t, dir, want)
	db := open(t, dir, Options{})
	user.Name = "renamed"
	must(t, db.Apply(model.PutPort(user)))
	other := aPort(4, 1)
	other.AllowAddresses = user.AllowAddresses
	wantError(t, db.Apply(model.PutPort(other)), "allowed address", owner.Name)
}
