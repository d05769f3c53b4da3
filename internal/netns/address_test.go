package netns

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"vswitch/test/lab"
)

// addressed is a namespace with an interface that has these addresses, and a default route.
func addressed(t *testing.T, addrs ...string) (env *lab.Namespace, ns *Namespace, index int) {
	t.Helper()
	env = lab.NewNamespace(t)
	ns = mustOpen(t, mustParse(t, env.Name()))
	env.Run("ip", "link", "add", "eth0", "up", "type", "bridge")
	for _, a := range addrs {
		env.Run("ip", "address", "add", a, "dev", "eth0")
	}
	env.Run("ip", "route", "add", "default", "via", "10.1.0.1", "dev", "eth0", "onlink")
	l, err := ns.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	return env, ns, l.Index
}

// addressesIn are the IPv4 addresses of eth0, in the kernel's order.
func addressesIn(env *lab.Namespace) string {
	var list []string
	for line := range strings.Lines(env.Run("ip", "-4", "-o", "address", "show", "dev", "eth0")) {
		list = append(list, strings.Fields(line)[3])
	}
	return strings.Join(list, " ")
}

func TestReplaceAddress(t *testing.T) {
	t.Parallel()
	none := netip.Prefix{}
	first, other := netip.MustParsePrefix("10.1.0.2/16"), netip.MustParsePrefix("10.1.0.9/16")
	for name, test := range map[string]struct {
		there    []string
		from, to netip.Prefix
		want     string
		promote  string // of net.ipv4.conf.eth0.promote_secondaries
	}{
		"the only one":             {[]string{"10.1.0.2/16"}, first, other, "10.1.0.9/16", "0"},
		"beside its own":           {[]string{"10.1.0.2/16", "10.1.0.50/16", "192.0.2.7/24"}, first, other, "192.0.2.7/24 10.1.0.9/16 10.1.0.50/16", "0"},
		"where others move up":     {[]string{"10.1.0.2/16", "10.1.0.50/16"}, first, other, "10.1.0.50/16 10.1.0.9/16", "1"},
		"that is there":            {[]string{"10.1.0.2/16", "10.1.0.9/16"}, first, other, "10.1.0.9/16", "0"},
		"that has been taken away": {[]string{"192.0.2.7/24"}, first, other, "192.0.2.7/24 10.1.0.9/16", "0"},
		"by itself":                {[]string{"10.1.0.2/16"}, first, first, "10.1.0.2/16", "0"},
		"that is missing":          {[]string{"192.0.2.7/24"}, none, other, "192.0.2.7/24 10.1.0.9/16", "0"},
		"by none":                  {[]string{"192.0.2.7/24", "10.1.0.2/16"}, first, none, "192.0.2.7/24", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, ns, index := addressed(t, test.there...)
			env.Run("sysctl", "-qw", "net.ipv4.conf.eth0.promote_secondaries="+test.promote)
			if err := ns.ReplaceAddress(index, test.from, test.to); err != nil {
				t.Error(err)
			}
			if got := addressesIn(env); got != test.want {
				t.Errorf("the interface has %s, want %s", got, test.want)
			}
			routes := env.Run("ip", "route")
			if !strings.Contains(routes, "default via 10.1.0.1") {
				t.Errorf("the default route has gone:\n%s", routes)
			}
			if test.to.IsValid() && !strings.Contains(routes, "10.1.0.0/16 dev eth0") {
				t.Errorf("the subnet's route has gone:\n%s", routes)
			}
		})
	}
}

// failing is a handle whose nth change fails.
type failing struct {
	*netlink.Handle
	n int
}

var errFailing = errors.New("no change is made")

func (f *failing) fails() bool { f.n--; return f.n == 0 }

func (f *failing) AddrAdd(l netlink.Link, a *netlink.Addr) error {
	if f.fails() {
		return errFailing
	}
	return f.Handle.AddrAdd(l, a)
}

func (f *failing) AddrDel(l netlink.Link, a *netlink.Addr) error {
	if f.fails() {
		return errFailing
	}
	return f.Handle.AddrDel(l, a)
}

// TestReplaceAddressThatFails leaves all as it was, whichever step it is.
func TestReplaceAddressThatFails(t *testing.T) {
	t.Parallel()
	env, ns, index := addressed(t, "192.0.2.7/24", "10.1.0.2/16", "10.1.0.50/16")
	before, routes := addressesIn(env), env.Run("ip", "route")
	from, to := netip.MustParsePrefix("10.1.0.2/16"), netip.MustParsePrefix("10.1.0.9/16")
	h, err := ns.handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	steps := 0
	for err = errFailing; err != nil; {
		steps++
		link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
		err = replaceAddress(&failing{h, steps}, link, from, to)
		if err == nil {
			break
		}
		if now := addressesIn(env); !errors.Is(err, errFailing) || now != before {
			t.Fatalf("with step %d: %v: the interface has %s, want %s", steps, err, now, before)
		}
		if now := env.Run("ip", "route"); now != routes {
			t.Fatalf("with step %d the routes are\n%swant\n%s", steps, now, routes)
		}
	}
	if steps < 5 {
		t.Errorf("it takes %d steps, want at least 5", steps)
	}
	if err := ns.ReplaceAddress(index+100, netip.Prefix{}, to); !errors.Is(err, ErrNoLink) {
		t.Errorf("of no interface it says %v", err)
	}
}
