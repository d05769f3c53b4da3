package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// Version implements [Backend].
func (c *Client) Version(ctx context.Context) (Version, error) {
	return askFor[Version](ctx, c, c.asks.GetVersion)
}

// Workers implements [Backend].
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	return askFor[[]Worker](ctx, c, c.asks.ListWorkers)
}

// Upgrade implements [Backend].
func (c *Client) Upgrade(ctx context.Context, spec UpgradeSpec) error {
	_, err := askBody[Version](ctx, c, c.asks.UpgradeWithBody, spec)
	return err
}

// Upgrades implements [Backend].
func (c *Client) Upgrades(ctx context.Context) ([]Upgrade, error) {
	return askFor[[]Upgrade](ctx, c, c.asks.ListUpgrades)
}

// Backup implements [Backend].
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	copied, err := askFor[rawBody](ctx, c, c.asks.Backup)
	if err != nil {
		return err
	}
	_, err = w.Write(copied)
	return err
}

// AddSegment implements [Backend].
func (c *Client) AddSegment(ctx context.Context, spec SegmentSpec) (Segment, error) {
	return askBody[Segment](ctx, c, c.asks.AddSegmentWithBody, spec)
}

// Segments implements [Backend].
func (c *Client) Segments(ctx context.Context) ([]Segment, error) {
	return askFor[[]Segment](ctx, c, c.asks.ListSegments)
}

// Segment implements [Backend].
func (c *Client) Segment(ctx context.Context, ref string) (Segment, error) {
	return askAbout[Segment](ctx, c, "segment", ref, c.asks.GetSegment)
}

// Inspect returns a segment in the shape of "docker network inspect".
func (c *Client) Inspect(ctx context.Context, ref string) (Inspect, error) {
	return askAbout[Inspect](ctx, c, "segment", ref, c.asks.InspectSegment)
}

// UpdateSegment implements [Backend].
func (c *Client) UpdateSegment(
	ctx context.Context, ref string, update SegmentUpdate,
) (Segment, error) {
	return askAboutBody[Segment](ctx, c, "segment", ref, c.asks.UpdateSegmentWithBody, update)
}

// DeleteSegment implements [Backend].
func (c *Client) DeleteSegment(ctx context.Context, ref string, force bool) (Segment, error) {
	params := &DeleteSegmentParams{Force: force}
	return askAboutWith[Segment](ctx, c, "segment", ref, c.asks.DeleteSegment, params)
}

// AddPort implements [Backend].
func (c *Client) AddPort(ctx context.Context, spec PortSpec) (Port, error) {
	return askBody[Port](ctx, c, c.asks.AddPortWithBody, spec)
}

// Ports implements [Backend].
func (c *Client) Ports(ctx context.Context, segment string) ([]Port, error) {
	return askWith[[]Port](ctx, c, c.asks.ListPorts, &ListPortsParams{Segment: filter(segment)})
}

// Port implements [Backend].
func (c *Client) Port(ctx context.Context, ref string) (Port, error) {
	return askAbout[Port](ctx, c, "port", ref, c.asks.GetPort)
}

// UpdatePort implements [Backend].
func (c *Client) UpdatePort(ctx context.Context, ref string, update PortUpdate) (Port, error) {
	return askAboutBody[Port](ctx, c, "port", ref, c.asks.UpdatePortWithBody, update)
}

// DeletePort implements [Backend].
func (c *Client) DeletePort(ctx context.Context, ref string) (Port, error) {
	return askAbout[Port](ctx, c, "port", ref, c.asks.DeletePort)
}

// Publish implements [Backend].
func (c *Client) Publish(ctx context.Context, port string, spec PublishSpec) (Published, error) {
	return askAboutBody[Published](ctx, c, "port", port, c.asks.PublishWithBody, spec)
}

// Published implements [Backend].
func (c *Client) Published(ctx context.Context, segment string) ([]Published, error) {
	params := &ListPublishedParams{Segment: filter(segment)}
	return askWith[[]Published](ctx, c, c.asks.ListPublished, params)
}

// Unpublish implements [Backend].
func (c *Client) Unpublish(
	ctx context.Context, port string, key PublishedKey,
) (Published, error) {
	params := &UnpublishParams{HostPorts: key.HostPorts.String()}
	if key.HostIP.IsValid() {
		params.HostIP = new(key.HostIP.String())
	}
	if key.Protocol != "" {
		params.Protocol = &key.Protocol
	}
	return askAboutWith[Published](ctx, c, "port", port, c.asks.Unpublish, params)
}

// FDB implements [Backend].
func (c *Client) FDB(ctx context.Context, segment string) ([]FDBEntry, error) {
	return askWith[[]FDBEntry](ctx, c, c.asks.ListFDB, &ListFDBParams{Segment: filter(segment)})
}

// AddFDB implements [Backend].
func (c *Client) AddFDB(ctx context.Context, segment string, spec FDBSpec) (FDBEntry, error) {
	return askAboutBody[FDBEntry](ctx, c, "segment", segment, c.asks.AddFDBWithBody, spec)
}

// DeleteFDB implements [Backend].
func (c *Client) DeleteFDB(ctx context.Context, segment string, mac MAC) (FDBEntry, error) {
	return askAboutWith[FDBEntry](ctx, c, "segment", segment, c.asks.DeleteFDB, mac.String())
}

// FlushFDB implements [Backend].
func (c *Client) FlushFDB(ctx context.Context, segment string, flush FDBFlush) (FDBFlushed, error) {
	return askAboutBody[FDBFlushed](ctx, c, "segment", segment, c.asks.FlushFDBWithBody, flush)
}

// Rules implements [Backend].
func (c *Client) Rules(ctx context.Context, segment string) ([]Rule, error) {
	return askWith[[]Rule](ctx, c, c.asks.ListRules, &ListRulesParams{Segment: filter(segment)})
}

// AddRule implements [Backend].
func (c *Client) AddRule(ctx context.Context, segment string, spec RuleSpec) (Rule, error) {
	return askAboutBody[Rule](ctx, c, "segment", segment, c.asks.AddRuleWithBody, spec)
}

// DeleteRule implements [Backend].
func (c *Client) DeleteRule(ctx context.Context, segment, ref string) (Rule, error) {
	if err := validateRef("rule", ref); err != nil {
		return Rule{}, err
	}
	return askAboutWith[Rule](ctx, c, "segment", segment, c.asks.DeleteRule, ref)
}

// ARP implements [Backend].
func (c *Client) ARP(ctx context.Context, segment string) ([]Binding, error) {
	return askWith[[]Binding](ctx, c, c.asks.ListARP, &ListARPParams{Segment: filter(segment)})
}

// Pools implements [Backend].
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	return askFor[[]Pool](ctx, c, c.asks.ListPools)
}

// ReclaimPool implements [Backend].
func (c *Client) ReclaimPool(ctx context.Context, ref string) (Pool, error) {
	return askAbout[Pool](ctx, c, "pool", ref, c.asks.ReclaimPool)
}

// filter is the parameter that narrows a list to one segment, or, if it is empty, none.
func filter(segment string) *SegmentFilter {
	if segment == "" {
		return nil
	}
	return &segment
}

// askFor asks for what needs no more words.
func askFor[T any](
	ctx context.Context, c *Client,
	send func(context.Context, ...RequestEditorFn) (*http.Response, error),
) (T, error) {
	return ask[T](ctx, c, func(ctx context.Context) (*http.Response, error) { return send(ctx) })
}

// askWith asks with parameters.
func askWith[T, With any](
	ctx context.Context, c *Client,
	send func(context.Context, With, ...RequestEditorFn) (*http.Response, error), with With,
) (T, error) {
	return ask[T](ctx, c, func(ctx context.Context) (*http.Response, error) { return send(ctx, with) })
}

// askAbout asks for what is below one object. The ref is checked here too, because one such as ".."
// would name another route.
func askAbout[T any](
	ctx context.Context, c *Client, what, ref string,
	send func(context.Context, string, ...RequestEditorFn) (*http.Response, error),
) (T, error) {
	if err := validateRef(what, ref); err != nil {
		var none T
		return none, err
	}
	return askWith[T](ctx, c, send, ref)
}

// askAboutWith is askAbout with parameters.
func askAboutWith[T, With any](
	ctx context.Context, c *Client, what, ref string,
	send func(context.Context, string, With, ...RequestEditorFn) (*http.Response, error), with With,
) (T, error) {
	return askAbout[T](ctx, c, what, ref,
		func(ctx context.Context, ref string, _ ...RequestEditorFn) (*http.Response, error) {
			return send(ctx, ref, with)
		})
}

// askBody asks with a body in JSON. The generated client would write it with six bytes for each of
// <, > and &, which makes labels that are within their bounds a body that is not.
func askBody[T any](
	ctx context.Context, c *Client,
	send func(context.Context, string, io.Reader, ...RequestEditorFn) (*http.Response, error), v any,
) (T, error) {
	var body bytes.Buffer
	if err := encode(&body, v); err != nil {
		var none T
		return none, Internalf("encoding the request: %w", err)
	}
	return ask[T](ctx, c, func(ctx context.Context) (*http.Response, error) {
		return send(ctx, "application/json", &body)
	})
}

// askAboutBody is askAbout with a body in JSON.
func askAboutBody[T any](
	ctx context.Context, c *Client, what, ref string,
	send func(context.Context, string, string, io.Reader, ...RequestEditorFn) (*http.Response, error),
	v any,
) (T, error) {
	if err := validateRef(what, ref); err != nil {
		var none T
		return none, err
	}
	return askBody[T](ctx, c, func(
		ctx context.Context, contentType string, body io.Reader, _ ...RequestEditorFn,
	) (*http.Response, error) {
		return send(ctx, ref, contentType, body)
	}, v)
}
