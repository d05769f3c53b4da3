package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vswitch/internal/frame"
	"vswitch/test/lab"
)

// Bridge is the kernel's bridge with a veth pair for each port, in a network
// namespace of its own and steered by ip(8) and bridge(8). Its stations have no IP
// addresses; those of their attachments are for what they write into frames.
type Bridge struct {
	tb     testing.TB
	host   *lab.Namespace
	ageing time.Duration // 0 is the kernel's own

	mu       sync.Mutex
	made     int                      // guarded by mu; segments and ports so far, for names and addresses
	segments map[string]bridgeSegment // guarded by mu; by name
	ports    map[string]bridgePort    // guarded by mu; by name
}

// bridgeSegment is a bridge device.
type bridgeSegment struct {
	device string
	number int
	ports  int // made so far
}

// bridgePort is a veth pair, one end in the bridge.
type bridgePort struct {
	device string // the bridge's end
	Attachment
}

// NewBridge makes a namespace for bridges. It goes with the test.
func NewBridge(tb testing.TB) *Bridge {
	tb.Helper()
	return &Bridge{
		tb: tb, host: lab.NewNamespace(tb),
		segments: make(map[string]bridgeSegment), ports: make(map[string]bridgePort),
	}
}

// run runs a command on the host and returns what it prints.
func (b *Bridge) run(argv ...string) (string, error) {
	cmd := b.host.Exec(b.tb.Context(), argv...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}

// runAll runs commands until the first that fails.
func (b *Bridge) runAll(commands ...string) error {
	for _, c := range commands {
		if _, err := b.run(strings.Fields(c)...); err != nil {
			return err
		}
	}
	return nil
}

// Name implements [Adapter].
func (b *Bridge) Name() string { return "bridge" }

// missing is what the bridge lacks, and why.
var missing = map[Feature]string{
	BPDUGuard:    "the kernel's guard is part of its own STP (br_stp_rcv, net/bridge/br_stp_bpdu.c)",
	FloodLimit:   "a matter of tc, not of the bridge",
	Gateway:      "the bridge has no address here",
	KnownPorts:   "it knows hosts by their frames alone, and a veth ends with its namespace",
	MACLimit:     "the limit, fdb_max_learned, is the whole bridge's and not a port's",
	RestartKeeps: "nothing to restart",
	StrictSource: "a matter of nftables, not of the bridge",
}

// Offers implements [Adapter].
func (b *Bridge) Offers(f Feature) error {
	if why := missing[f]; why != "" {
		return errors.New(why)
	}
	return nil
}

// SetAgeing implements [Adapter].
func (b *Bridge) SetAgeing(d time.Duration) error {
	b.ageing = d
	return nil
}

// AddSegment implements [Adapter].
func (b *Bridge) AddSegment(name string) error {
	b.mu.Lock()
	b.made++
	s := bridgeSegment{device: fmt.Sprintf("br%d", b.made), number: b.made}
	b.segments[name] = s
	b.mu.Unlock()
	// With snooping on, what groups are flooded would depend on who has joined.
	device := fmt.Sprintf("ip link add %s type bridge mcast_snooping 0", s.device)
	if b.ageing > 0 {
		device += " ageing_time " + strconv.FormatInt(b.ageing.Milliseconds()/10, 10) // in 1/100 s
	}
	return b.runAll(device, fmt.Sprintf("ip link set %s up", s.device))
}

// DelSegment implements [Adapter].
func (b *Bridge) DelSegment(name string) error {
	s, err := b.segment(name)
	if err != nil {
		return err
	}
	b.mu.Lock()
	delete(b.segments, name)
	b.mu.Unlock()
	return b.runAll("ip link del " + s.device)
}

func (b *Bridge) segment(name string) (bridgeSegment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.segments[name]
	if !ok {
		return s, fmt.Errorf("no segment %q: add it first", name)
	}
	return s, nil
}

// AddPort implements [Adapter].
func (b *Bridge) AddPort(spec PortSpec) (Attachment, error) {
	p, s, err := b.newPort(spec)
	if err != nil {
		return Attachment{}, err
	}
	commands := []string{
		fmt.Sprintf("ip link add %s type veth peer name %s address %s netns %s", p.device, p.IfName, p.MAC, spec.NetNS),
		fmt.Sprintf("ip link set %s master %s up", p.device, s.device),
	}
	if spec.Isolated {
		commands = append(commands, fmt.Sprintf("bridge link set dev %s isolated on", p.device))
	}
	if spec.Security == SecurityMAC { // as tools/testing/selftests/net/forwarding/bridge_locked_port.sh
		commands = append(commands,
			fmt.Sprintf("bridge link set dev %s learning off locked on", p.device),
			fmt.Sprintf("bridge fdb add %s dev %s master static", p.MAC, p.device))
	}
	// Last, so that nobody sends before all is set.
	commands = append(commands, fmt.Sprintf("ip -netns %s link set %s up", spec.NetNS, p.IfName))
	return p.Attachment, b.runAll(commands...)
}

// newPort gives a port its names and addresses.
func (b *Bridge) newPort(spec PortSpec) (bridgePort, bridgeSegment, error) {
	s, err := b.segment(spec.Segment)
	if err != nil {
		return bridgePort{}, s, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made++
	s.ports++
	b.segments[spec.Segment] = s
	addr := func(last int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(s.number >> 8), byte(s.number), byte(last)})
	}
	ip := addr(1 + s.ports)
	p := bridgePort{fmt.Sprintf("p%d", b.made), Attachment{
		IfName: "eth0", MAC: frame.MACFromIPv4(ip), IP: netip.PrefixFrom(ip, 24), Gateway: addr(1),
	}}
	b.ports[spec.Name] = p
	return p, s, nil
}

func (b *Bridge) port(name string) (bridgePort, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.ports[name]
	if !ok {
		return p, fmt.Errorf("no port %q: add it first", name)
	}
	return p, nil
}

// DelPort implements [Adapter].
func (b *Bridge) DelPort(name string) error {
	p, err := b.port(name)
	if err != nil {
		return err
	}
	b.mu.Lock()
	delete(b.ports, name)
	b.mu.Unlock()
	return b.runAll("ip link del " + p.device)
}

// SetPort implements [Adapter]. Taking the veth down would take the container's
// carrier as well; the port's state does not.
func (b *Bridge) SetPort(name string, up bool) error {
	p, err := b.port(name)
	if err != nil {
		return err
	}
	state := "disabled"
	if up {
		state = "forwarding"
	}
	return b.runAll(fmt.Sprintf("bridge link set dev %s state %s", p.device, state))
}

// Port implements [Adapter].
func (b *Bridge) Port(name string) (Attachment, error) {
	p, err := b.port(name)
	return p.Attachment, err
}

// Lost implements [Adapter]. A veth ends with either of its namespaces.
func (b *Bridge) Lost(name string) (bool, error) {
	p, err := b.port(name)
	if err != nil {
		return false, err
	}
	links, err := b.run("ip", "-brief", "link", "show")
	return !strings.Contains(links, p.device+"@"), err
}

// Received implements [Adapter].
func (b *Bridge) Received(name string) (uint64, error) {
	p, err := b.port(name)
	if err != nil {
		return 0, err
	}
	out, err := b.run("ip", "-stats", "-json", "link", "show", "dev", p.device)
	if err != nil {
		return 0, err
	}
	var links []struct {
		Stats struct{ RX struct{ Packets uint64 } } `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil || len(links) != 1 {
		return 0, fmt.Errorf("read the statistics of %s: %w", p.device, err)
	}
	return links[0].Stats.RX.Packets, nil
}

// AddStatic implements [Adapter]. Without sticky the entry would not age, but
// follow a station that moves (br_fdb_update, net/bridge/br_fdb.c).
func (b *Bridge) AddStatic(_ string, mac frame.MAC, port string) error {
	p, err := b.port(port)
	if err != nil {
		return err
	}
	return b.runAll(fmt.Sprintf("bridge fdb replace %s dev %s master static sticky", mac, p.device))
}

// Flush implements [Adapter].
func (b *Bridge) Flush(segment string) error {
	s, err := b.segment(segment)
	if err != nil {
		return err
	}
	return b.runAll(fmt.Sprintf("ip link set %s type bridge fdb_flush", s.device))
}

// FDB implements [Adapter].
func (b *Bridge) FDB(segment string) ([]Entry, error) {
	s, err := b.segment(segment)
	if err != nil {
		return nil, err
	}
	out, err := b.run("bridge", "-json", "fdb", "show", "br", s.device)
	if err != nil {
		return nil, err
	}
	var list []struct{ MAC, IfName, Master, State string }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("read the forwarding table of %s: %w", s.device, err)
	}
	var entries []Entry
	for _, e := range list {
		if e.Master != s.device || e.State == "permanent" { // the host's own addresses
			continue
		}
		mac, err := frame.ParseMAC(e.MAC)
		if err != nil {
			return nil, fmt.Errorf("read the forwarding table of %s: %w", s.device, err)
		}
		entry := Entry{MAC: mac, Port: b.portOf(e.IfName), Static: e.State == "static"}
		if !slices.Contains(entries, entry) { // once more for each VLAN
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// portOf is the name of the port with this device.
func (b *Bridge) portOf(device string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, p := range b.ports {
		if p.device == device {
			return name
		}
	}
	return ""
}

// Restart implements [Adapter].
func (b *Bridge) Restart() error { return b.Offers(RestartKeeps) }
