package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"vswitch/api"
)

// fakeEngine answers the three requests of [engine] on a unix socket.
type fakeEngine struct {
	socket string
	events chan struct{} // sent to: something has changed

	mu       sync.Mutex
	networks []network // guarded by mu
}

func newFakeEngine(t *testing.T) *fakeEngine {
	t.Helper()
	dir, err := os.MkdirTemp("", "vs") // the name of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	e := &fakeEngine{socket: filepath.Join(dir, "docker.sock"), events: make(chan struct{})}
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: e}
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-served //nolint:errcheck // that it was closed
		os.RemoveAll(dir)
	})
	return e
}

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/events" {
		e.stream(w, r)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.URL.Path == "/networks" {
		_ = json.NewEncoder(w).Encode(e.networks)
		return
	}
	for _, n := range e.networks {
		if r.URL.Path == "/networks/"+n.ID {
			_ = json.NewEncoder(w).Encode(n)
			return
		}
	}
	http.NotFound(w, r)
}

func (e *fakeEngine) stream(w http.ResponseWriter, r *http.Request) {
	for {
		w.(http.Flusher).Flush()
		select {
		case <-e.events:
			fmt.Fprintln(w, `{"Type":"network","Action":"connect"}`)
		case <-r.Context().Done():
			return
		}
	}
}

// set changes the networks and says so.
func (e *fakeEngine) set(networks ...network) {
	e.mu.Lock()
	e.networks = networks
	e.mu.Unlock()
	e.events <- struct{}{}
}

func container(name, endpoint string) struct{ Name, EndpointID string } {
	return struct{ Name, EndpointID string }{name, endpoint}
}

func TestNamesAreLearnt(t *testing.T) {
	t.Parallel()
	engine := newFakeEngine(t)
	p, b := newPlugin(t)
	must(t, p, "/NetworkDriver.CreateNetwork", createNetwork(networkID, ``))
	must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(endpointID, "10.1.0.2/24", ``))
	must(t, p, "/NetworkDriver.CreateEndpoint", createEndpoint(otherID, "10.1.0.3/24", ``))
	b.Machine.AddNamespace("db")
	if _, err := b.AddPort(t.Context(), api.PortSpec{Name: "db", NetNS: "db"}); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- NewNames(engine.socket, b, slog.New(slog.DiscardHandler)).Run(ctx) }()
	engine.set(
		network{ID: otherID, Name: "of another driver"},
		network{
			ID: networkID, Name: "blue", Labels: map[string]string{"team": "net", "a = b": "cannot be a label"},
			Containers: map[string]struct{ Name, EndpointID string }{"1": container("web", endpointID), "2": container("db", otherID)},
		},
	)
	engine.await(t, func() bool {
		segment, _ := b.Segment(t.Context(), networkID)
		web, _ := b.Port(t.Context(), endpointID)
		db, _ := b.Port(t.Context(), otherID)
		return segment.Name == "blue" && segment.Labels["team"] == "net" && web.Name == "web" && db.Name == "db.blue"
	})
	engine.set(network{ID: networkID, Name: "blue", Containers: map[string]struct{ Name, EndpointID string }{"1": container("renamed", endpointID)}})
	engine.await(t, func() bool {
		web, _ := b.Port(t.Context(), endpointID)
		return web.Name == "renamed"
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// await looks after each event that was followed, until it is as wanted.
func (e *fakeEngine) await(t *testing.T, reached func() bool) {
	t.Helper()
	for !reached() {
		select {
		case e.events <- struct{}{}:
		case <-t.Context().Done():
			t.Fatal("never so")
		}
	}
}
