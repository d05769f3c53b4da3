package docker

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// engine asks a Docker engine over its unix socket, without a version in the path,
// so that any engine answers as it likes best. The official client would bring a
// hundred packages along for these three requests.
type engine struct {
	http *http.Client
}

// Limits of what an engine may answer.
const (
	askTimeout = 10 * time.Second
	maxAnswer  = 32 << 20 // bytes
	maxEvent   = 1 << 20
)

func newEngine(socket string) *engine {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &engine{http: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1, IdleConnTimeout: askTimeout}}}
}

func (e *engine) close() { e.http.CloseIdleConnections() }

// network is what an engine tells of a network.
type network struct {
	ID         string `json:"Id"`
	Name       string
	Labels     map[string]string
	Containers map[string]struct{ Name, EndpointID string } // only of a single network
}

// networks lists all networks, without their containers.
func (e *engine) networks(ctx context.Context) ([]network, error) {
	return ask[[]network](ctx, e, "/networks")
}

// network tells of a single network.
func (e *engine) network(ctx context.Context, id string) (network, error) {
	return ask[network](ctx, e, "/networks/"+id)
}

func ask[T any](ctx context.Context, e *engine, path string) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := e.get(ctx, path)
	if err != nil {
		return answer, err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&answer); err != nil {
		return answer, fmt.Errorf("answer of the Docker engine to %s: %w", path, err)
	}
	return answer, nil
}

func (e *engine) get(ctx context.Context, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := e.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the Docker engine: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("the Docker engine answers %s to %s", response.Status, path)
	}
	return response.Body, nil
}

// events calls changed for each event of a network or container after which names
// may be others, and once at the beginning, until ctx or the stream ends.
func (e *engine) events(ctx context.Context, changed func()) error {
	filters := `{"type":["network","container"],"event":["create","connect","disconnect","rename","update","destroy"]}`
	body, err := e.get(ctx, "/events?filters="+url.QueryEscape(filters))
	if err != nil {
		return err
	}
	defer body.Close()
	changed()
	lines := bufio.NewScanner(body) // an event each; what it says is looked up
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		changed()
	}
	return fmt.Errorf("events of the Docker engine: %w", cmp.Or(lines.Err(), io.EOF))
}

// validName cuts a name of Docker's down to one that segments and ports may have;
// Docker's have the same letters but no bound.
func validName(name string) string {
	const most = 63
	name = strings.TrimPrefix(name, "/")
	return name[:min(most, len(name))]
}
