package e2e

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"vswitch/api"
	"vswitch/test/lab"
)

// dialGateway opens n connections to the resolver of c's segment, each with a socket of its
// own, as the C library does for each lookup.
func dialGateway(c *lab.Container, network string, n int) []*dns.Conn {
	c.Helper()
	at := net.JoinHostPort(c.Port.Gateway, "53")
	conns := make([]*dns.Conn, n)
	lab.Inside(c, func() (any, error) {
		for i := range conns {
			conn, err := net.DialTimeout(network, at, lab.Patience)
			if err != nil {
				return nil, err
			}
			c.Cleanup(func() { conn.Close() })
			if err := conn.SetDeadline(time.Now().Add(lab.Patience)); err != nil {
				return nil, err
			}
			conns[i] = &dns.Conn{Conn: conn}
		}
		return nil, nil
	})
	return conns
}

// askName sends one question.
func askName(c *lab.Container, conn *dns.Conn, name string) {
	c.Helper()
	if err := conn.WriteMsg(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)); err != nil {
		c.Fatalf("ask for %s in %s: %v", name, c.Port.Name, err)
	}
}

// answer wants an answer without an error, to a question that is not asked again.
func answer(conn *dns.Conn) error {
	m, err := conn.ReadMsg()
	switch {
	case err != nil:
		return err
	case m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0:
		return fmt.Errorf("%s with %d addresses", dns.RcodeToString[m.Rcode], len(m.Answer))
	}
	return nil
}

// answers wants one at each connection, and lists how often what else has happened.
func answers(c *lab.Container, conns []*dns.Conn) {
	c.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	failed := make(map[string]int)
	for _, conn := range conns {
		all.Go(func() {
			if err := answer(conn); err != nil {
				mu.Lock()
				failed[cause(err)]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(failed) > 0 {
		c.Errorf("%d questions at once in %s, want all answered: %v", len(conns), c.Port.Name, failed)
	}
}

// cause is an error without the addresses and ports of its connection.
func cause(err error) string {
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err.Error()
}

// A program that asks for hundreds of names at once gets them all, over UDP and TCP, however
// long the host's resolver takes.
func TestManyQuestionsAtOnce(t *testing.T) {
	t.Parallel()
	const many = 300
	for _, network := range []string{"udp4", "tcp4"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			h, _, upstream := hostWithResolver(t)
			c := h.Attach("container1")
			resolves(c, "www.example", "198.51.100.1") // the resolver serves, and is a known neighbour
			conns := dialGateway(c, network, many)
			for i, conn := range conns {
				askName(c, conn, fmt.Sprintf("name%d.held.example", i))
			}
			// Questions are read in their order: the resolver has them all by then.
			resolves(c, "container1", c.Addr().String())
			upstream.release()
			answers(c, conns)
		})
	}
	t.Run("internal", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		h.AddSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
		c := h.Attach("container1", lab.On("internal"))
		resolves(c, "container1", c.Addr().String()) // the gateway is a known neighbour
		conns := dialGateway(c, "udp4", many)
		for _, conn := range conns {
			askName(c, conn, "container1")
		}
		answers(c, conns)
	})
}

// flood asks for names that nobody answers for, at each connection in turn: once, or until the
// test ends.
func flood(c *lab.Container, conns []*dns.Conn, forever bool) {
	var task sync.WaitGroup
	stop := make(chan struct{})
	c.Cleanup(func() {
		close(stop)
		task.Wait()
	})
	task.Go(func() {
		for n := 0; forever || n < len(conns); n++ {
			select {
			case <-stop:
				return
			default:
			}
			m := new(dns.Msg).SetQuestion(fmt.Sprintf("name%d.held.example.", n), dns.TypeA)
			_ = conns[n%len(conns)].WriteMsg(m) // it may have been closed
		}
	})
}

// A container that asks as much as it can, for names that nobody answers for, keeps no other
// one from its answers. What it costs is bounded, and what is dropped is counted, and logged
// now and then.
func TestGreedyContainerStarvesNobody(t *testing.T) {
	t.Parallel()
	for network, test := range map[string]struct {
		conns   int
		forever bool
		reason  string
	}{
		"udp4": {10, true, "too-many-waiting"},
		"tcp4": {1500, false, "too-many-connections"},
	} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			const metrics = "127.0.0.1:9100"
			h, _, _ := hostWithResolver(t, "--metrics-listen", metrics)
			greedy, modest := h.Attach("greedy"), h.Attach("modest")
			resolves(greedy, "www.example", "198.51.100.1") // the resolver serves
			calm := h.scrape(metrics)

			flood(greedy, dialGateway(greedy, network, test.conns), test.forever)
			dropped := fmt.Sprintf(`vswitch_dns_drops_total{reason=%q,segment="bridge"}`, test.reason)
			h.Eventually("questions are dropped, and counted", func() bool {
				return value(h.scrape(metrics), dropped) > 0
			})
			for _, network := range []string{"udp4", "tcp4"} {
				conns := dialGateway(modest, network, 2)
				askName(modest, conns[0], "www.example")
				askName(modest, conns[1], "greedy")
				answers(modest, conns)
			}

			page := h.scrape(metrics)
			for name, most := range map[string]float64{
				"go_goroutines": 3000, "process_open_fds": 1000,
				"go_memstats_heap_inuse_bytes": 64 << 20, "go_memstats_stack_inuse_bytes": 64 << 20,
			} {
				if grown := value(page, name) - value(calm, name); grown > most {
					t.Errorf("%s has grown by %.0f, want at most %.0f", name, grown, most)
				}
			}
			if value(page, `vswitch_dns_waits_total{segment="bridge"}`) == 0 {
				t.Error("no question has waited, by the metrics")
			}
			reason := "reason=" + test.reason
			h.AwaitLog(0, "level=WARN", reason, "segment=bridge", "address="+greedy.Addr().String())
			if lines := strings.Count(h.Daemon.Output(), reason); lines > 2 {
				t.Errorf("%d lines in the log, want one a minute", lines)
			}
		})
	}
}

// value is that of a metric on a page of them; 0: it is not there.
func value(page, metric string) float64 {
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(metric) + ` (\S+)$`)
	found := line.FindStringSubmatch(page)
	if found == nil {
		return 0
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return 0
	}
	return v
}
