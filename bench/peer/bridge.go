package peer

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"vswitch/bench/load"
)

// bridge is the kernel's bridge with a veth pair for each endpoint, as Docker's
// bridge driver sets it up.
type bridge struct{}

func (bridge) Name() string { return "bridge" }

// Limits leave out more ports than a bridge has (BR_MAX_PORTS, net/bridge/br_private.h).
func (bridge) Limits() Limits { return Limits{Ports: 1023, Kernel: true, Open: true, Single: true} }

func (bridge) Available(*Lab) error { return nil }

func (bridge) Start(_ context.Context, l *Lab, n Needs) (Fabric, error) {
	options := ""
	if n.Addresses > 0 {
		options = " ageing_time 360000" // an hour
	}
	return &bridgeFabric{
		lab: l, options: options, segments: make(map[int]string), ports: make(map[load.Endpoint]string),
	}, nil
}

type bridgeFabric struct {
	lab      *Lab
	options  string                   // of bridges, as ip(8) takes them
	segments map[int]string           // bridges by number of segment
	ports    map[load.Endpoint]string // the host's ends of veth pairs
	made     int                      // ports made so far, for their names
}

func (f *bridgeFabric) Attach(_ context.Context, endpoints ...load.Endpoint) error {
	veths, commands := make(map[load.Endpoint]string, len(endpoints)), []string(nil)
	for _, e := range endpoints {
		name, ok := f.segments[e.Segment]
		if !ok {
			name = fmt.Sprintf("br%d", e.Segment)
			f.segments[e.Segment] = name
			commands = append(commands, "link add "+name+" type bridge"+f.options, "link set "+name+" up")
		}
		f.made++
		veth := fmt.Sprintf("veth%d", f.made)
		commands = append(commands,
			fmt.Sprintf("link add %s type veth peer name c%s", veth, veth),
			fmt.Sprintf("link set %s master %s up", veth, name))
		veths[e] = veth
		f.ports[e] = veth
	}
	if err := ipBatch(f.lab.Host(), commands...); err != nil {
		return fmt.Errorf("make bridge and veth pairs: %w", err)
	}
	for _, e := range endpoints {
		if err := adopt(f.lab.Host(), "c"+veths[e], e); err != nil {
			return fmt.Errorf("move veth to %s: %w", e.Namespace, err)
		}
		err := errors.Join(
			shape(e.Namespace, e.IfName, e.RateIn), shape(f.lab.Host(), veths[e], e.RateOut),
		)
		if err != nil {
			return fmt.Errorf("bound the rate of %s: %w", e.Namespace, err)
		}
	}
	return nil
}

// shape bounds what leaves through a link to bits/s, 0 being no bound, with the latency that
// tc-tbf(8) gives as an example, and a burst for a timer of 100 Hz or two super-frames.
func shape(namespace, link string, rate uint64) error {
	if rate == 0 {
		return nil
	}
	burst := max(rate/8/100, 2<<16)
	return runQuietly(exec.Command("tc", "-netns", namespace, "qdisc", "add", "dev", link, "root",
		"tbf", "rate", fmt.Sprintf("%dbit", rate), "burst", fmt.Sprintf("%db", burst),
		"latency", "50ms"))
}

func (f *bridgeFabric) Detach(_ context.Context, e load.Endpoint) error {
	veth, ok := f.ports[e]
	if !ok {
		return fmt.Errorf("no veth of %s", e.Namespace)
	}
	delete(f.ports, e)
	return ipBatch(f.lab.Host(), "link del "+veth)
}

func (f *bridgeFabric) Processes() []int { return nil }

func (f *bridgeFabric) Close() error {
	var commands []string
	for _, veth := range f.ports {
		commands = append(commands, "link del "+veth)
	}
	for _, name := range f.segments {
		commands = append(commands, "link del "+name)
	}
	if len(commands) == 0 {
		return nil
	}
	return ipBatch(f.lab.Host(), commands...)
}
