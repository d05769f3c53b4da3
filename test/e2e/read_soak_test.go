package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/netns"
	"vswitch/test/lab"
)

// Bounds of reads while ports are added and removed, at the 99th percentile.
const (
	maxReadOfFew  = 50 * time.Millisecond // with 256 ports
	maxReadOfMany = 500 * time.Millisecond
)

// TestReadsOfManyPortsDuringChanges measures how long a list of the ports and a scrape of the metrics take
// while 200 more ports are added and removed again.
func TestReadsOfManyPortsDuringChanges(t *testing.T) {
	if soak(t, 0) == 0 {
		t.Skipf("takes minutes: run it with $%s set", soakVariable)
	}
	const address, more = "127.0.0.1:9100", 200
	h := newQuietHost(t)
	h.NS.Run("ip", "link", "set", "lo", "up")
	h.Start("--metrics-listen", address)
	ports := soakPorts(t)
	for n := range ports {
		h.Attach(fmt.Sprintf("c%04d", n))
	}
	others := make([]*lab.Container, more)
	for n := range others {
		others[n] = h.Container()
	}
	changed := make(chan error, 1)
	go func() { changed <- h.comeAndGo(others) }()
	// One that does not hold each answer against the API's document, which takes longer.
	client, scraper := api.NewSocketClient(h.Socket, lab.Patience), h.scraper()
	var lists, scrapes []time.Duration
	for done := false; !done; {
		lists = append(lists, took(t, func() error { _, err := client.Ports(t.Context(), ""); return err }))
		scrapes = append(scrapes, took(t, func() error { return fetch(t.Context(), scraper, "http://"+address+"/metrics") }))
		select {
		case err := <-changed:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
	}
	most := maxReadOfFew
	if ports > 256 {
		most = maxReadOfMany
	}
	t.Logf("%d ports, %d reads while %d more are added and removed; 50th and 99th percentile:\n"+
		"list-ports %v %v\nscrape     %v %v", ports, len(lists), more,
		percentile(lists, 50), percentile(lists, 99), percentile(scrapes, 50), percentile(scrapes, 99))
	if p := max(percentile(lists, 99), percentile(scrapes, 99)); p > most {
		t.Errorf("a read takes %v, want %v at most", p, most)
	}
}

// comeAndGo adds a port for each container, and removes them again.
func (h *host) comeAndGo(containers []*lab.Container) error {
	for n, c := range containers {
		spec := api.PortSpec{Name: fmt.Sprintf("more%04d", n), NetNS: c.Name()}
		if _, err := h.Client.AddPort(h.Context(), spec); err != nil {
			return err
		}
	}
	for n := range containers {
		if _, err := h.Client.DeletePort(h.Context(), fmt.Sprintf("more%04d", n)); err != nil {
			return err
		}
	}
	return nil
}

// scraper returns a client that connects from the host's namespace.
func (h *host) scraper() *http.Client {
	h.Helper()
	ref, err := netns.ParseRef(h.NS.Name())
	if err != nil {
		h.Fatal(err)
	}
	ns, err := netns.Open(ref)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = ns.Close() })
	transport := &http.Transport{
		DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
			err = ns.Do(func() error {
				conn, err = net.Dial(network, address)
				return err
			})
			return conn, err
		},
	}
	h.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func fetch(ctx context.Context, c *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := c.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func took(t *testing.T, do func() error) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	return time.Since(begin)
}

func percentile(values []time.Duration, p int) time.Duration {
	values = slices.Sorted(slices.Values(values))
	return values[min(len(values)*p/100, len(values)-1)].Round(10 * time.Microsecond)
}
