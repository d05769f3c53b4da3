package host_test

import (
	"os"
	"strings"
	"testing"

	"vswitch/internal/host"
	"vswitch/test/lab"
)

// lanIP is in another network of the host than outside, which was there before us.
const lanIP = "198.51.100.2"

// newClosedRig is a rig whose host has two networks and does not forward between them.
func newClosedRig(t *testing.T) (r *rig, lan *lab.Namespace) {
	t.Helper()
	r = newRig(t)
	set(r.host, "ip_forward", "0")
	lan = r.network(t, "lan0", lanIP)
	return r, lan
}

// network makes a network of the host with one machine, which the outside has a route to.
func (r *rig) network(t *testing.T, link, address string) *lab.Namespace {
	t.Helper()
	ns := lab.NewNamespace(t)
	r.join(ns, link, address+"/24")
	r.routes(ns, link, address)
	return ns
}

// bridged makes a network as Docker and libvirt do, behind a bridge.
func (r *rig) bridged(t *testing.T, bridge, address string) *lab.Namespace {
	t.Helper()
	ns := lab.NewNamespace(t)
	r.host.Run("ip", "link", "add", bridge, "type", "bridge")
	r.host.Run("ip", "link", "set", bridge, "up")
	r.join(ns, bridge+"p", address+"/24")
	r.host.Run("ip", "link", "set", bridge+"p", "master", bridge)
	r.routes(ns, bridge, address)
	return ns
}

// routes makes the host a machine's gateway, by which the outside reaches it.
func (r *rig) routes(ns *lab.Namespace, link, address string) {
	network := address[:strings.LastIndex(address, ".")]
	r.host.Run("ip", "address", "add", network+".1/24", "dev", link)
	ns.Run("ip", "route", "add", "default", "via", network+".1")
	r.outside.Run("ip", "route", "add", network+".0/24", "via", hostOuter)
}

// reaches wants a ping answered.
func reaches(t *testing.T, ns *lab.Namespace, address string) {
	t.Helper()
	out, err := ns.Exec(t.Context(), "ping", "-n", "-q", "-c", "1", "-W", "5", address).CombinedOutput()
	if err != nil {
		t.Errorf("ping %s from %s: %v, %s", address, ns.Name(), err, out)
	}
}

// apart wants the host not to forward between the outside and the network of lan, but for
// containers and for a network that came later.
func (r *rig) apart(t *testing.T, lan, later *lab.Namespace) {
	t.Helper()
	loses(t, lan, outsideIP)
	loses(t, r.outside, lanIP)
	reaches(t, lan, "198.51.100.1") // the host itself
	if later != nil {
		reaches(t, later, outsideIP)
		reaches(t, later, lanIP)
	}
}

// TestHostBecomesNoRouter: one that did not forward before it had to for us does not between its
// other networks, through all that we may do. Whoever makes a network meanwhile finds forwarding
// on, and relies on it.
func TestHostBecomesNoRouter(t *testing.T) {
	t.Parallel()
	r, lan := newClosedRig(t)
	old := r.bridged(t, "br0", "203.0.113.2") // the host's own, before us
	table := r.open(t, host.Options{})
	r.apply(t, table, host.Config{})
	r.apply(t, table, host.Config{Segments: both})
	reaches(t, r.c1, outsideIP)
	reaches(t, r.c1, lanIP)
	r.apart(t, lan, nil)
	loses(t, old, outsideIP)
	docker, calico := r.bridged(t, "docker0", "10.9.0.2"), r.network(t, "cali0", "10.8.0.2")
	reaches(t, r.outside, "10.9.0.2")
	reaches(t, r.outside, "10.8.0.2")
	r.apart(t, lan, docker)

	r.apply(t, table, host.Config{Segments: both[:1]}) // by elements
	r.apart(t, lan, calico)
	r.apply(t, table, host.Config{})
	r.apart(t, lan, docker)
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	r.apart(t, lan, docker)

	next := r.open(t, host.Options{}) // the process after it
	r.apply(t, next, host.Config{Segments: both})
	r.apart(t, lan, docker)
	reaches(t, r.c1, outsideIP)
	r.remove(t, next)
	r.apart(t, lan, docker)

	last := r.open(t, host.Options{})
	r.remove(t, last) // without having applied anything
	r.apart(t, lan, docker)
	r.apply(t, last, host.Config{Segments: both, NoDrop: true})
	reaches(t, lan, outsideIP)
	r.remove(t, last)
	reaches(t, lan, outsideIP)
	if left := r.host.Run("nft", "list", "ruleset"); left != "" {
		t.Errorf("after the removal the ruleset is\n%s", left)
	}
}

// TestHostThatForwardedBeforeUs goes on to.
func TestHostThatForwardedBeforeUs(t *testing.T) {
	t.Parallel()
	r, lan := newClosedRig(t)
	set(r.host, "ip_forward", "1")
	table := r.open(t, host.Options{})
	r.apply(t, table, host.Config{Segments: both})
	reaches(t, lan, outsideIP)
	r.remove(t, table)
	reaches(t, lan, outsideIP)
}

// TestHostThatMayForwardForAll: the operator has said so.
func TestHostThatMayForwardForAll(t *testing.T) {
	t.Parallel()
	r, lan := newClosedRig(t)
	table := r.open(t, host.Options{})
	r.apply(t, table, host.Config{Segments: both, NoDrop: true})
	reaches(t, lan, outsideIP)
	r.apply(t, table, host.Config{Segments: both}) // and takes it back
	r.apart(t, lan, nil)
}

// readOnlySettings are settings that say no, and do not change.
func readOnlySettings(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.MkdirAll(dir+"/net/ipv4", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc/version", dir+"/net/ipv4/ip_forward"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestHostWhoseForwardingOthersEnable: we could not, and so it is theirs.
func TestHostWhoseForwardingOthersEnable(t *testing.T) {
	t.Parallel()
	r, lan := newClosedRig(t)
	table := r.open(t, host.Options{SysctlDir: readOnlySettings(t)})
	var err error
	r.host.Do(func() { err = table.Apply(host.Config{Segments: both}) })
	if err == nil {
		t.Fatal("forwarding was enabled in spite of everything")
	}
	set(r.host, "ip_forward", "1")
	reaches(t, lan, outsideIP)
}
