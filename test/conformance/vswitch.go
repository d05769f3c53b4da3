package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/frame"
	"vswitch/test/lab"
)

// VSwitch is vswitch as its users meet it: a vswitchd in a network namespace of its
// own, steered by vsctl.
type VSwitch struct {
	host  *lab.Host
	flags []string // of vswitchd
	help  string   // of vsctl add-port: tells what it offers

	mu       sync.Mutex
	segments []string   // guarded by mu; those added, in order
	ports    []PortSpec // guarded by mu; those added, in order
}

// NewVSwitch starts a vswitchd. It ends with the test, and must do so without a
// complaint.
func NewVSwitch(tb testing.TB) *VSwitch {
	tb.Helper()
	v := &VSwitch{host: lab.NewHost(tb)}
	var err error
	if v.help, err = v.vsctl("add-port", "--help"); err != nil {
		tb.Fatal(err)
	}
	return v
}

// vsctl returns what the command prints.
func (v *VSwitch) vsctl(args ...string) (string, error) {
	cmd := v.host.VsctlCommand(args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("vsctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}

// vsctlList decodes what a listing command prints.
func vsctlList[T any](v *VSwitch, args ...string) (list []T, err error) {
	out, err := v.vsctl(append(args, "--format", "json")...)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("read what vsctl %s prints: %w", strings.Join(args, " "), err)
	}
	return list, nil
}

// Name implements [Adapter].
func (v *VSwitch) Name() string { return "vswitch" }

// portFlags are the flags of vsctl add-port that features need.
var portFlags = map[Feature]string{
	BPDUGuard:    "--bpdu-guard",
	FloodLimit:   "--flood-limit",
	Isolation:    "--isolated",
	MACLimit:     "--mac-limit",
	MACSecurity:  "--security",
	StrictSource: "--security",
}

// Offers implements [Adapter].
func (v *VSwitch) Offers(f Feature) error {
	flag := portFlags[f]
	if flag == "" || v.hasFlag(flag) {
		return nil
	}
	return fmt.Errorf("vsctl add-port has no %s", flag)
}

func (v *VSwitch) hasFlag(flag string) bool {
	return slices.Contains(strings.Fields(v.help), flag)
}

// SetAgeing implements [Adapter] by starting the daemon with another flag.
func (v *VSwitch) SetAgeing(d time.Duration) error {
	v.flags = append(v.flags, "--ageing", d.String())
	v.host.Stop()
	v.host.Start(v.flags...)
	return nil
}

// AddSegment implements [Adapter].
func (v *VSwitch) AddSegment(name string) error {
	if _, err := v.vsctl("add-segment", name); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.segments = append(v.segments, name)
	return nil
}

// DelSegment implements [Adapter].
func (v *VSwitch) DelSegment(name string) error {
	v.mu.Lock()
	v.segments = slices.DeleteFunc(v.segments, func(s string) bool { return s == name })
	v.mu.Unlock()
	_, err := v.vsctl("del-segment", name)
	return err
}

// AddPort implements [Adapter].
func (v *VSwitch) AddPort(spec PortSpec) (Attachment, error) {
	args := []string{"add-port", spec.Name, "--segment", spec.Segment, "--netns", spec.NetNS}
	if spec.BPDUGuard {
		args = append(args, "--bpdu-guard")
	}
	if spec.FloodLimit > 0 {
		args = append(args, "--flood-limit", strconv.Itoa(spec.FloodLimit))
	}
	if spec.Isolated {
		args = append(args, "--isolated")
	}
	if spec.MACLimit > 0 {
		args = append(args, "--mac-limit", strconv.Itoa(spec.MACLimit))
	}
	switch {
	case spec.Security != SecurityOff:
		args = append(args, "--security", string(spec.Security))
	case v.hasFlag("--security"): // whatever its default is
		args = append(args, "--security", "off")
	}
	if _, err := v.vsctl(args...); err != nil {
		return Attachment{}, err
	}
	v.mu.Lock()
	v.ports = append(v.ports, spec)
	v.mu.Unlock()
	return v.Port(spec.Name)
}

// DelPort implements [Adapter].
func (v *VSwitch) DelPort(name string) error {
	v.mu.Lock()
	v.ports = slices.DeleteFunc(v.ports, func(p PortSpec) bool { return p.Name == name })
	v.mu.Unlock()
	_, err := v.vsctl("del-port", name)
	return err
}

// SetPort implements [Adapter].
func (v *VSwitch) SetPort(name string, up bool) error {
	state := "--down"
	if up {
		state = "--up"
	}
	_, err := v.vsctl("set-port", name, state)
	return err
}

// Port implements [Adapter].
func (v *VSwitch) Port(name string) (Attachment, error) {
	p, err := v.port(name)
	if err != nil {
		return Attachment{}, err
	}
	return attachment(p)
}

// port is all that vsctl knows of a port.
func (v *VSwitch) port(name string) (api.Port, error) {
	list, err := vsctlList[api.Port](v, "stats", name)
	if err != nil {
		return api.Port{}, err
	}
	if len(list) != 1 {
		return api.Port{}, fmt.Errorf("vsctl stats %s lists %d ports, want 1", name, len(list))
	}
	return list[0], nil
}

// attachment takes from a port what its container sees.
func attachment(p api.Port) (a Attachment, err error) {
	a.IfName = p.IfName
	if len(p.IPs) == 0 {
		return a, fmt.Errorf("port %s has no address", p.Name)
	}
	a.IP = p.IPs[0]
	a.MAC = p.MAC
	if err := a.Gateway.UnmarshalText([]byte(p.Gateway)); err != nil {
		return a, fmt.Errorf("port %s: gateway: %w", p.Name, err)
	}
	return a, nil
}

// Lost implements [Adapter].
func (v *VSwitch) Lost(name string) (bool, error) {
	p, err := v.port(name)
	return p.State == api.PortLost, err
}

// Received implements [Adapter].
func (v *VSwitch) Received(name string) (uint64, error) {
	p, err := v.port(name)
	return p.Counters.RxFrames, err
}

// AddStatic implements [Adapter].
func (v *VSwitch) AddStatic(segment string, mac frame.MAC, port string) error {
	_, err := v.vsctl("add-fdb", segment, mac.String(), port)
	return err
}

// Flush implements [Adapter].
func (v *VSwitch) Flush(segment string) error {
	_, err := v.vsctl("flush-fdb", segment)
	return err
}

// FDB implements [Adapter].
func (v *VSwitch) FDB(segment string) ([]Entry, error) {
	list, err := vsctlList[api.FDBEntry](v, "list-fdb", segment)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, e := range list {
		if e.Port != "gateway" {
			// A port's own MAC is pinned to it as if by hand.
			entries = append(entries, Entry{MAC: e.MAC, Port: e.Port, Static: e.Kind == api.Static || e.Kind == "own"})
		}
	}
	return entries, nil
}

// Restart implements [Adapter]. What the daemon does not restore is added again.
func (v *VSwitch) Restart() error {
	v.host.Stop()
	v.host.Start(v.flags...)
	v.mu.Lock()
	segments, ports := slices.Clone(v.segments), slices.Clone(v.ports)
	v.segments, v.ports = nil, nil
	v.mu.Unlock()
	return errors.Join(v.restoreSegments(segments), v.restorePorts(ports))
}

func (v *VSwitch) restoreSegments(wanted []string) error {
	have, err := vsctlList[api.Segment](v, "list-segments")
	if err != nil {
		return err
	}
	for _, name := range wanted {
		if slices.ContainsFunc(have, func(s api.Segment) bool { return s.Name == name }) {
			v.mu.Lock()
			v.segments = append(v.segments, name)
			v.mu.Unlock()
		} else if err := v.AddSegment(name); err != nil {
			return err
		}
	}
	return nil
}

func (v *VSwitch) restorePorts(wanted []PortSpec) error {
	have, err := vsctlList[api.Port](v, "list-ports")
	if err != nil {
		return err
	}
	for _, spec := range wanted {
		i := slices.IndexFunc(have, func(p api.Port) bool { return p.Name == spec.Name })
		if i >= 0 && have[i].State == api.PortUp {
			v.mu.Lock()
			v.ports = append(v.ports, spec)
			v.mu.Unlock()
			continue
		}
		if i >= 0 {
			if err := v.DelPort(spec.Name); err != nil {
				return err
			}
		}
		if _, err := v.AddPort(spec); err != nil {
			return err
		}
	}
	return nil
}
