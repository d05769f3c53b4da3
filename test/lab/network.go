package lab

import (
	"fmt"
	"regexp"
	"strings"

	"vswitch/api"
)

// Container makes a container that is not attached yet and that speaks only when it is spoken
// to.
func (h *Host) Container() *Container {
	h.Helper()
	return &Container{Namespace: NewQuietNamespace(h.TB), TB: h.TB, Host: h}
}

// Attach makes a container and connects it to the default segment, unless edit says otherwise.
func (h *Host) Attach(name string, edit ...func(*api.PortSpec)) *Container {
	h.Helper()
	c := h.Container()
	h.Connect(c, name, edit...)
	return c
}

// Connect adds a port of this name to the container.
func (h *Host) Connect(c *Container, name string, edit ...func(*api.PortSpec)) api.Port {
	h.Helper()
	spec := api.PortSpec{Name: name, NetNS: c.Name()}
	for _, f := range edit {
		f(&spec)
	}
	p, err := h.Client.AddPort(h.Context(), spec)
	if err != nil {
		h.Fatalf("add port %s: %v", name, err)
	}
	c.Port = p
	return p
}

// On chooses a segment for Attach and Connect.
func On(segment string) func(*api.PortSpec) {
	return func(s *api.PortSpec) { s.Segment = segment }
}

// AddSegment adds a segment of this name.
func (h *Host) AddSegment(name string, edit ...func(*api.SegmentSpec)) api.Segment {
	h.Helper()
	spec := api.SegmentSpec{Name: name}
	for _, f := range edit {
		f(&spec)
	}
	s, err := h.Client.AddSegment(h.Context(), spec)
	if err != nil {
		h.Fatalf("add segment %s: %v", name, err)
	}
	return s
}

// Segment returns a segment as it is now.
func (h *Host) Segment(name string) api.Segment {
	h.Helper()
	s, err := h.Client.Segment(h.Context(), name)
	if err != nil {
		h.Fatalf("segment %s: %v", name, err)
	}
	return s
}

// DelPort deletes a port.
func (h *Host) DelPort(name string) {
	h.Helper()
	if _, err := h.Client.DeletePort(h.Context(), name); err != nil {
		h.Fatalf("delete port %s: %v", name, err)
	}
}

// Port returns a port as it is now.
func (h *Host) Port(name string) api.Port {
	h.Helper()
	p, err := h.Client.Port(h.Context(), name)
	if err != nil {
		h.Fatalf("port %s: %v", name, err)
	}
	return p
}

// Counters returns a port's counters as they are now.
func (h *Host) Counters(name string) api.Counters {
	h.Helper()
	return h.Port(name).Counters
}

// AwaitDrops waits until so many frames of the port have been dropped for a reason.
func (h *Host) AwaitDrops(name, reason string, want uint64) {
	h.Helper()
	h.Eventually(fmt.Sprintf("%d drops for %s at port %s", want, reason, name), func() bool {
		return h.Counters(name).Drops[reason] >= want
	})
}

// hostLink matches the name of an interface by which a host reaches a segment.
var hostLink = regexp.MustCompile(`^vs-[0-9a-f]{11}$`)

// Links returns the names of the interfaces in a namespace, loopback and those by which a host
// reaches its segments left out.
func (n *Namespace) Links() []string {
	n.tb.Helper()
	var names []string
	for line := range strings.Lines(n.Run("ip", "-o", "link")) {
		// "2: eth0: <BROADCAST,...", for one half of a pair "3: v0@if4: <..."
		name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
		if name = strings.TrimSuffix(name, ":"); name != "lo" && !hostLink.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}
