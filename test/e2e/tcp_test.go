package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/switch/drop"
	"vswitch/test/lab"
	"vswitch/test/lab/seed"
)

// The stream is large enough for the kernel to build super-frames of all sizes,
// and goes through segmentation offload in both containers.
func TestTCPStreamArrivesIntact(t *testing.T) {
	t.Parallel()
	const size = 256 << 20
	h := newHost(t)
	c1, c2 := h.Attach("c1"), h.Attach("c2")
	h.Eventually("the first port hears of the second one", func() bool { return h.Counters("c1").TxFrames > 0 })
	before1, before2 := h.Counters("c1"), h.Counters("c2")
	transfer(t, c1, c2, size)
	transfer(t, c2, c1, size)

	var c1Counts, c2Counts api.Counters
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("c1 %+v\nc2 %+v", c1Counts, c2Counts)
		}
	})
	h.Eventually("what left one port came to the other, at rest", func() bool {
		c1Counts, c2Counts = since(before1, h.Counters("c1")), since(before2, h.Counters("c2"))
		return sentTo(c1Counts, c2Counts) == meantFor(c2Counts) && sentTo(c2Counts, c1Counts) == meantFor(c1Counts)
	})
	for name, c := range map[string]api.Counters{"c1": c1Counts, "c2": c2Counts} {
		if c.RxBytes < size {
			t.Errorf("port %s: %d bytes received of a stream of %d", name, c.RxBytes, size)
		}
		if mean := c.RxBytes / c.RxFrames; mean <= 1514 {
			t.Errorf("port %s: %d bytes for each frame: no super-frames, so no offload", name, mean)
		}
		if sum := c.Forwarded + c.Flooded + c.Local + drops(c, true); c.RxFrames != sum {
			t.Errorf("port %s: %d frames received and %d accounted for: %+v", name, c.RxFrames, sum, c)
		}
	}
}

// transfer sends size random bytes over a connection.
func transfer(t *testing.T, from, to *lab.Container, size int64) {
	t.Helper()
	transferTo(t, from, to, to.Addr().String(), size)
}

// transferTo is transfer to one of the receiver's addresses.
func transferTo(t *testing.T, from, to *lab.Container, address string, size int64) {
	t.Helper()
	listener := lab.Inside(to, func() (net.Listener, error) { return net.Listen("tcp4", address+":0") })
	defer listener.Close()
	out := lab.Inside(from, func() (net.Conn, error) {
		return net.DialTimeout("tcp4", listener.Addr().String(), lab.Patience)
	})
	defer out.Close()
	in, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	// For a whole machine that stands still, not for slow ones.
	if err := in.SetReadDeadline(time.Now().Add(2 * lab.Patience)); err != nil {
		t.Fatal(err)
	}

	sent, received := sha256.New(), sha256.New()
	random := io.LimitReader(seed.NewReader(t), size)
	failed := make(chan error, 1)
	go func() {
		defer out.Close()
		_, err := io.CopyBuffer(struct{ io.Writer }{out}, io.TeeReader(random, sent), make([]byte, 1<<18))
		failed <- err
	}()
	n, err := io.CopyBuffer(received, struct{ io.Reader }{in}, make([]byte, 1<<18))
	if err != nil {
		t.Errorf("receive after %d bytes: %v", n, err)
		out.Close()
	}
	if err := <-failed; err != nil {
		t.Fatalf("send: %v", err)
	}
	if n != size || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Errorf("%d bytes came with SHA-256 %x, want %d with %x", n, received.Sum(nil), size, sent.Sum(nil))
	}
}

// since is what was counted between two readings.
func since(before, now api.Counters) api.Counters {
	d := api.Counters{
		RxFrames: now.RxFrames - before.RxFrames, RxBytes: now.RxBytes - before.RxBytes,
		TxFrames: now.TxFrames - before.TxFrames, TxBytes: now.TxBytes - before.TxBytes,
		Forwarded: now.Forwarded - before.Forwarded, Flooded: now.Flooded - before.Flooded, Local: now.Local - before.Local,
		Drops: map[string]uint64{},
	}
	for reason, n := range now.Drops {
		d.Drops[reason] = n - before.Drops[reason]
	}
	return d
}

// sentTo counts the frames for port to on a segment of two ports: those of the
// other, and the gateway's answers to its own.
func sentTo(from, to api.Counters) uint64 { return from.Forwarded + from.Flooded + to.Local }

// meantFor counts the same frames where they arrive.
func meantFor(c api.Counters) uint64 { return c.TxFrames + drops(c, false) }

// drops are those of frames that came from the port (ingress), or that were
// meant for it.
func drops(c api.Counters, ingress bool) uint64 {
	var n uint64
	for _, r := range drop.All() {
		if r.Ingress() == ingress {
			n += c.Drops[r.String()]
		}
	}
	return n
}

func TestIperf3(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "iperf3")
	h := newHost(t)
	c1, c2 := h.Attach("c1"), h.Attach("c2")
	for _, options := range [][]string{nil, {"--reverse"}, {"--udp", "--bitrate", "100M"}} {
		t.Run("iperf3 "+strings.Join(options, " "), func(t *testing.T) {
			serveIperf(c2)
			var report struct {
				Error string
				End   struct {
					SumReceived struct{ Bytes uint64 } `json:"sum_received"`
					Sum         struct{ Bytes uint64 }
				}
			}
			out := c1.Run(append([]string{"iperf3", "--json", "--time", "1", "--client", c2.Addr().String()}, options...)...)
			if err := json.Unmarshal([]byte(out), &report); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if report.Error != "" || max(report.End.SumReceived.Bytes, report.End.Sum.Bytes) == 0 {
				t.Errorf("iperf3 moved no data: %s", out)
			}
		})
	}
}

// serveIperf starts a server for one client and returns when it listens.
func serveIperf(c *lab.Container) {
	c.Helper()
	c.Start("iperf3", "--server", "--one-off", "--forceflush").AwaitLine(0, "Server listening")
}
