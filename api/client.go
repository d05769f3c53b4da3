package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
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
	asks    *HTTPClient // by http
}

var _ Backend = (*Client)(nil)

// server is where requests go. It is never looked up: the transport connects to the socket.
const server = "http://vswitchd/"

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

// SocketClientOption changes how a [Client] works.
type SocketClientOption func(*Client)

// WithTransport has every request and its answer pass through what wrap makes of the client's
// own transport, so that the caller can trace or check them.
func WithTransport(wrap func(http.RoundTripper) http.RoundTripper) SocketClientOption {
	return func(c *Client) { c.http.Transport = wrap(c.http.Transport) }
}

// NewSocketClient returns a client of the daemon on socket that waits at most timeout for
// each answer; 0 waits as long as the context allows. It does not connect yet.
func NewSocketClient(socket string, timeout time.Duration, options ...SocketClientOption) *Client {
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
	c.asks = &HTTPClient{Server: server, Client: c.http}
	return c
}

// Close gives up the idle connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ask sends a request and decodes the answer.
func ask[T any](
	ctx context.Context, c *Client, send func(context.Context) (*http.Response, error),
) (T, error) {
	var answer T
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	resp, err := send(ctx)
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

// rawBody is the body of an answer that is no JSON.
type rawBody []byte

// decode reads a successful answer into v, or returns the problem as an error.
func (c *Client) decode(resp *http.Response, data []byte, v any) error {
	contentType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode/100 != 2 {
		var p Problem
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
