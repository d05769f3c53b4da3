package dns

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"
)

// TestQuestionsWaitForTheirTurn: a client's beyond those that are under way, and not those of
// others or for names of the segment.
func TestQuestionsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 16), make(chan struct{})
	u := newUpstream(t, func(q *mdns.Msg, network string) *mdns.Msg {
		asked <- struct{}{}
		<-release
		return address("192.0.2.80")(q, network)
	})
	r := newResolver(t, forwardTo(u), within(time.Hour))
	r.questions = newSlots(bounds{active: 3, activeEach: 2, pending: 20, pendingEach: 10})
	const most = 10
	query, answers := pack(t, question("example.com", mdns.TypeA)), make(chan []byte, most+1)
	handle := func(from netip.Addr) { r.Handle(query, from, maxUDP, func(b []byte) { answers <- b }) }
	for range most {
		handle(client)
	}
	for range 2 {
		<-asked
	}
	handle(otherClient)
	<-asked // another client's was forwarded
	if m := askLocally(t, r, pack(t, question("container1", mdns.TypeA)), client); m == nil || records(m) != "172.17.0.2" {
		t.Errorf("meanwhile a name of the segment: %v", m)
	}
	if m := askLocally(t, r, query, client); m != nil {
		t.Errorf("one question too many: %s, want no answer", m)
	}
	close(release)
	for range most + 1 {
		m := new(mdns.Msg)
		if err := m.Unpack(<-answers); err != nil || records(m) != "192.0.2.80" {
			t.Errorf("%v, %s", err, m)
		}
	}
	met := r.Met()
	if met[Waited] != most-2 || met[TooManyWaiting] != 1 || met[WaitedTooLong] != 0 {
		t.Errorf("counted %v", met)
	}
}

// TestTurnsWithinTheQuestionsTime: a question that waits for too long is told so, as one is whose
// answer takes too long.
func TestTurnsWithinTheQuestionsTime(t *testing.T) {
	t.Parallel()
	for network, handle := range map[string]func(*Resolver, []byte, func([]byte)){
		"udp": func(r *Resolver, query []byte, reply func([]byte)) {
			r.Handle(query, client, maxUDP, reply)
		},
		"tcp": func(r *Resolver, query []byte, reply func([]byte)) {
			go func() { reply(r.handleStream(query, client)) }()
		},
	} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := NewResolver(Config{Subnets: subnets, Names: names()})
				defer r.Close()
				told := make(map[Limit]int)
				r.config.OnLimit = func(l Limit, from netip.Addr) {
					told[l]++
					if from != client {
						t.Errorf("%s met by %s, want %s", l, from, client)
					}
				}
				forwardTo(&upstream{addr: netip.MustParseAddrPort("192.0.2.1:53")})(&r.config) // is not asked
				r.questions = newSlots(bounds{active: 1, activeEach: 1, pending: 3, pendingEach: 3})
				busy := awaits(t, r.questions, client, time.Hour)
				defer busy.leave()
				start, query := time.Now(), pack(t, question("example.com", mdns.TypeA))
				const waiting = 2
				answers := make(chan []byte, waiting)
				for range waiting {
					handle(r, query, func(b []byte) { answers <- b })
				}
				for range waiting {
					m := new(mdns.Msg)
					err := m.Unpack(<-answers)
					took := time.Since(start)
					if err != nil || m.Rcode != mdns.RcodeServerFailure || took != DefaultTimeout {
						t.Errorf("after %s: %v, %v; want SERVFAIL after %s", took, m, err, DefaultTimeout)
					}
				}
				synctest.Wait()
				met := r.Met()
				for _, l := range []Limit{Waited, WaitedTooLong} {
					if met[l] != waiting || told[l] != 1 {
						t.Errorf("%s: counted %d times, told %d, want %d and once", l, met[l], told[l], waiting)
					}
				}
			})
		})
	}
}

// TestWhatWaitsIsSmall: whatever else a question brings along is not kept while it waits.
func TestWhatWaitsIsSmall(t *testing.T) {
	t.Parallel()
	r := newResolver(t)
	m := question("example.com", mdns.TypeA)
	header := mdns.RR_Header{Name: ".", Rrtype: mdns.TypeTXT, Class: mdns.ClassINET}
	for range 1000 {
		m.Ns = append(m.Ns, &mdns.TXT{Hdr: header, Txt: []string{"text"}})
	}
	m.SetEdns0(4096, true)
	m.IsEdns0().Option = []mdns.EDNS0{&mdns.EDNS0_PADDING{Padding: make([]byte, 1000)}}
	q := r.read(pack(t, m), client)
	if len(q.msg.Answer)+len(q.msg.Ns)+len(q.msg.Extra) != 0 || len(q.opt.Option) != 0 {
		t.Errorf("kept: %s", q.msg)
	}
	if opt := q.upstream().IsEdns0(); opt == nil || !opt.Do() {
		t.Error("the DO bit is lost")
	}
}
