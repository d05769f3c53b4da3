package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/internal/wellformed"
	"vswitch/test/lab"
)

// FuzzIfName lets the kernel judge the names that are taken for an interface.
func FuzzIfName(f *testing.F) {
	env := lab.NewNamespace(f)
	ns := mustOpen(f, mustParse(f, env.Name()))
	env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
	for _, seed := range []string{"eth0", "...", "a\u00a0", "a%", "%", "-", "\xff\xfe", "vst-0", "a\v"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !wellformed.IfName(name) || name == "vst-0" {
			return
		}
		h, err := ns.handle()
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		l, err := h.LinkByName("vst-0")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetName(l, name); err != nil {
			t.Fatalf("the kernel refuses the name %q: %v", name, err)
		}
		if _, err := h.LinkByName(name); err != nil {
			t.Errorf("the name %q became another: %v", name, err)
		}
		if err := h.LinkSetName(l, "vst-0"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLinkChanges(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	ns := mustOpen(t, mustParse(t, env.Name()))
	env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
	if there, err := ns.LinkExists("vst-0"); err != nil || !there {
		t.Errorf("LinkExists says %t, %v; want true", there, err)
	}
	if err := ns.DeleteLink("vst-0"); err != nil {
		t.Error(err)
	}
	if there, err := ns.LinkExists("vst-0"); err != nil || there {
		t.Errorf("LinkExists says %t, %v after DeleteLink; want false", there, err)
	}
}

func TestMissingLinkIsNamed(t *testing.T) {
	t.Parallel()
	ns := mustOpen(t, mustParse(t, lab.NewNamespace(t).Name()))
	for _, name := range []string{"vst-missing", "", strings.Repeat("x", 40)} {
		err := ns.DeleteLink(name)
		if !errors.Is(err, ErrNoLink) || !strings.Contains(err.Error(), "does not exist in network namespace "+ns.String()) {
			t.Errorf("DeleteLink(%q) says %v, want that it does not exist", name, err)
		}
	}
}

func TestSetMACWhileUp(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	ns := mustOpen(t, mustParse(t, env.Name()))
	env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
	env.Run("ip", "link", "set", "vst-0", "up")
	env.Run("ip", "link", "add", "vst-other", "type", "bridge")
	want := net.HardwareAddr{2, 0x42, 10, 1, 2, 3}
	other, err := ns.LinkByName("vst-other")
	if err != nil {
		t.Fatal(err)
	}
	before, err := ns.LinkByName("vst-0")
	if err != nil || !before.Up || slices.Equal(before.MAC, want) {
		t.Fatalf("the link is %+v, %v; want it up with another MAC", before, err)
	}
	if err := ns.SetMAC(before.Index, want); err != nil {
		t.Error(err)
	}
	after, err := ns.LinkByIndex(before.Index)
	if err != nil || !after.Up || !slices.Equal(after.MAC, want) {
		t.Errorf("the link is %+v, %v; want it up with %s", after, err, want)
	}
	if now, err := ns.LinkByName("vst-other"); err != nil || !slices.Equal(now.MAC, other.MAC) {
		t.Errorf("another link is %+v, %v; want MAC %s as before", now, err, other.MAC)
	}
}

func TestSetTxQueueLen(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	ns := mustOpen(t, mustParse(t, env.Name()))
	env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
	env.Run("ip", "link", "set", "vst-0", "up", "txqueuelen", "50000")
	before, err := ns.LinkByName("vst-0")
	if err != nil || before.TxQueueLen != 50_000 {
		t.Fatalf("the link is %+v, %v; want a queue of 50,000 frames", before, err)
	}
	if err := ns.SetTxQueueLen(before.Index, 1000); err != nil {
		t.Error(err)
	}
	if after, err := ns.LinkByIndex(before.Index); err != nil || after.TxQueueLen != 1000 || !after.Up {
		t.Errorf("the link is %+v, %v; want it up with a queue of 1000 frames", after, err)
	}
	if err := ns.SetTxQueueLen(before.Index+1000, 1000); !errors.Is(err, ErrNoLink) ||
		!strings.Contains(err.Error(), "a queue of 1000 frames") {
		t.Errorf("SetTxQueueLen of no link says %v", err)
	}
}

func TestSetMACRefuses(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	ns := mustOpen(t, mustParse(t, env.Name()))
	env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
	l, err := ns.LinkByName("vst-0")
	if err != nil {
		t.Fatal(err)
	}
	good := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, index := range []int{l.Index + 1000, 0, -1} {
		err := ns.SetMAC(index, good)
		said := fmt.Sprintf(
			"set mac address %s on interface %d in network namespace %s", good, index, ns)
		if !errors.Is(err, ErrNoLink) || !strings.Contains(err.Error(), said) {
			t.Errorf("SetMAC on interface %d says %v, want %q", index, err, said)
		}
	}
	// A TUN has no MAC (net/core/dev.c, dev_set_mac_address).
	env.Run("ip", "tuntap", "add", "vst-1", "mode", "tun")
	tun, err := ns.LinkByName("vst-1")
	if err != nil {
		t.Fatal(err)
	}
	err = ns.SetMAC(tun.Index, good)
	if !errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, ErrNoLink) {
		t.Errorf("SetMAC of a TUN says %v, want %v", err, unix.EOPNOTSUPP)
	}
	if now, err := ns.LinkByName("vst-0"); err != nil || !slices.Equal(now.MAC, l.MAC) {
		t.Errorf("the link is %+v, %v; want MAC %s as before", now, err, l.MAC)
	}
}

func TestHostPrefixes(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
	env.Run("ip", "tuntap", "add", "vst-1", "mode", "tap")
	env.Run("ip", "link", "set", "vst-0", "up")
	env.Run("ip", "address", "add", "10.1.2.3/24", "dev", "vst-0")
	env.Run("ip", "address", "add", "10.5.6.7/20", "dev", "vst-1") // down: an address without a route
	env.Run("ip", "route", "add", "192.168.64.0/18", "via", "10.1.2.1")
	env.Run("ip", "route", "add", "172.30.0.0/16", "via", "10.1.2.1", "table", "77")
	env.Run("ip", "route", "add", "blackhole", "172.29.0.0/16")
	env.Run("ip", "route", "add", "default", "via", "10.1.2.1")
	env.Run("ip", "address", "add", "fd00::3/64", "dev", "vst-0")
	env.Do(func() {
		prefixes, err := HostPrefixes()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"10.1.2.0/24", "10.5.0.0/20", "192.168.64.0/18", "172.30.0.0/16", "172.29.0.0/16"} {
			if !slices.Contains(prefixes, netip.MustParsePrefix(want)) {
				t.Errorf("%s is not among %v", want, prefixes)
			}
		}
		for i, p := range prefixes {
			if p.Bits() == 0 || !p.Addr().Is4() || p != p.Masked() {
				t.Errorf("%s is a default route, not IPv4 or not masked", p)
			}
			if i > 0 && prefixes[i-1].Compare(p) >= 0 {
				t.Errorf("%v are not sorted, each once", prefixes)
			}
		}
	})
}
