package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// The metrics say of each worker whether it has an io_uring, as the log does of those that
// have none.
func TestMetricsOfWorkersAndPorts(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	const address = "127.0.0.1:9100"
	h.NS.Run("ip", "link", "set", "lo", "up")
	h.Start("--metrics-listen", address)
	c := h.Attach("c1", secured(api.SecurityOff))
	c.Socket(experimental).Send(ethernet(broadcast, c.MAC(), experimental, make([]byte, 46)...))
	h.Eventually("the frame is counted", func() bool { return h.Counters("c1").RxFrames > 0 })
	page := h.scrape(address)
	workers, err := h.Client.Workers(t.Context())
	if err != nil || len(workers) != 1 {
		t.Fatalf("the workers are %+v, %v, want one", workers, err)
	}
	ring := `vswitch_worker_io_uring{io="` + workers[0].IO + `",worker="0"} 1`
	if strings.Contains(h.Daemon.Output(), "no io_uring") {
		ring = `vswitch_worker_io_uring{io="plain",worker="0"} 0`
	}
	for _, want := range []string{ring, `vswitch_port_frames_total{direction="rx",port="c1",segment="bridge"} `} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics lack %s:\n%s", want, page)
		}
	}
}

// A forwarding table that is too small for its hosts is seen in the metrics.
func TestMetricsOfAFullForwardingTable(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	const address = "127.0.0.1:9100"
	h.NS.Run("ip", "link", "set", "lo", "up")
	h.Start("--metrics-listen", address, "--fdb-size", "8")
	c := h.Attach("c1", secured(api.SecurityOff))
	if page := h.scrape(address); !strings.Contains(page, "vswitch_fdb_evictions_total 0\n") {
		t.Errorf("want no evictions yet:\n%s", page)
	}
	s := c.Socket(experimental)
	for n := range 64 {
		source := net.HardwareAddr{2, 0, 0, 0, 1, byte(n)}
		s.Send(ethernet(broadcast, source, experimental, make([]byte, 46)...))
	}
	h.Eventually("hosts have given way to others", func() bool {
		return value(h.scrape(address), "vswitch_fdb_evictions_total") > 0
	})
}

// scrape is the page of metrics that the daemon serves at address in the host's namespace.
func (h *host) scrape(address string) string {
	h.Helper()
	var conn net.Conn
	var err error
	h.NS.Do(func() { conn, err = net.DialTimeout("tcp4", address, lab.Patience) })
	if err != nil {
		h.Fatal(err)
	}
	defer conn.Close()
	request, err := http.NewRequest(http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		h.Fatal(err)
	}
	request.Close = true
	if err := request.Write(conn); err != nil {
		h.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		h.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		h.Fatal(err)
	}
	return string(page)
}
