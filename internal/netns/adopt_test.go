package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vswitch/test/lab"
)

// stage is a host and a container, both namespaces of the test.
type stage struct {
	t         *testing.T
	host, env *lab.Namespace
	container *Namespace // env, opened
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, host: lab.NewNamespace(t), env: lab.NewNamespace(t)}
	s.container = mustOpen(t, mustParse(t, s.env.Name()))
	return s
}

// addLink makes a link on the host to move.
func (s *stage) addLink(name string) { s.host.Run("ip", "tuntap", "add", name, "mode", "tap") }

// adopt is AdoptLink as the daemon calls it, from the host's namespace.
func (s *stage) adopt(cfg LinkConfig) (got Adopted, err error) {
	s.host.Do(func() { got, err = s.container.AdoptLink(cfg) })
	return got, err
}

func (s *stage) wantIn(env *lab.Namespace, what string, argv ...string) {
	s.t.Helper()
	if out := env.Run(argv...); !strings.Contains(out, what) {
		s.t.Errorf("%q does not show %q:\n%s", argv, what, out)
	}
}

// wantUntouched says that the container is as it was made: lo, down, and no more.
func (s *stage) wantUntouched() {
	s.t.Helper()
	out := s.env.Run("ip", "-o", "link")
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, "lo: <LOOPBACK>") {
		s.t.Errorf("the container is not as before:\n%s", out)
	}
}

// docker is what a first container gets.
func docker() LinkConfig {
	return LinkConfig{
		HostName:     "vst-0",
		MAC:          net.HardwareAddr{2, 0x42, 172, 17, 0, 2},
		MTU:          1400,
		TxQueueLen:   2048,
		Address:      netip.MustParsePrefix("172.17.0.2/16"),
		Gateway:      netip.MustParseAddr("172.17.0.1"),
		DefaultRoute: true,
	}
}

func TestAdoptLinkSetsUpAContainer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.addLink("vst-0")
	got, err := s.adopt(docker())
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "eth0" || got.Index < 1 || !got.DefaultRoute {
		t.Errorf("adopted %+v, want eth0 with a default route", got)
	}
	for _, want := range []string{"eth0: <", ",UP", "mtu 1400", "qlen 2048", "02:42:ac:11:00:02"} {
		s.wantIn(s.env, want, "ip", "-o", "link", "show", "eth0")
	}
	s.wantIn(s.env, "inet 172.17.0.2/16 brd 172.17.255.255", "ip", "-o", "address", "show", "eth0")
	s.wantIn(s.env, "default via 172.17.0.1 dev eth0", "ip", "route")
	s.wantIn(s.env, "LOOPBACK,UP", "ip", "-o", "link", "show", "lo")
	if out := s.host.Run("ip", "-o", "link"); strings.Contains(out, "vst-0") {
		t.Errorf("the link is still on the host:\n%s", out)
	}
}

func TestAdoptLinkLeavesAloneWhatIsZero(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.addLink("vst-0")
	s.host.Run("ip", "link", "set", "vst-0", "address", "02:00:00:00:00:07", "mtu", "1300", "txqueuelen", "700")
	got, err := s.adopt(LinkConfig{HostName: "vst-0", Name: "net1"})
	if err != nil || got.Name != "net1" || got.DefaultRoute {
		t.Fatalf("adopted %+v, %v; want net1 without a default route", got, err)
	}
	for _, want := range []string{"net1: <", "02:00:00:00:00:07", "mtu 1300", "qlen 700", ",UP"} {
		s.wantIn(s.env, want, "ip", "-o", "link", "show", "net1")
	}
	if out := s.env.Run("ip", "-4", "address", "show", "net1"); out != "" {
		t.Errorf("it has an address that nobody asked for:\n%s", out)
	}
}

func TestAdoptLinkIPv6(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.addLink("vst-0")
	got, err := s.adopt(LinkConfig{
		HostName: "vst-0", Address: netip.MustParsePrefix("fd00:1::2/64"), Gateway: netip.MustParseAddr("fd00:1::1"), DefaultRoute: true,
	})
	if err != nil || !got.DefaultRoute {
		t.Fatalf("adopted %+v, %v; want a default route", got, err)
	}
	s.wantIn(s.env, "inet6 fd00:1::2/64", "ip", "-6", "address", "show", "eth0")
	s.wantIn(s.env, "default via fd00:1::1 dev eth0", "ip", "-6", "route")
}

func TestAdoptLinkDisablesIPv6(t *testing.T) {
	t.Parallel()
	for _, disable := range []bool{false, true} {
		s := newStage(t)
		s.addLink("vst-0")
		cfg := docker()
		cfg.DisableIPv6 = disable
		got, err := s.adopt(cfg)
		if err != nil || got.IPv6 != nil {
			t.Fatalf("adopted %+v, %v", got, err)
		}
		want := map[bool]string{false: "0\n", true: "1\n"}[disable]
		if is := s.env.Run("cat", "/proc/sys/net/ipv6/conf/eth0/disable_ipv6"); is != want {
			t.Errorf("disable_ipv6 is %q with DisableIPv6 %t, want %q", is, disable, want)
		}
		// The container's other interfaces are its own.
		s.wantIn(s.env, "inet6 ::1/128", "ip", "-6", "-o", "address", "show", "lo")
	}
}

// A kernel without IPv6 has no such setting; where it cannot be written the link works still.
func TestAdoptLinkWithoutTheSettingOfIPv6(t *testing.T) {
	t.Parallel()
	empty, broken := t.TempDir(), t.TempDir()
	// A directory stands for a file that even root cannot write.
	dir := filepath.Join(broken, "net/ipv6/conf/eth0/disable_ipv6")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{empty: "", broken: "disable IPv6 on interface \"eth0\""} {
		s := newStage(t)
		s.addLink("vst-0")
		cfg := docker()
		cfg.DisableIPv6, cfg.SysctlDir = true, dir
		got, err := s.adopt(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got.IPv6) != "<nil>" != (want != "") || !strings.Contains(fmt.Sprint(got.IPv6), want) {
			t.Errorf("adopted %+v, want IPv6 to be %q", got, want)
		}
		s.wantIn(s.env, ",UP", "ip", "-o", "link", "show", "eth0")
	}
}

func TestSecondLinkKeepsTheFirstDefaultRoute(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.addLink("vst-0")
	s.addLink("vst-1")
	if _, err := s.adopt(docker()); err != nil {
		t.Fatal(err)
	}
	second := LinkConfig{
		HostName: "vst-1", Name: "eth1", Address: netip.MustParsePrefix("172.18.0.2/16"), Gateway: netip.MustParseAddr("172.18.0.1"), DefaultRoute: true,
	}
	got, err := s.adopt(second)
	if err != nil || got.DefaultRoute {
		t.Errorf("adopted %+v, %v; want no second default route", got, err)
	}
	if out := s.env.Run("ip", "route", "show", "default"); strings.Count(out, "default") != 1 || !strings.Contains(out, "172.17.0.1") {
		t.Errorf("default routes are\n%swant the one via 172.17.0.1", out)
	}
}

func TestAdoptLinkRefusesBeforeItMoves(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*LinkConfig)
		want   string
	}{
		{"a link that is not there", func(c *LinkConfig) { c.HostName = "vst-missing" }, "no such interface"},
	}
	s := newStage(t)
	s.addLink("vst-0")
	for _, test := range tests {
		cfg := docker()
		test.change(&cfg)
		_, err := s.adopt(cfg)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: AdoptLink says %v, want one line with %q", test.name, err, test.want)
		}
		if errors.Is(err, ErrNoLink) != (cfg.HostName == "vst-missing") {
			t.Errorf("%s: AdoptLink says %v: that should be ErrNoLink for a missing link alone", test.name, err)
		}
		s.wantIn(s.host, "vst-0", "ip", "-o", "link")
		s.wantUntouched()
	}
}

func TestAdoptLinkRefusesATakenName(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.addLink("vst-0")
	s.env.Run("ip", "tuntap", "add", "eth0", "mode", "tap")
	_, err := s.adopt(docker())
	want := `interface "eth0" already exists in network namespace "` + s.env.Name() + `": choose another with --ifname`
	if !errors.Is(err, ErrLinkExists) || err.Error() != want {
		t.Errorf("AdoptLink says %v, want %s", err, want)
	}
	s.wantIn(s.host, "vst-0", "ip", "-o", "link")
	s.wantIn(s.env, "lo: <LOOPBACK>", "ip", "-o", "link")
}

// TestAdoptLinkUndoesWhatTheKernelRefused has real refusals at several steps.
func TestAdoptLinkUndoesWhatTheKernelRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare []string // run in the container
		change  func(*LinkConfig)
		want    string
		errno   unix.Errno
	}{
		{"an MTU too large", nil, func(c *LinkConfig) { c.MTU = 1 << 20 }, "set mtu 1048576", unix.EINVAL},
		{"IPv6 without IPv6", []string{"sysctl", "-q", "net.ipv6.conf.default.disable_ipv6=1"}, func(c *LinkConfig) {
			c.Address, c.DefaultRoute = netip.MustParsePrefix("fd00::2/64"), false
		}, "add address fd00::2/64", unix.EACCES},
		{
			"the broadcast address as gateway", nil, func(c *LinkConfig) { c.Gateway = netip.MustParseAddr("172.17.255.255") },
			"add a default route via 172.17.255.255", unix.EINVAL,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.addLink("vst-0")
			if test.prepare != nil {
				s.env.Run(test.prepare...)
			}
			cfg := docker()
			test.change(&cfg)
			_, err := s.adopt(cfg)
			if !errors.Is(err, test.errno) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("AdoptLink says %v, want one line with %q and %v", err, test.want, test.errno)
			}
			s.wantUntouched()
			if out := s.host.Run("ip", "-o", "link"); strings.Contains(out, "vst-0") {
				t.Errorf("the link that had moved is back on the host:\n%s", out)
			}
		})
	}
}

func TestAdoptLinkStaysWhereItWasWhenItCannotMove(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.addLink("vst-0")
	s.env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
	if _, err := s.adopt(docker()); !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "move it") {
		t.Errorf("AdoptLink says %v, want that it cannot move", err)
	}
	s.wantIn(s.host, "vst-0", "ip", "-o", "link")
	s.wantIn(s.env, "vst-0", "ip", "-o", "link")
}

// TestAdoptLinkUndoesEachStep fails each step in turn, after it was done.
func TestAdoptLinkUndoesEachStep(t *testing.T) {
	t.Parallel()
	failure := errors.New("the step fails")
	s := newStage(t)
	for i := range adoptionSteps() {
		for _, loopbackUp := range []string{"up", "down"} {
			s.addLink("vst-0")
			s.env.Run("ip", "link", "set", "lo", loopbackUp)
			before := s.env.Run("ip", "-o", "address")
			steps := adoptionSteps()
			do := steps[i].do
			steps[i].do = func(a *adoption) error { return errors.Join(failure, do(a)) }
			s.host.Do(func() {
				got, err := s.container.adopt(docker(), steps)
				if !errors.Is(err, failure) || got != (Adopted{}) {
					t.Errorf("step %d: adopted %+v, %v; want nothing and the failure", i, got, err)
				}
			})
			if after := s.env.Run("ip", "-o", "address"); after != before {
				t.Errorf("step %d, lo %s: the container shows\n%swant\n%s", i, loopbackUp, after, before)
			}
			if out := s.env.Run("ip", "-o", "link"); strings.Count(out, "\n") != 1 {
				t.Errorf("step %d: links are left:\n%s", i, out)
			}
		}
	}
}

// addLink is stage.addLink without a process, for many cycles.
func addLink(t *testing.T, h *netlink.Handle, name string) {
	t.Helper()
	if err := h.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: unix.IFF_TAP}); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsLeft(t *testing.T) {
	lab.LeakCheck(t)
	s := newStage(t)
	s.host.Do(func() {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		refused := docker()
		refused.MTU = 1 << 20
		for i := range 200 {
			ns, err := Open(s.container.ref)
			if err != nil {
				t.Fatal(err)
			}
			addLink(t, h, refused.HostName)
			if _, err := ns.AdoptLink(refused); !errors.Is(err, unix.EINVAL) {
				t.Fatalf("cycle %d: AdoptLink with mtu %d says %v", i, refused.MTU, err)
			}
			addLink(t, h, docker().HostName)
			if _, err := ns.AdoptLink(docker()); err != nil {
				t.Fatalf("cycle %d: %v", i, err)
			}
			if err := ns.DeleteLink("eth0"); err != nil {
				t.Fatal(err)
			}
			if _, err := HostPrefixes(); err != nil {
				t.Fatal(err)
			}
			ns.Close()
		}
	})
	for _, env := range []*lab.Namespace{s.host, s.env} {
		if out := env.Run("ip", "-o", "link"); strings.Count(out, "\n") != 1 {
			t.Errorf("links are left:\n%s", out)
		}
	}
}
