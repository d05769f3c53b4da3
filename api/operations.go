package api

import (
	"bytes"
	"cmp"
	"context"
	"net/netip"
)

// operations answers each of the document's operations from a backend. What they get is
// well-formed: bodies are read by UnmarshalJSON, paths and queries are checked before.
type operations struct{ Backend }

var _ StrictServerInterface = operations{}

// GetVersion implements [StrictServerInterface].
func (o operations) GetVersion(
	ctx context.Context, _ GetVersionRequestObject,
) (GetVersionResponseObject, error) {
	version, err := o.Version(ctx)
	return GetVersion200JSONResponse(version), err
}

// ListWorkers implements [StrictServerInterface].
func (o operations) ListWorkers(
	ctx context.Context, _ ListWorkersRequestObject,
) (ListWorkersResponseObject, error) {
	list, err := o.Workers(ctx)
	return ListWorkers200JSONResponse(list), err
}

// Upgrade implements [StrictServerInterface].
func (o operations) Upgrade(
	ctx context.Context, r UpgradeRequestObject,
) (UpgradeResponseObject, error) {
	before, err := o.Version(ctx)
	if err == nil {
		err = o.Backend.Upgrade(ctx, *r.Body)
	}
	return Upgrade200JSONResponse(before), err
}

// ListUpgrades implements [StrictServerInterface].
func (o operations) ListUpgrades(
	ctx context.Context, _ ListUpgradesRequestObject,
) (ListUpgradesResponseObject, error) {
	list, err := o.Upgrades(ctx)
	return ListUpgrades200JSONResponse(append([]Upgrade{}, list...)), err
}

// Backup implements [StrictServerInterface]. It begins to answer when it has all, since an
// error could not be told after that.
func (o operations) Backup(
	ctx context.Context, _ BackupRequestObject,
) (BackupResponseObject, error) {
	var copied bytes.Buffer
	err := o.Backend.Backup(ctx, &copied)
	return Backup200ApplicationOctetStreamResponse{
		Body: &copied, ContentLength: int64(copied.Len()),
	}, err
}

// ListSegments implements [StrictServerInterface].
func (o operations) ListSegments(
	ctx context.Context, _ ListSegmentsRequestObject,
) (ListSegmentsResponseObject, error) {
	list, err := o.Segments(ctx)
	return ListSegments200JSONResponse(sorted(list,
		func(a, b Segment) int { return a.Created.Compare(b.Created) },
		func(a, b Segment) int { return cmp.Compare(a.Name, b.Name) })), err
}

// AddSegment implements [StrictServerInterface].
func (o operations) AddSegment(
	ctx context.Context, r AddSegmentRequestObject,
) (AddSegmentResponseObject, error) {
	segment, err := o.Backend.AddSegment(ctx, *r.Body)
	headers := AddSegment201ResponseHeaders{Location: "/v1/segments/" + segment.ID}
	return AddSegment201JSONResponse{Body: segment, Headers: headers}, err
}

// GetSegment implements [StrictServerInterface].
func (o operations) GetSegment(
	ctx context.Context, r GetSegmentRequestObject,
) (GetSegmentResponseObject, error) {
	segment, err := o.Segment(ctx, r.Segment)
	return GetSegment200JSONResponse(segment), err
}

// UpdateSegment implements [StrictServerInterface].
func (o operations) UpdateSegment(
	ctx context.Context, r UpdateSegmentRequestObject,
) (UpdateSegmentResponseObject, error) {
	segment, err := o.Backend.UpdateSegment(ctx, r.Segment, *r.Body)
	return UpdateSegment200JSONResponse(segment), err
}

// DeleteSegment implements [StrictServerInterface].
func (o operations) DeleteSegment(
	ctx context.Context, r DeleteSegmentRequestObject,
) (DeleteSegmentResponseObject, error) {
	segment, err := o.Backend.DeleteSegment(ctx, r.Segment, r.Params.Force)
	return DeleteSegment200JSONResponse(segment), err
}

// InspectSegment implements [StrictServerInterface].
func (o operations) InspectSegment(
	ctx context.Context, r InspectSegmentRequestObject,
) (InspectSegmentResponseObject, error) {
	segment, err := o.Segment(ctx, r.Segment)
	if err != nil {
		return nil, err
	}
	ports, err := o.Ports(ctx, segment.ID)
	return InspectSegment200JSONResponse(NewInspect(segment, ports)), err
}

// ListPorts implements [StrictServerInterface].
func (o operations) ListPorts(
	ctx context.Context, r ListPortsRequestObject,
) (ListPortsResponseObject, error) {
	list, err := o.Ports(ctx, value(r.Params.Segment))
	for i := range list {
		list[i] = complete(list[i])
	}
	return ListPorts200JSONResponse(sorted(list,
		func(a, b Port) int { return a.Created.Compare(b.Created) },
		func(a, b Port) int { return cmp.Compare(a.Name, b.Name) })), err
}

// AddPort implements [StrictServerInterface].
func (o operations) AddPort(
	ctx context.Context, r AddPortRequestObject,
) (AddPortResponseObject, error) {
	port, err := o.Backend.AddPort(ctx, *r.Body)
	headers := AddPort201ResponseHeaders{Location: "/v1/ports/" + port.ID}
	return AddPort201JSONResponse{Body: complete(port), Headers: headers}, err
}

// GetPort implements [StrictServerInterface].
func (o operations) GetPort(
	ctx context.Context, r GetPortRequestObject,
) (GetPortResponseObject, error) {
	port, err := o.Port(ctx, r.Port)
	return GetPort200JSONResponse(complete(port)), err
}

// UpdatePort implements [StrictServerInterface].
func (o operations) UpdatePort(
	ctx context.Context, r UpdatePortRequestObject,
) (UpdatePortResponseObject, error) {
	port, err := o.Backend.UpdatePort(ctx, r.Port, *r.Body)
	return UpdatePort200JSONResponse(complete(port)), err
}

// DeletePort implements [StrictServerInterface].
func (o operations) DeletePort(
	ctx context.Context, r DeletePortRequestObject,
) (DeletePortResponseObject, error) {
	port, err := o.Backend.DeletePort(ctx, r.Port)
	return DeletePort200JSONResponse(complete(port)), err
}

// complete makes an empty list and an empty table arrive as such and not as null.
func complete(p Port) Port {
	if p.IPs == nil {
		p.IPs = []netip.Prefix{}
	}
	if p.Counters.Drops == nil {
		p.Counters.Drops = map[string]uint64{}
	}
	return p
}

// ListPublished implements [StrictServerInterface].
func (o operations) ListPublished(
	ctx context.Context, r ListPublishedRequestObject,
) (ListPublishedResponseObject, error) {
	list, err := o.Published(ctx, value(r.Params.Segment))
	return ListPublished200JSONResponse(sorted(list,
		func(a, b Published) int { return cmp.Compare(a.Port, b.Port) })), err
}

// Publish implements [StrictServerInterface].
func (o operations) Publish(
	ctx context.Context, r PublishRequestObject,
) (PublishResponseObject, error) {
	published, err := o.Backend.Publish(ctx, r.Port, *r.Body)
	return Publish201JSONResponse(published), err
}

// Unpublish implements [StrictServerInterface].
func (o operations) Unpublish(
	ctx context.Context, r UnpublishRequestObject,
) (UnpublishResponseObject, error) {
	key, err := parsePublishedKey(value(r.Params.HostIP), r.Params.HostPorts, value(r.Params.Protocol))
	if err != nil {
		return nil, err
	}
	published, err := o.Backend.Unpublish(ctx, r.Port, key)
	return Unpublish200JSONResponse(published), err
}

// ListFDB implements [StrictServerInterface].
func (o operations) ListFDB(
	ctx context.Context, r ListFDBRequestObject,
) (ListFDBResponseObject, error) {
	list, err := o.FDB(ctx, value(r.Params.Segment))
	return ListFDB200JSONResponse(sorted(list,
		func(a, b FDBEntry) int { return cmp.Compare(a.Segment, b.Segment) },
		func(a, b FDBEntry) int { return cmp.Compare(a.MAC.Uint64(), b.MAC.Uint64()) })), err
}

// AddFDB implements [StrictServerInterface].
func (o operations) AddFDB(
	ctx context.Context, r AddFDBRequestObject,
) (AddFDBResponseObject, error) {
	entry, err := o.Backend.AddFDB(ctx, r.Segment, *r.Body)
	return AddFDB201JSONResponse(entry), err
}

// DeleteFDB implements [StrictServerInterface].
func (o operations) DeleteFDB(
	ctx context.Context, r DeleteFDBRequestObject,
) (DeleteFDBResponseObject, error) {
	mac, err := ParseMAC(r.MAC)
	if err != nil {
		return nil, err
	}
	entry, err := o.Backend.DeleteFDB(ctx, r.Segment, mac)
	return DeleteFDB200JSONResponse(entry), err
}

// FlushFDB implements [StrictServerInterface].
func (o operations) FlushFDB(
	ctx context.Context, r FlushFDBRequestObject,
) (FlushFDBResponseObject, error) {
	flushed, err := o.Backend.FlushFDB(ctx, r.Segment, *r.Body)
	return FlushFDB200JSONResponse(flushed), err
}

// ListRules implements [StrictServerInterface].
func (o operations) ListRules(
	ctx context.Context, r ListRulesRequestObject,
) (ListRulesResponseObject, error) {
	list, err := o.Rules(ctx, value(r.Params.Segment))
	return ListRules200JSONResponse(sorted(list,
		func(a, b Rule) int { return cmp.Compare(a.Segment, b.Segment) },
		func(a, b Rule) int { return cmp.Compare(a.Position, b.Position) })), err
}

// AddRule implements [StrictServerInterface].
func (o operations) AddRule(
	ctx context.Context, r AddRuleRequestObject,
) (AddRuleResponseObject, error) {
	rule, err := o.Backend.AddRule(ctx, r.Segment, *r.Body)
	return AddRule201JSONResponse(rule), err
}

// DeleteRule implements [StrictServerInterface].
func (o operations) DeleteRule(
	ctx context.Context, r DeleteRuleRequestObject,
) (DeleteRuleResponseObject, error) {
	rule, err := o.Backend.DeleteRule(ctx, r.Segment, r.Rule)
	return DeleteRule200JSONResponse(rule), err
}

// ListARP implements [StrictServerInterface].
func (o operations) ListARP(
	ctx context.Context, r ListARPRequestObject,
) (ListARPResponseObject, error) {
	list, err := o.ARP(ctx, value(r.Params.Segment))
	return ListARP200JSONResponse(sorted(list,
		func(a, b Binding) int { return cmp.Compare(a.Segment, b.Segment) },
		func(a, b Binding) int { return a.IP.Compare(b.IP) })), err
}

// ListPools implements [StrictServerInterface].
func (o operations) ListPools(
	ctx context.Context, _ ListPoolsRequestObject,
) (ListPoolsResponseObject, error) {
	list, err := o.Pools(ctx)
	return ListPools200JSONResponse(sorted(list,
		func(a, b Pool) int { return a.Created.Compare(b.Created) },
		func(a, b Pool) int { return a.Subnet.Addr().Compare(b.Subnet.Addr()) })), err
}

// ReclaimPool implements [StrictServerInterface].
func (o operations) ReclaimPool(
	ctx context.Context, r ReclaimPoolRequestObject,
) (ReclaimPoolResponseObject, error) {
	pool, err := o.Backend.ReclaimPool(ctx, r.Pool)
	return ReclaimPool200JSONResponse(pool), err
}

// value is that of a parameter, the zero one if it was left out.
func value[T any](p *T) T {
	if p == nil {
		var none T
		return none
	}
	return *p
}
