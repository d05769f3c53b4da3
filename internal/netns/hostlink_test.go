package netns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vswitch/test/lab"
)

func aHostLink() HostLink {
	return HostLink{
		Name: "vs-0123456789a", Alias: "a segment", MAC: net.HardwareAddr{2, 0x42, 172, 17, 0, 1}, MTU: 1400, TxQueueLen: 77,
		Address: netip.MustParsePrefix("172.17.0.1/16"),
	}
}

// setUp sets the link up in env and returns what was changed.
func setUp(t *testing.T, env *lab.Namespace, index int, c HostLink) (got int, changed []string) {
	t.Helper()
	env.Do(func() {
		var err error
		if got, changed, err = SetUpHostLink(index, c); err != nil {
			t.Fatal(err)
		}
	})
	return got, changed
}

func TestHostLinkIsSetUpAndPutRight(t *testing.T) {
	t.Parallel()
	env, c := lab.NewNamespace(t), aHostLink()
	env.Run("ip", "tuntap", "add", c.Name, "mode", "tap")
	index, changed := setUp(t, env, 0, c)
	if len(changed) != 5 {
		t.Errorf("of a new link %q were changed, want MAC, MTU, queue, address and up", changed)
	}
	got := env.Run("ip", "-d", "addr", "show", "dev", c.Name)
	for _, want := range []string{"172.17.0.1/16 brd 172.17.255.255", "02:42:ac:11:00:01", "mtu 1400", "qlen 77", ",UP", "alias a segment"} {
		if !strings.Contains(got, want) {
			t.Errorf("the link lacks %q:\n%s", want, got)
		}
	}
	if _, changed := setUp(t, env, index, c); len(changed) != 0 {
		t.Errorf("of a link that is right %q were changed", changed)
	}
	env.Run("ip", "addr", "add", "10.0.0.1/24", "dev", c.Name)
	for what, argv := range map[string][]string{
		"name": {"name", "elsewhere"}, "mac address 02:42:ac:11:00:01": {"address", "02:00:00:00:00:01"}, "mtu 1400": {"mtu", "1500"},
		"queue of 77 frames": {"txqueuelen", "1000"}, "up": {"down"},
	} {
		env.Run(append([]string{"ip", "link", "set", c.Name}, argv...)...)
		if _, changed := setUp(t, env, index, c); !slices.Equal(changed, []string{what}) {
			t.Errorf("after %q: %q were changed, want %q", argv, changed, what)
		}
	}
	env.Run("ip", "addr", "del", "172.17.0.1/16", "dev", c.Name)
	if _, changed := setUp(t, env, index, c); !slices.Equal(changed, []string{"address 172.17.0.1/16"}) {
		t.Errorf("without its address: %q were changed", changed)
	}
	if got := env.Run("ip", "addr", "show", "dev", c.Name); !strings.Contains(got, "10.0.0.1/24") {
		t.Errorf("an address of somebody else's is gone:\n%s", got)
	}
}

func TestHostLinkThatIsMissing(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	env.Do(func() {
		for _, index := range []int{0, 4711} {
			if _, _, err := SetUpHostLink(index, aHostLink()); !errors.Is(err, ErrNoLink) {
				t.Errorf("index %d: %v, want ErrNoLink", index, err)
			}
		}
		if _, err := LinkIndex("none"); !errors.Is(err, ErrNoLink) {
			t.Errorf("LinkIndex: %v, want ErrNoLink", err)
		}
		if err := HardenHostLink("/proc/sys", "none"); err != nil {
			t.Errorf("settings of a missing link: %v, want them left alone", err)
		}
	})
}

func TestHostLinkIsHardened(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	env.Run("ip", "tuntap", "add", "vs-0", "mode", "tap")
	for range 2 {
		env.Do(func() {
			if err := HardenHostLink("/proc/sys", "vs-0"); err != nil {
				t.Fatal(err)
			}
		})
		for _, s := range hostSettings {
			if got := strings.TrimSpace(env.Run("cat", "/proc/sys/net/"+s.family+"/conf/vs-0/"+s.name)); got != s.value {
				t.Errorf("%s of %s is %s, want %s", s.name, s.family, got, s.value)
			}
		}
	}
	env.Run("ip", "link", "set", "vs-0", "up")
	if got := env.Run("ip", "-6", "addr", "show", "dev", "vs-0"); strings.TrimSpace(got) != "" {
		t.Errorf("the link has IPv6 addresses:\n%s", got)
	}
}

func TestHostConflict(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	env.Run("ip", "link", "set", "lo", "up")
	env.Run("ip", "tuntap", "add", "lan", "mode", "tap")
	env.Run("ip", "addr", "add", "192.0.2.7/24", "dev", "lan")
	env.Run("ip", "link", "set", "lan", "up")
	env.Run("ip", "route", "add", "10.1.2.0/24", "via", "192.0.2.1")
	env.Run("ip", "route", "add", "10.128.0.0/9", "via", "192.0.2.1")
	env.Run("ip", "route", "add", "10.3.0.0/16", "via", "192.0.2.1", "table", "99")
	env.Run("ip", "route", "add", "default", "via", "192.0.2.1")
	env.Run("ip", "route", "add", "blackhole", "10.4.0.0/16")
	for network, want := range map[string]string{
		"192.0.2.0/24":   `address 192.0.2.7/24 of interface "lan"`,
		"192.0.2.128/25": `address 192.0.2.7/24 of interface "lan"`,
		"192.0.0.0/16":   `address 192.0.2.7/24 of interface "lan"`,
		"10.1.0.0/16":    `route to 10.1.2.0/24 by interface "lan"`,
		"10.1.2.0/24":    `route to 10.1.2.0/24 by interface "lan"`,
		"10.3.0.0/16":    `route to 10.3.0.0/16 by interface "lan"`,
		"10.4.0.0/15":    "route to 10.4.0.0/16",
		"10.1.2.128/25":  "",
		"10.129.0.0/16":  "",
		"172.17.0.0/16":  "",
	} {
		env.Do(func() {
			if got, err := HostConflict(netip.MustParsePrefix(network)); err != nil || got != want {
				t.Errorf("%s: %q, %v; want %q", network, got, err, want)
			}
		})
	}
}

func TestHostWatcherHearsOfAllThatMatters(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	env.Run("ip", "tuntap", "add", "vs-0", "mode", "tap")
	var w *Watcher
	var index int
	env.Do(func() {
		var err error
		if w, err = NewHostWatcher(); err != nil {
			t.Fatal(err)
		}
		if index, err = LinkIndex("vs-0"); err != nil {
			t.Fatal(err)
		}
	})
	events, stopped := make(chan LinkEvent, 100), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { stopped <- w.Run(ctx, func(e LinkEvent) { events <- e }) }()
	for _, argv := range [][]string{
		{"addr", "add", "10.0.0.1/24", "dev", "vs-0"},
		{"addr", "del", "10.0.0.1/24", "dev", "vs-0"},
		{"link", "set", "vs-0", "mtu", "1400"},
		{"link", "delete", "vs-0"},
	} {
		for len(events) > 0 {
			<-events
		}
		env.Run(append([]string{"ip"}, argv...)...)
		if e := <-events; e != (LinkEvent{Namespace: -1, Index: index}) {
			t.Errorf("after %q: %+v, want an event of link %d", argv, e, index)
		}
	}
	stop()
	if err := <-stopped; err != nil {
		t.Errorf("Run returns %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
