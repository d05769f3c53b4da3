package control

import (
	"context"
	"errors"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
)

// entries are the static entries of the forwarding table.
type entries struct{ *core }

// AddFDB implements [api.Backend].
func (es *entries) AddFDB(_ context.Context, ref string, spec api.FDBSpec) (api.FDBEntry, error) {
	es.lock()
	defer es.unlock()
	s, err := es.findSegment(ref)
	if err != nil {
		return api.FDBEntry{}, err
	}
	p, err := es.findPortOn(s, spec.Port)
	if err != nil {
		return api.FDBEntry{}, err
	}
	mac := spec.MAC
	if p.lost() {
		return api.FDBEntry{}, api.Conflictf("port %q is lost: %s; name a port that is not", p.record.Name, p.record.LostReason)
	}
	if es.ownerOf(s, mac) != "" { // even while the interface has another
		return api.FDBEntry{}, es.entryError(s, mac, vswitch.ErrInUse)
	}
	if err := es.sw.AddEntry(p.sw, mac); err != nil {
		return api.FDBEntry{}, es.entryError(s, mac, err)
	}
	if err := es.store.Apply(model.PutEntry(model.Entry{SegmentID: s.record.ID, MAC: mac, PortID: p.record.ID})); err != nil {
		es.logFailure("take back entry "+mac.String(), es.restoreEntry(s, mac))
		return api.FDBEntry{}, api.Internalf("store entry %s: %w", mac, err)
	}
	return api.FDBEntry{Segment: s.record.Name, MAC: mac, Port: p.record.Name, Kind: api.Static}, nil
}

// DeleteFDB implements [api.Backend].
func (es *entries) DeleteFDB(_ context.Context, ref string, mac frame.MAC) (api.FDBEntry, error) {
	es.lock()
	defer es.unlock()
	s, err := es.findSegment(ref)
	if err != nil {
		return api.FDBEntry{}, err
	}
	shown := es.segmentNow(s).Entry(es.sw, mac)
	if err := es.sw.RemoveEntry(s.sw, mac); err != nil {
		return api.FDBEntry{}, es.entryError(s, mac, err)
	}
	if err := es.store.Apply(model.DeleteEntry(s.record.ID, mac)); err != nil {
		es.logFailure("take back the end of entry "+mac.String(), es.restoreEntry(s, mac))
		return api.FDBEntry{}, api.Internalf("store the end of entry %s: %w", mac, err)
	}
	return shown, nil
}

// restoreEntry gives the switch the entry of mac that is stored, or none.
func (es *entries) restoreEntry(s *segment, mac frame.MAC) error {
	if e, found := es.store.State().Entry(s.record.ID, mac); found {
		return es.sw.AddEntry(es.allPorts[e.PortID].sw, mac)
	}
	if err := es.sw.RemoveEntry(s.sw, mac); !errors.Is(err, vswitch.ErrNoEntry) {
		return err
	}
	return nil
}

// FlushFDB implements [api.Backend].
func (es *entries) FlushFDB(_ context.Context, ref string, flush api.FDBFlush) (api.FDBFlushed, error) {
	es.lock()
	defer es.unlock()
	s, err := es.findSegment(ref)
	if err != nil {
		return api.FDBFlushed{}, err
	}
	var only *vswitch.Port
	if flush.Port != "" {
		p, err := es.findPortOn(s, flush.Port)
		if err != nil {
			return api.FDBFlushed{}, err
		}
		only = p.sw
	}
	return api.FDBFlushed{Flushed: es.sw.Flush(s.sw, only)}, nil
}

func (es *entries) entryError(s *segment, mac frame.MAC, err error) error {
	switch {
	case errors.Is(err, vswitch.ErrGroupMAC):
		return api.Invalidf("MAC %s: %w", mac, err)
	case errors.Is(err, vswitch.ErrInUse) && mac != s.mac:
		return api.Conflictf("MAC %s is port %q's own address on segment %q, whose entry lasts as long as the port", mac, es.ownerOf(s, mac), s.record.Name)
	case errors.Is(err, vswitch.ErrInUse):
		return api.Conflictf("MAC %s is the gateway's on segment %q: choose another", mac, s.record.Name)
	case errors.Is(err, vswitch.ErrNoEntry):
		return api.NotFoundf("MAC %s has no entry on segment %q: see vsctl list-fdb %s", mac, s.record.Name, s.record.Name)
	}
	return switchError(err)
}

// ownerOf is the name of the port whose own address mac is.
func (es *entries) ownerOf(s *segment, mac frame.MAC) string {
	for _, p := range es.portsOf(s) {
		if p.record.MAC == mac || p.now().MAC() == mac {
			return p.record.Name
		}
	}
	return ""
}
