package vswitch_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// watcher notes each verdict as text.
type watcher struct {
	mu   sync.Mutex
	seen []string
}

func (w *watcher) Observe(e *vswitch.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := func(p *vswitch.Port) string {
		if p == nil {
			return "-"
		}
		return p.Name()
	}
	text := "short"
	if len(e.Frame) >= frame.VNetHeaderLen+frame.EthernetHeaderLen {
		text = switchtest.Text(bytes.Clone(e.Frame[frame.VNetHeaderLen:]))
	}
	w.seen = append(w.seen, fmt.Sprintf("%s>%s %s %s %s", name(e.In), name(e.Out), e.Verdict, e.Reason, text))
}

func (w *watcher) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// named adds a port with a name.
func (l *lab) named(seg *vswitch.Segment, n int, name string, c policy.Policy) *port {
	return l.portWith(seg, n, vswitch.PortConfig{Name: name, Policy: c})
}

// TestObserverSeesEachVerdict, with the frame as it is at that moment.
func TestObserverSeesEachVerdict(t *testing.T) {
	inLab(t, vswitch.Options{LoopMoves: -1}, func(l *lab) {
		r := &responder{response: vswitch.Response{Action: vswitch.Pass}}
		gw, _ := l.withGateway(r, 0)
		seg := gw.Segment()
		a, b := l.named(seg, 1, "a", policy.Policy{}), l.named(seg, 2, "b", policy.Policy{})
		teach(a, b)
		var w watcher
		expectSeen := func(want ...string) {
			l.t.Helper()
			if got := w.take(); !slices.Equal(got, want) {
				l.t.Errorf("observed %q, want %q", got, want)
			}
		}
		a.send(b.mac, "before anybody looks")
		l.sw.SetObserver(&w)
		for range 2 { // the second goes the way of the first
			a.send(b.mac, "one")
			expectSeen("a>b forwarded none one")
		}
		a.send(frame.Broadcast, "all")
		expectSeen("a>- flooded none all")
		a.SendRaw(make([]byte, 12))
		synctest.Wait()
		expectSeen("a>- dropped runt short")
		a.send(a.mac, "hairpin")
		expectSeen("a>- dropped hairpin hairpin")
		a.send(gatewayMAC, "unhandled")
		expectSeen("a>- dropped gateway-unhandled unhandled")
		r.response.Action = vswitch.Consumed
		a.send(gatewayMAC, "taken")
		expectSeen("a>- local none taken")
		r.response.Action = vswitch.Answered
		a.send(gatewayMAC, "asked")
		expectSeen("a>- local none asked", "gateway>a forwarded none asked")
		b.Refuse(frame.Again)
		a.send(b.mac, "no room")
		expectSeen("a>b forwarded none no room", "a>b dropped queue-full no room")
		b.Refuse(frame.OK)
		b.SetDown(true)
		a.send(b.mac, "down")
		expectSeen("a>b forwarded none down", "a>b dropped link-down down")
		b.send(a.mac, "from down")
		expectSeen("b>- dropped port-down from down")
		b.SetDown(false)
		if err := a.SetPolicy(policy.Policy{RateIn: policy.Rate{BitsPerSecond: policy.MinRate, BurstBytes: 1}}); err != nil {
			l.t.Fatal(err)
		}
		a.send(b.mac, "within the rate")
		a.send(b.mac, "has to wait")
		expectSeen("a>b forwarded none within the rate")
		time.Sleep(500 * time.Millisecond) // 60 bytes take 480
		expectSeen("a>b forwarded none has to wait")
		a.send(b.mac, "waits in vain")
		l.sw.Detach(a.Port)
		expectSeen("a>- dropped rate-limit-in waits in vain")
		if err := l.sw.Attach(a.Port, a.Device); err != nil {
			l.t.Fatal(err)
		}
		l.sw.Announce(b.Port, switchtest.Frame(frame.Broadcast, b.mac, "announced"))
		expectSeen()
		l.sw.Detach(b.Port)
		l.sw.Announce(a.Port, switchtest.Frame(frame.Broadcast, a.mac, "announced"))
		expectSeen("->b dropped port-lost announced")
		l.sw.SetObserver(nil)
		a.send(frame.Broadcast, "nobody looks")
		expectSeen()
	})
}

// TestObserverAddsUp: what is observed is what is counted.
func TestObserverAddsUp(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := []*port{
			l.named(seg, 1, "0", policy.Policy{}), l.named(seg, 2, "1", policy.Policy{Security: policy.SecurityMACOnly, MAC: switchtest.MAC(2)}),
			l.named(seg, 3, "2", policy.Policy{FloodLimit: 10}),
		}
		var mu sync.Mutex
		seen := map[*vswitch.Port]*vswitch.Counters{}
		for _, q := range p {
			seen[q.Port] = &vswitch.Counters{}
		}
		l.sw.SetObserver(observerFunc(func(e *vswitch.Event) {
			mu.Lock()
			defer mu.Unlock()
			switch e.Verdict {
			case vswitch.Forwarded:
				seen[e.In].Forwarded++
			case vswitch.Flooded:
				seen[e.In].Flooded++
			case vswitch.Local:
				seen[e.In].Local++
			default:
				at := e.Out
				if e.Reason.Ingress() {
					at = e.In
				}
				seen[at].Drops[e.Reason]++
			}
		}))
		for i := range 3000 {
			from := p[i%3]
			from.SendRaw(append(make([]byte, frame.VNetHeaderLen),
				switchtest.Frame(switchtest.MAC(i%5+1), switchtest.MAC(i%7%3+1), "x")...))
		}
		synctest.Wait()
		var drops uint64
		for _, q := range p {
			c, s := q.Counters(), seen[q.Port]
			if c.Forwarded != s.Forwarded || c.Flooded != s.Flooded || c.Local != s.Local || c.Drops != s.Drops {
				l.t.Errorf("port %s counted %+v, observed %+v", q.Name(), c, *s)
			}
			balanced(l.t, q.Port)
			drops += c.Drops[drop.SpoofedMAC] + c.Drops[drop.FloodLimit]
		}
		if drops == 0 {
			l.t.Error("no frame was dropped: the test shows too little")
		}
	})
}

type observerFunc func(e *vswitch.Event)

func (f observerFunc) Observe(e *vswitch.Event) { f(e) }

// TestSetObserverWaits for the observer before, which may end then.
func TestSetObserverWaits(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 2}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		teach(p...)
		inside, leave := make(chan struct{}), make(chan struct{})
		l.sw.SetObserver(observerFunc(func(*vswitch.Event) {
			inside <- struct{}{}
			<-leave
		}))
		p[0].Send(switchtest.Frame(p[1].mac, p[0].mac, "observed"))
		<-inside
		returned := make(chan struct{})
		go func() {
			l.sw.SetObserver(nil)
			close(returned)
		}()
		synctest.Wait()
		select {
		case <-returned:
			l.t.Error("SetObserver has returned while the observer before is called")
		default:
		}
		close(leave)
		<-returned
		p[0].send(p[1].mac, "not observed") // would block
		expect(l.t, p[1], "observed", "not observed")
	})
}

// TestObserverSeesWhatTheSwitchSends of its own accord, from the first such frame on.
func TestObserverSeesWhatTheSwitchSends(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		gw, _ := l.withGateway(&responder{}, 0)
		seg := gw.Segment()
		a, b := l.named(seg, 1, "a", policy.Policy{}), l.named(seg, 2, "b", policy.Policy{})
		gone := l.port(seg, 3)
		teach(b, gone, a) // a's frame is the last that was read
		l.sw.RemovePort(gone.Port)
		var w watcher
		l.sw.SetObserver(&w)
		for _, test := range []struct {
			dst  frame.MAC
			text string
			want []string
		}{
			{b.mac, "one", []string{"gateway>b forwarded none one"}},
			{frame.Broadcast, "all", []string{"gateway>- flooded none all"}},
			{switchtest.MAC(99), "unknown", []string{"gateway>- flooded none unknown"}},
			{gone.mac, "gone", []string{"gateway>- dropped unreachable gone"}},
			{gatewayMAC, "itself", []string{"gateway>- dropped hairpin itself"}},
		} {
			l.sw.Answer(gw, switchtest.Frame(test.dst, gatewayMAC, test.text))
			if got := w.take(); !slices.Equal(got, test.want) {
				l.t.Errorf("observed %q, want %q", got, test.want)
			}
		}
		l.sw.Answer(gw, nil)
		b.SetDown(true)
		l.sw.Answer(gw, switchtest.Frame(b.mac, gatewayMAC, "down"))
		l.sw.Announce(a.Port, switchtest.Frame(frame.Broadcast, a.mac, "announced"))
		want := []string{
			"gateway>- dropped runt short",
			"gateway>b forwarded none down", "->b dropped link-down down",
			"->b dropped link-down announced",
		}
		if got := w.take(); !slices.Equal(got, want) {
			l.t.Errorf("observed %q, want %q", got, want)
		}
	})
}
