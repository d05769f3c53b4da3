package view

import (
	"context"

	"vswitch/api"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/fdb"
)

// Reader is the part of [api.Backend] that lists and shows. It answers from the current snapshot
// and waits for no change under way.
type Reader struct {
	Current func() *Snapshot
	Switch  func() *vswitch.Switch
}

// Segments implements [api.Backend].
func (r Reader) Segments(context.Context) ([]api.Segment, error) {
	now := r.Current()
	list := make([]api.Segment, 0, len(now.Segments))
	for _, s := range now.Segments {
		list = append(list, s.View(now.Way.Beyond()))
	}
	return list, nil
}

// Segment implements [api.Backend].
func (r Reader) Segment(_ context.Context, ref string) (api.Segment, error) {
	now := r.Current()
	s, err := now.Segment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	return s.View(now.Way.Beyond()), nil
}

// Ports implements [api.Backend].
func (r Reader) Ports(_ context.Context, segment string) ([]api.Port, error) {
	ports, err := r.Current().portsNamed(segment)
	if err != nil {
		return nil, err
	}
	list := make([]api.Port, 0, len(ports))
	for _, p := range ports {
		list = append(list, p.View())
	}
	return list, nil
}

// Port implements [api.Backend].
func (r Reader) Port(_ context.Context, ref string) (api.Port, error) {
	p, err := r.Current().Port(ref)
	if err != nil {
		return api.Port{}, err
	}
	return p.View(), nil
}

// Published implements [api.Backend].
func (r Reader) Published(_ context.Context, segment string) ([]api.Published, error) {
	now := r.Current()
	ports, err := now.portsNamed(segment)
	if err != nil {
		return nil, err
	}
	list := []api.Published{}
	for _, p := range ports {
		for _, q := range p.Published {
			list = append(list, p.PublishedView(q, now.Way.Problem))
		}
	}
	return list, nil
}

// Rules implements [api.Backend].
func (r Reader) Rules(_ context.Context, segment string) ([]api.Rule, error) {
	segments, err := r.Current().segmentsNamed(segment)
	if err != nil {
		return nil, err
	}
	list := []api.Rule{}
	for _, s := range segments {
		for i := range s.Record.Rules {
			list = append(list, s.RuleView(i))
		}
	}
	return list, nil
}

// Pools implements [api.Backend] and [api.Pools].
func (r Reader) Pools(context.Context) ([]api.Pool, error) {
	now := r.Current()
	list := make([]api.Pool, 0, len(now.Pools))
	for _, p := range now.Pools {
		list = append(list, p.View())
	}
	return list, nil
}

// GatewayName is what listings call the port that a segment's gateway is.
const GatewayName = "gateway"

// entryKinds are the names of the kinds of entry.
var entryKinds = map[fdb.Kind]api.FDBEntryKind{fdb.Learned: api.Dynamic, fdb.Own: api.Own, fdb.Static: api.Static}

// FDB implements [api.Backend].
func (r Reader) FDB(_ context.Context, segment string) ([]api.FDBEntry, error) {
	segments, err := r.Current().segmentsNamed(segment)
	if err != nil {
		return nil, err
	}
	list := []api.FDBEntry{}
	for _, s := range segments {
		list = append(list, s.entries(r.Switch())...)
	}
	return list, nil
}

// Entry returns the entry of a segment for a MAC; the zero value: it has none.
func (s *Segment) Entry(sw *vswitch.Switch, mac frame.MAC) api.FDBEntry {
	for _, e := range s.entries(sw) {
		if e.MAC == mac {
			return e
		}
	}
	return api.FDBEntry{}
}

// entries lists the segment's part of the forwarding table. Ports have the names of today; one
// of the switch keeps its first. Those of a port that is just being added or removed are left out.
func (s *Segment) entries(sw *vswitch.Switch) []api.FDBEntry {
	names := make(map[Place]string, len(s.Ports))
	for _, p := range s.Ports {
		names[p.Place] = p.Record.Name
	}
	var list []api.FDBEntry
	for _, e := range sw.Entries(s.Place) {
		v := api.FDBEntry{
			Segment: s.Record.Name, MAC: e.MAC, Port: names[e.Port],
			Kind: entryKinds[e.Kind], AgeSeconds: int(e.Age),
		}
		switch {
		case e.Port.Gateway():
			v.Port = GatewayName
		case e.Port.Host():
			v.Port = e.Port.Name()
		case v.Port == "":
			continue
		}
		list = append(list, v)
	}
	return list
}

// ARP implements [api.Backend].
func (r Reader) ARP(_ context.Context, segment string) ([]api.Binding, error) {
	segments, err := r.Current().segmentsNamed(segment)
	if err != nil {
		return nil, err
	}
	list := []api.Binding{}
	for _, s := range segments {
		for _, b := range s.Bindings.Bindings() {
			list = append(list, api.Binding{
				Segment: s.Record.Name, IP: b.IP, MAC: b.MAC, Port: b.Port, Kind: api.BindingKind(b.Kind.String()),
			})
		}
	}
	return list, nil
}
