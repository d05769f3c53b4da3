package e2e

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"vswitch/api"
	"vswitch/test/lab"
)

// floodNames has each of n containers ask its gateway for a name as fast as it can until the test
// ends, or end is called, and returns how many questions they have sent.
func floodNames(h *host, n int, edit ...func(*api.PortSpec)) (sent *atomic.Uint64, end func()) {
	h.Helper()
	query, err := new(mdns.Msg).SetQuestion("modest.", mdns.TypeA).Pack()
	if err != nil {
		h.Fatal(err)
	}
	containers := make([]*lab.Container, n)
	for i := range containers {
		containers[i] = h.Attach(fmt.Sprint("greedy", i), edit...)
	}
	sent = new(atomic.Uint64)
	stop := make(chan struct{})
	var flooding sync.WaitGroup
	for _, c := range containers {
		conn := lab.Inside(c, func() (net.Conn, error) { return net.Dial("udp4", net.JoinHostPort(c.Port.Gateway, "53")) })
		h.Cleanup(func() { conn.Close() })
		batch := make([]ipv4.Message, 64)
		for i := range batch {
			batch[i].Buffers = [][]byte{query}
		}
		flooding.Go(func() {
			p := ipv4.NewPacketConn(conn.(net.PacketConn))
			for {
				select {
				case <-stop:
					return
				default:
				}
				m, _ := p.WriteBatch(batch, 0) // the queue may be full
				sent.Add(uint64(max(m, 0)))
			}
		})
	}
	end = sync.OnceFunc(func() {
		close(stop)
		flooding.Wait()
	})
	h.Cleanup(end)
	return sent, end
}

// asker asks the gateway of a container for the names of a segment.
type asker struct {
	*lab.Container
	conn net.Conn
	room chan struct{} // one for each question that may be under way
	got  chan int      // how many were answered, once all are or the socket is closed
}

// newAsker makes one that asks so many questions, of which some may be under way at once.
func newAsker(c *lab.Container, questions, window int) *asker {
	c.Helper()
	a := &asker{
		Container: c, room: make(chan struct{}, window), got: make(chan int, 1),
		conn: lab.Inside(c, func() (net.Conn, error) { return net.Dial("udp4", net.JoinHostPort(c.Port.Gateway, "53")) }),
	}
	c.Cleanup(func() { a.conn.Close() })
	go a.hear(questions)
	return a
}

// hear reads answers until there is one for each question.
func (a *asker) hear(questions int) {
	seen, buf := make(map[uint16]bool), make([]byte, 1500)
	for len(seen) < questions {
		n, err := a.conn.Read(buf)
		if err != nil {
			break
		}
		var m mdns.Msg
		if m.Unpack(buf[:n]) == nil && len(m.Answer) > 0 && !seen[m.Id] {
			seen[m.Id] = true
			<-a.room
		}
	}
	a.got <- len(seen)
}

// ask asks for a name, with a number that no question has had before.
func (a *asker) ask(name string, number int) {
	a.Helper()
	m := new(mdns.Msg).SetQuestion(name+".", mdns.TypeA)
	m.Id = uint16(number)
	query, err := m.Pack()
	if err != nil {
		a.Fatal(err)
	}
	select {
	case a.room <- struct{}{}:
	case <-time.After(lab.Patience):
		a.Fatalf("%d questions are not answered", cap(a.room))
	}
	if _, err := a.conn.Write(query); err != nil {
		a.Fatal(err)
	}
}

// answered returns how many questions were answered.
func (a *asker) answered() int {
	_ = a.conn.SetReadDeadline(time.Now().Add(lab.Patience / 4)) // fails on closed connections only
	return <-a.got
}

// uplinks are segments whose names are asked for in either way: of a socket of the host's, or of
// the switch.
var uplinks = map[string]func(*api.SegmentSpec){
	"with the host": func(*api.SegmentSpec) {}, "internal": func(s *api.SegmentSpec) { s.Internal = true },
}

// Whatever others ask, all questions of a container that asks few are answered.
func TestNamesBesideAFlood(t *testing.T) {
	for uplink, edit := range uplinks {
		t.Run(uplink, func(t *testing.T) {
			h := newHost(t)
			h.AddSegment("asked", edit)
			modest := h.Attach("modest", lab.On("asked"))
			sent, end := floodNames(h, 24, lab.On("asked"))
			h.AwaitDrops("greedy0", "gateway-busy", 1000)
			const questions = 60
			start, before := time.Now(), sent.Load()
			a := newAsker(modest, questions, questions)
			for number, next := 0, time.NewTicker(20*time.Millisecond); number < questions; number++ {
				a.ask("modest", number)
				<-next.C
			}
			flood := float64(sent.Load()-before) / time.Since(start).Seconds()
			end() // a busy machine may be late, but none is lost
			if got := a.answered(); got != questions {
				t.Errorf("%d of %d questions are answered, beside %.0f a second", got, questions, flood)
			}
			if drops := h.Counters("modest").Drops; len(drops) != 0 {
				t.Errorf("its frames are dropped: %v", drops)
			}
			t.Logf("%.0f questions of others a second", flood)
		})
	}
}

// One container that asks for 10,000 names a second, as a busy proxy may, is answered each.
func TestManyQuestionsForNames(t *testing.T) {
	for uplink, edit := range uplinks {
		t.Run(uplink, func(t *testing.T) {
			h := newHost(t)
			h.AddSegment("asked", edit)
			busy := h.Attach("busy", lab.On("asked"))
			h.Attach("db", lab.On("asked"))
			const questions, rate, window = 30_000, 10_000, 100
			a, start := newAsker(busy, questions, window), time.Now()
			for number := range questions {
				if ahead := time.Duration(number)*time.Second/rate - time.Since(start); ahead > time.Millisecond {
					time.Sleep(ahead)
				}
				a.ask("db", number)
			}
			took := time.Since(start)
			if got := a.answered(); got != questions {
				t.Errorf("%d of %d questions are answered", got, questions)
			}
			if drops := h.Counters("busy").Drops; len(drops) != 0 {
				t.Errorf("its frames are dropped: %v", drops)
			}
			t.Logf("%.0f questions a second", questions/took.Seconds())
		})
	}
}
