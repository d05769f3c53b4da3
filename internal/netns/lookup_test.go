package netns

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vswitch/test/lab"
)

func addresses(texts ...string) (addrs []netip.Addr) {
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs
}

func TestLinkState(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	ns := mustOpen(t, mustParse(t, env.Name()))
	env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
	env.Run("ip", "tuntap", "add", "vst-1", "mode", "tap")
	env.Run("ip", "link", "set", "vst-0", "address", "02:42:0a:01:02:03")
	mac := net.HardwareAddr{2, 0x42, 0x0a, 1, 2, 3}
	check := func(when string, up bool, addrs ...string) {
		t.Helper()
		byName, err := ns.LinkByName("vst-0")
		if err != nil {
			t.Fatal(err)
		}
		byIndex, indexErr := ns.LinkByIndex(byName.Index)
		byMAC, macErr := ns.LinkByMAC(mac)
		if err := errors.Join(indexErr, macErr); err != nil {
			t.Fatal(err)
		}
		for how, l := range map[string]Link{"name": byName, "index": byIndex, "MAC": byMAC} {
			if l.Index != byName.Index || l.Name != "vst-0" || l.Up != up || !slices.Equal(l.MAC, mac) {
				t.Errorf("%s, by %s: %+v, want vst-0 with %s, up %t", when, how, l, mac, up)
			}
			if !slices.Equal(l.Addrs, addresses(addrs...)) {
				t.Errorf("%s, by %s: addresses are %v, want %v", when, how, l.Addrs, addrs)
			}
		}
	}
	check("at first", false)
	for _, a := range [][]string{
		{"fd00::3/64", "dev", "vst-0", "nodad"},
		{"10.1.2.4/24", "dev", "vst-0"},
		{"10.1.2.3/24", "dev", "vst-0"},
		{"10.1.2.3/16", "dev", "vst-0"}, // the same address again
		{"10.9.0.1", "peer", "10.9.0.2/32", "dev", "vst-0"},
		{"10.5.5.5/24", "dev", "vst-1"},
		{"fd00::5/64", "dev", "vst-1", "nodad"},
	} {
		env.Run(append([]string{"ip", "address", "add"}, a...)...)
	}
	check("with addresses", false, "10.1.2.3", "10.1.2.4", "10.9.0.1", "fd00::3")
	env.Run("ip", "address", "del", "10.1.2.3/16", "dev", "vst-0")
	check("one of two equal ones is gone", false, "10.1.2.3", "10.1.2.4", "10.9.0.1", "fd00::3")
	env.Run("ip", "address", "flush", "dev", "vst-0")
	check("without", false)
	// Nobody holds the TAP, so it has no carrier, and detection waits for one.
	env.Run("ip", "link", "set", "vst-0", "up")
	env.Run("ip", "address", "add", "fd00::7/64", "dev", "vst-0")
	env.Run("ip", "address", "add", "10.1.2.7/24", "dev", "vst-0")
	if shown := env.Run("ip", "address", "show", "vst-0"); !strings.Contains(shown, "tentative") {
		t.Fatalf("no address is tentative: %s", shown)
	}
	check("with a tentative address", true, "10.1.2.7")
}

func TestLookupOfMissingLinks(t *testing.T) {
	t.Parallel()
	ns := mustOpen(t, mustParse(t, lab.NewNamespace(t).Name()))
	for which, find := range map[string]func() (Link, error){
		`"vst-missing"`: func() (Link, error) { return ns.LinkByName("vst-missing") },
		`""`:            func() (Link, error) { return ns.LinkByName("") },
		"4711":          func() (Link, error) { return ns.LinkByIndex(4711) },
		"0":             func() (Link, error) { return ns.LinkByIndex(0) },
		"-1":            func() (Link, error) { return ns.LinkByIndex(-1) },
		"with MAC 02:00:00:00:00:01": func() (Link, error) {
			return ns.LinkByMAC(net.HardwareAddr{2, 0, 0, 0, 0, 1})
		},
	} {
		want := "look for interface " + which + " in network namespace " + ns.String()
		if _, err := find(); !errors.Is(err, ErrNoLink) || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that says %q", err, want)
		}
	}
}
