package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxAnswer bounds, in bytes, what a client reads of one answer; a full
// forwarding table is a tenth of it.
const maxAnswer = 64 << 20

// Client is a [Backend] that asks a daemon over its unix socket. Errors of the
// daemon come as [*Error] with the daemon's kind and words. It is safe for
// concurrent use.
type Client struct {
	socket  string
	timeout time.Duration
	http    *http.Client
}

var _ Backend = (*Client)(nil)

// UnreachableError says that nothing serves on the socket.
type UnreachableError struct {
	Socket string
	Err    error // of connect(2)
}

// Error names the socket and the reason.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach vswitchd on %s: %v", e.Socket, e.Err)
}

// Unwrap returns the reason.
func (e *UnreachableError) Unwrap() error { return e.Err }

// ClientOption changes how a [Client] works.
type ClientOption func(*Client)

// WithTransport has every request and its answer pass through what wrap makes of the client's
// own transport, so that the caller can trace or check them.
func WithTransport(wrap func(http.RoundTripper) http.RoundTripper) ClientOption {
	return func(c *Client) { c.http.Transport = wrap(c.http.Transport) }
}

// NewClient returns a client of the daemon on socket that waits at most timeout for
// each answer; 0 waits as long as the context allows. It does not connect yet.
func NewClient(socket string, timeout time.Duration, options ...ClientOption) *Client {
	c := &Client{socket: socket, timeout: timeout, http: &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer(socket),
			MaxIdleConns:           1,
			IdleConnTimeout:        idleTimeout / 2, // before the server closes it
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, option := range options {
		option(c)
	}
	return c
}

// Close gives up the idle connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Version implements [Backend].
func (c *Client) Version(ctx context.Context) (Version, error) {
	return call[Version](ctx, c, http.MethodGet, "/v1/version", nil)
}

// AddSegment implements [Backend].
func (c *Client) AddSegment(ctx context.Context, spec SegmentSpec) (Segment, error) {
	return call[Segment](ctx, c, http.MethodPost, "/v1/segments", spec)
}

// Segments implements [Backend].
func (c *Client) Segments(ctx context.Context) ([]Segment, error) {
	return call[[]Segment](ctx, c, http.MethodGet, "/v1/segments", nil)
}

// Segment implements [Backend].
func (c *Client) Segment(ctx context.Context, ref string) (Segment, error) {
	return callRef[Segment](ctx, c, http.MethodGet, "segment", ref, "", nil)
}

// Inspect returns a segment in the shape of "docker network inspect".
func (c *Client) Inspect(ctx context.Context, ref string) (Inspect, error) {
	return callRef[Inspect](ctx, c, http.MethodGet, "segment", ref, "/inspect", nil)
}

// UpdateSegment implements [Backend].
func (c *Client) UpdateSegment(ctx context.Context, ref string, update SegmentUpdate) (Segment, error) {
	return callRef[Segment](ctx, c, http.MethodPatch, "segment", ref, "", update)
}

// DeleteSegment implements [Backend].
func (c *Client) DeleteSegment(ctx context.Context, ref string, force bool) (Segment, error) {
	return callRef[Segment](ctx, c, http.MethodDelete, "segment", ref, "?force="+strconv.FormatBool(force), nil)
}

// AddPort implements [Backend].
func (c *Client) AddPort(ctx context.Context, spec PortSpec) (Port, error) {
	return call[Port](ctx, c, http.MethodPost, "/v1/ports", spec)
}

// Ports implements [Backend].
func (c *Client) Ports(ctx context.Context, segment string) ([]Port, error) {
	return call[[]Port](ctx, c, http.MethodGet, "/v1/ports"+bySegment(segment), nil)
}

// Port implements [Backend].
func (c *Client) Port(ctx context.Context, ref string) (Port, error) {
	return callRef[Port](ctx, c, http.MethodGet, "port", ref, "", nil)
}

// UpdatePort implements [Backend].
func (c *Client) UpdatePort(ctx context.Context, ref string, update PortUpdate) (Port, error) {
	return callRef[Port](ctx, c, http.MethodPatch, "port", ref, "", update)
}

// DeletePort implements [Backend].
func (c *Client) DeletePort(ctx context.Context, ref string) (Port, error) {
	return callRef[Port](ctx, c, http.MethodDelete, "port", ref, "", nil)
}

// Publish implements [Backend].
func (c *Client) Publish(ctx context.Context, port string, spec PublishSpec) (Published, error) {
	return callRef[Published](ctx, c, http.MethodPost, "port", port, "/published", spec)
}

// Published implements [Backend].
func (c *Client) Published(ctx context.Context, segment string) ([]Published, error) {
	return call[[]Published](ctx, c, http.MethodGet, "/v1/published"+bySegment(segment), nil)
}

// Unpublish implements [Backend].
func (c *Client) Unpublish(ctx context.Context, port string, key PublishedKey) (Published, error) {
	q := url.Values{"host_ports": {key.HostPorts}}
	if key.HostIP != "" {
		q.Set("host_ip", key.HostIP)
	}
	if key.Protocol != "" {
		q.Set("protocol", key.Protocol)
	}
	return callRef[Published](ctx, c, http.MethodDelete, "port", port, "/published?"+q.Encode(), nil)
}

// FDB implements [Backend].
func (c *Client) FDB(ctx context.Context, segment string) ([]FDBEntry, error) {
	return call[[]FDBEntry](ctx, c, http.MethodGet, "/v1/fdb"+bySegment(segment), nil)
}

// AddFDB implements [Backend].
func (c *Client) AddFDB(ctx context.Context, segment string, spec FDBSpec) (FDBEntry, error) {
	return callRef[FDBEntry](ctx, c, http.MethodPost, "segment", segment, "/fdb", spec)
}

// DeleteFDB implements [Backend]; mac may have any form of [net.ParseMAC].
func (c *Client) DeleteFDB(ctx context.Context, segment, mac string) (FDBEntry, error) {
	mac, err := canonicalMAC(mac)
	if err != nil {
		return FDBEntry{}, err
	}
	return callRef[FDBEntry](ctx, c, http.MethodDelete, "segment", segment, "/fdb/"+mac, nil)
}

// FlushFDB implements [Backend].
func (c *Client) FlushFDB(ctx context.Context, segment string, flush FDBFlush) (FDBFlushed, error) {
	return callRef[FDBFlushed](ctx, c, http.MethodPost, "segment", segment, "/fdb/flush", flush)
}

// Rules implements [Backend].
func (c *Client) Rules(ctx context.Context, segment string) ([]Rule, error) {
	return call[[]Rule](ctx, c, http.MethodGet, "/v1/rules"+bySegment(segment), nil)
}

// AddRule implements [Backend].
func (c *Client) AddRule(ctx context.Context, segment string, spec RuleSpec) (Rule, error) {
	return callRef[Rule](ctx, c, http.MethodPost, "segment", segment, "/rules", spec)
}

// DeleteRule implements [Backend].
func (c *Client) DeleteRule(ctx context.Context, segment, ref string) (Rule, error) {
	if err := validateRef("rule", ref); err != nil {
		return Rule{}, err
	}
	return callRef[Rule](ctx, c, http.MethodDelete, "segment", segment, "/rules/"+ref, nil)
}

// ARP implements [Backend].
func (c *Client) ARP(ctx context.Context, segment string) ([]Binding, error) {
	return call[[]Binding](ctx, c, http.MethodGet, "/v1/arp"+bySegment(segment), nil)
}

// Pools implements [Backend].
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	return call[[]Pool](ctx, c, http.MethodGet, "/v1/pools", nil)
}

// ReclaimPool implements [Backend].
func (c *Client) ReclaimPool(ctx context.Context, ref string) (Pool, error) {
	return callRef[Pool](ctx, c, http.MethodDelete, "pool", ref, "", nil)
}

func bySegment(segment string) string {
	if segment == "" {
		return ""
	}
	return "?segment=" + url.QueryEscape(segment)
}

// callRef calls a route below one segment or port. The ref is checked here too,
// because one such as ".." would name another route.
func callRef[T any](ctx context.Context, c *Client, method, what, ref, rest string, body any) (T, error) {
	if err := validateRef(what, ref); err != nil {
		var none T
		return none, err
	}
	return call[T](ctx, c, method, "/v1/"+what+"s/"+ref+rest, body)
}

// call sends body, when it is not nil, and decodes the answer.
func call[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var answer T
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	req, err := newRequest(ctx, method, path, body)
	if err != nil {
		return answer, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer, c.transportError(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer, c.transportError(err)
	}
	if len(data) > maxAnswer {
		return answer, Internalf("answer of vswitchd on %s is over %d bytes: is it vswitchd?", c.socket, maxAnswer)
	}
	return answer, c.decode(resp, data, &answer)
}

func newRequest(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var r io.Reader
	if body != nil {
		var data bytes.Buffer
		if err := encode(&data, body); err != nil {
			return nil, Internalf("encoding the request: %w", err)
		}
		r = &data
	}
	// The host is never looked up; HTTP wants one.
	req, err := http.NewRequestWithContext(ctx, method, "http://vswitchd"+path, r)
	if err != nil {
		return nil, Invalidf("request %s %s: %w", method, path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// decode reads a successful answer into v, or returns the problem as an error.
func (c *Client) decode(resp *http.Response, data []byte, v any) error {
	contentType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode/100 != 2 {
		var p problem
		if contentType != problemContentType || json.Unmarshal(data, &p) != nil || p.Detail == "" && p.Title == "" {
			return Internalf("vswitchd on %s answered %d %s without a problem document: is it vswitchd?",
				c.socket, resp.StatusCode, http.StatusText(resp.StatusCode))
		}
		return p.asError(resp.StatusCode)
	}
	if raw, ok := v.(*rawBody); ok && contentType == rawContentType {
		*raw = data
		return nil
	}
	if contentType != "application/json" {
		return Internalf("vswitchd on %s answered with content type %q instead of JSON: is it vswitchd?", c.socket, clip(contentType))
	}
	if err := json.Unmarshal(data, v); err != nil {
		return Internalf("vswitchd on %s answered with JSON of another shape: %w", c.socket, err)
	}
	return nil
}

// transportError says in one line why there is no answer.
func (c *Client) transportError(err error) error {
	if e, ok := errors.AsType[*UnreachableError](err); ok && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return &Error{Kind: Unavailable, Detail: e.Error(), cause: e}
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) && c.timeout > 0:
		detail := fmt.Sprintf("vswitchd on %s did not answer within %v: see its log or allow it more time", c.socket, c.timeout)
		return &Error{Kind: Unavailable, Detail: detail, cause: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Unavailablef("vswitchd on %s closed the connection without a whole answer: see its log", c.socket)
	}
	return Unavailablef("asking vswitchd on %s: %w", c.socket, err)
}
