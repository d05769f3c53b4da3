package programs

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/test/lab"
)

// station is a network namespace at a port.
type station struct {
	testing.TB
	*lab.Namespace

	mac    net.HardwareAddr
	ip     netip.Addr
	socket *lab.Socket // receives all that comes to the port
}

// port is the name of each station's interface.
const port = "eth0"

// Name returns the namespace's; the test's own is another.
func (s *station) Name() string { return s.Namespace.Name() }

// try runs a command in the station and reports whether it succeeded.
func (s *station) try(argv ...string) bool {
	return s.Exec(s.Context(), argv...).Run() == nil
}

func newStation(t testing.TB, ns *lab.Namespace, mac net.HardwareAddr, ip netip.Addr) *station {
	t.Helper()
	socket, err := lab.OpenSocket(lab.SocketConfig{
		Namespace: ns.Name(), Interface: port, EtherType: unix.ETH_P_ALL,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socket.Close)
	return &station{TB: t, Namespace: ns, mac: mac, ip: ip, socket: socket}
}

// site is a switch with two stations, of which a is the one that is held to something, and a
// third without an address that has a DHCP client.
type site struct {
	a, b, client *station
	// set puts the port of a station under these options of vsctl set-port, and strict in all
	// else; nil: the site has no options.
	set func(s *station, options ...string)
	// drops returns for what, and how often, frames of a station's port were dropped, and hints
	// the options that let pass such.
	drops func(s *station) map[string]uint64
	hints func(s *station) map[string]string
}

// newVSwitch is a site at a vswitch.
func newVSwitch(t *testing.T) *site {
	h := lab.NewHost(t)
	names := map[*station]string{}
	attach := func(name string, edit ...func(*api.PortSpec)) *station {
		c := h.Attach(name, edit...)
		s := newStation(t, c.Namespace, c.MAC(), c.Addr())
		names[s] = name
		return s
	}
	v := &site{a: attach("a"), b: attach("b")}
	v.client = attach("client", func(s *api.PortSpec) { s.IP.DHCP = true })
	changes := 0
	v.set = func(s *station, options ...string) {
		t.Helper()
		// Another limit each time, so that it is another policy, and what was noted under the one
		// before is forgotten.
		changes++
		argv := append(
			[]string{"set-port", names[s], "--mac-limit", strconv.Itoa(100 + changes)},
			options...)
		for flag, nothing := range map[string]string{
			"--security": "strict", "--allow-address": "none", "--allow-mac": "none", "--allow-protocol": "none",
		} {
			if !slices.Contains(options, flag) {
				argv = append(argv, flag, nothing)
			}
		}
		h.MustVsctl(argv...)
	}
	v.drops = func(s *station) map[string]uint64 { return h.Counters(names[s]).Drops }
	v.hints = func(s *station) map[string]string {
		hints, said := h.Port(names[s]).Hints, h.MustVsctl("stats", names[s])
		for _, hint := range hints {
			if !strings.Contains(said, "("+hint+")") {
				t.Errorf("vsctl stats does not say %q:\n%s", hint, said)
			}
		}
		return hints
	}
	return v
}

// newBridge is a site at a bridge of the kernel's.
func newBridge(t *testing.T) *site {
	host := lab.NewQuietNamespace(t)
	host.Run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	host.Run("ip", "link", "set", "br0", "up")
	attach := func(n byte, addressed bool) *station {
		ns, ip := lab.NewQuietNamespace(t), netip.AddrFrom4([4]byte{172, 17, 0, n})
		mac := net.HardwareAddr{0x02, 0x42, 172, 17, 0, n}
		peer := fmt.Sprintf("p%d", n)
		host.Run(
			"ip",
			"link",
			"add",
			peer,
			"type",
			"veth",
			"peer",
			"name",
			port,
			"address",
			mac.String(),
			"netns",
			ns.Name(),
		)
		host.Run("ip", "link", "set", peer, "master", "br0", "up")
		if addressed {
			ns.Run("ip", "addr", "add", ip.String()+"/16", "dev", port)
		}
		ns.Run("ip", "link", "set", port, "up")
		return newStation(t, ns, mac, ip)
	}
	return &site{a: attach(2, true), b: attach(3, true), client: attach(4, false)}
}

// settle returns when the stations reach each other: their links are up.
func (v *site) settle(t *testing.T) {
	t.Helper()
	for from, to := range map[*station]*station{v.a: v.b, v.b: v.a} {
		lab.Eventually(t, "frames pass", func() bool {
			mark := v.marker(from)
			return from.socket.Send(mark) == nil && to.hears(mark, 20*time.Millisecond, nil)
		})
	}
}

// marks tells the marks of the sites apart.
var marks atomic.Uint64

// marker is a broadcast of a station's own that the strictest port lets pass.
func (v *site) marker(s *station) []byte {
	return s.udp(
		everyone,
		"255.255.255.255",
		s.ip.String(),
		9,
		9,
		fmt.Appendf(nil, "mark %d.", marks.Add(1))...)
}

// passes sends frames from a and reports whether all come to b as they are.
func (v *site) passes(frames ...[]byte) bool { return v.passesFrom(v.a, v.b, frames...) }

func (v *site) passesFrom(from, to *station, frames ...[]byte) bool {
	marker := v.marker(from)
	if err := from.socket.Send(append(slices.Clone(frames), marker)...); err != nil {
		from.Fatal(err)
	}
	came := 0
	if !to.hears(marker, lab.Patience, func(b []byte) {
		if slices.ContainsFunc(
			frames,
			func(sent []byte) bool { return string(b) == string(sent) },
		) {
			came++
		}
	}) {
		from.Fatal("a frame that every port lets pass has not come")
	}
	return came == len(frames)
}

// hears has others called for each frame that comes before one, and reports whether that comes
// in time.
func (s *station) hears(one []byte, within time.Duration, others func(b []byte)) bool {
	s.Helper()
	for deadline := time.Now().Add(within); ; {
		f, came, err := s.socket.Receive(deadline)
		switch {
		case err != nil:
			s.Fatal(err)
		case !came:
			return false
		case string(f.Bytes) == string(one):
			return true
		case others != nil:
			others(f.Bytes)
		}
	}
}

// during returns the reasons for which a station's port dropped frames while f ran, and the
// options that let pass such.
func (v *site) during(s *station, f func()) (reasons, options []string) {
	before := v.drops(s)
	f()
	after, hints := v.drops(s), map[string]string(nil)
	for _, reason := range slices.Sorted(maps.Keys(after)) {
		if after[reason] > before[reason] {
			reasons = append(reasons, reason)
			if hints == nil {
				hints = v.hints(s)
			}
			if hint := hints[reason]; hint != "" && !slices.Contains(options, hint) {
				options = append(options, hint)
			}
		}
	}
	return reasons, options
}
