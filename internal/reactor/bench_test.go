package reactor

import (
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
	"vswitch/tap"
	"vswitch/test/lab"
)

// BenchmarkRelay passes 32 frames of 60 bytes on in one batch each way. Their path is
// a circle, so that nothing else runs: over sockets, each pair's two ends are
// endpoints; over TAPs, a kernel bridge carries the frames from one to the other.
func BenchmarkRelay(b *testing.B) {
	for kind, circle := range map[string]func(*testing.B) []relayed{
		"kind=sockets": socketCircle, "kind=taps": tapCircle,
	} {
		for _, engine := range []string{"registered", "plain", "single"} {
			b.Run(kind+"/engine="+engine, func(b *testing.B) {
				r := newReactor(b, benchBatch)
				switch engine {
				case "plain":
					r.ring.files.full = true
				case "single":
					r.fallBack(errBatchOfOne)
				}
				benchmarkRelay(b, r, circle(b))
			})
		}
	}
}

const benchBatch = 32

// relayed says that what comes out of from goes into to.
type relayed struct{ from, to Endpoint }

func benchmarkRelay(b *testing.B, r *Reactor, circle []relayed) {
	for i, c := range circle {
		add(b, r, uint32(2*i), c.from)
		if err := r.Add(uint32(2*i+1), c.to, false); err != nil {
			b.Fatal(err)
		}
	}
	bufs, f := buffers(benchBatch), testFrame("")
	for range benchBatch {
		r.Send(uint32(2*len(circle)-1), f) // into the first one's from
	}
	r.Flush()
	hop := 0
	for b.Loop() {
		at := uint32(2 * hop)
		n, status := r.Receive(at, bufs)
		if n != benchBatch {
			b.Fatalf("%d frames with status %d, want %d", n, status, benchBatch)
		}
		for _, buf := range bufs {
			r.Send(at+1, buf)
		}
		for _, status := range r.Flush() {
			if status != frame.OK {
				b.Fatalf("Flush says %d", status)
			}
		}
		hop = (hop + 1) % len(circle)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatch), "ns/frame")
}

func socketCircle(b *testing.B) []relayed {
	b.Helper()
	p, q := newSocketPair(b), newSocketPair(b)
	farOf := func(l *line) Endpoint { return &socket{l.far, frame.Gone} }
	for _, l := range []*line{p, q} {
		if err := unix.SetNonblock(l.far, true); err != nil {
			b.Fatal(err)
		}
	}
	return []relayed{{p, farOf(q)}, {q, farOf(p)}}
}

// tapCircle lets a bridge pass on what is written to one of two TAPs to the other.
func tapCircle(b *testing.B) []relayed {
	b.Helper()
	ns := lab.NewNamespace(b)
	ns.Run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
	ns.Run("ip", "link", "add", "sw0", "type", "bridge", "mcast_snooping", "0")
	ns.Run("ip", "link", "set", "sw0", "up")
	var ends [2]Endpoint
	ns.Do(func() {
		for i := range ends {
			d := mustCreate(b, ns, tap.Options{})
			ns.Run("ip", "link", "set", d.Name(), "master", "sw0")
			ends[i] = d
		}
	})
	return []relayed{{ends[1], ends[0]}}
}
