package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	subnets = []netip.Prefix{
		netip.MustParsePrefix("172.17.0.0/16"), netip.MustParsePrefix("fd00:17::/64"),
	}
	client  = netip.MustParseAddr("172.17.0.2")
	client6 = netip.MustParseAddr("fd00:17::2")
)

// addrs reads addresses.
func addrs(texts ...string) (list []netip.Addr) {
	for _, s := range texts {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

func names() *Names {
	n := new(Names)
	n.Set([]Station{
		{Addrs: addrs("172.17.0.2"), Name: "container1"},
		{Addrs: addrs("172.17.0.3"), Name: "Web.Example_1", Aliases: []string{"db", "shared"}},
		{Addrs: addrs("172.17.0.4"), Name: "a..b", Aliases: []string{"shared", "dotted."}},
		{
			Addrs: addrs("::ffff:172.17.0.6", "fd00:17::6", "172.17.1.6", "fd00:17::106", "fd00:17::6"),
			Name:  "both", Aliases: []string{"shared"},
		},
		{Addrs: addrs("fe80::7%eth0", "fd00:17::7"), Name: "six"},
		{Addrs: []netip.Addr{{}}, Name: "unaddressed"},
	})
	return n
}

func newResolver(tb testing.TB, edit ...func(*Config)) *Resolver {
	tb.Helper()
	c := Config{Subnets: subnets, Names: names()}
	for _, f := range edit {
		f(&c)
	}
	r := NewResolver(c)
	tb.Cleanup(r.Close)
	return r
}

func question(name string, kind uint16) *mdns.Msg {
	m := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind)
	m.Id = 4711
	return m
}

func pack(tb testing.TB, m *mdns.Msg) []byte {
	tb.Helper()
	b, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// askLocally has r answer at once; nil is no answer.
func askLocally(tb testing.TB, r *Resolver, query []byte, from netip.Addr) *mdns.Msg {
	tb.Helper()
	var answer *mdns.Msg
	r.Handle(query, from, maxUDP, func(b []byte) {
		answer = new(mdns.Msg)
		if err := answer.Unpack(b); err != nil {
			tb.Errorf("the answer % x: %v", b, err)
		}
	})
	return answer
}

// records are an answer's, sorted.
func records(m *mdns.Msg) string {
	var list []string
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *mdns.A:
			list = append(list, rr.A.String())
		case *mdns.AAAA:
			list = append(list, rr.AAAA.String())
		case *mdns.PTR:
			list = append(list, rr.Ptr)
		default:
			list = append(list, rr.String())
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestSegmentNames(t *testing.T) {
	t.Parallel()
	r := newResolver(t)
	for _, test := range []struct {
		name  string
		kind  uint16
		rcode int
		want  string
	}{
		{"container1", mdns.TypeA, mdns.RcodeSuccess, "172.17.0.2"},
		{"CONTAINER1", mdns.TypeA, mdns.RcodeSuccess, "172.17.0.2"},
		{"web.example_1", mdns.TypeA, mdns.RcodeSuccess, "172.17.0.3"},
		{"db", mdns.TypeANY, mdns.RcodeSuccess, "172.17.0.3"},
		{"shared", mdns.TypeA, mdns.RcodeSuccess, "172.17.0.3 172.17.0.4 172.17.0.6 172.17.1.6"},
		{"shared", mdns.TypeAAAA, mdns.RcodeSuccess, "fd00:17::106 fd00:17::6"},
		{"both", mdns.TypeA, mdns.RcodeSuccess, "172.17.0.6 172.17.1.6"},
		{"BOTH", mdns.TypeAAAA, mdns.RcodeSuccess, "fd00:17::106 fd00:17::6"},
		{"both", mdns.TypeANY, mdns.RcodeSuccess, "172.17.0.6 172.17.1.6 fd00:17::106 fd00:17::6"},
		{"six", mdns.TypeAAAA, mdns.RcodeSuccess, "fd00:17::7"},
		{"six", mdns.TypeA, mdns.RcodeSuccess, ""},
		{"unaddressed", mdns.TypeA, mdns.RcodeNameError, ""},
		{"dotted", mdns.TypeA, mdns.RcodeSuccess, "172.17.0.4"},
		{"container1", mdns.TypeAAAA, mdns.RcodeSuccess, ""},
		{"container1", mdns.TypeMX, mdns.RcodeSuccess, ""},
		{"container9", mdns.TypeA, mdns.RcodeNameError, ""},
		{"container1.example.com", mdns.TypeA, mdns.RcodeNameError, ""},
		{".", mdns.TypeNS, mdns.RcodeNameError, ""},
		{"2.0.17.172.in-addr.arpa", mdns.TypePTR, mdns.RcodeSuccess, "container1."},
		{"3.0.17.172.IN-ADDR.ARPA", mdns.TypePTR, mdns.RcodeSuccess, "Web.Example_1."},
		{"3.0.17.172.in-addr.arpa", mdns.TypeA, mdns.RcodeSuccess, ""},
		{"4.0.17.172.in-addr.arpa", mdns.TypePTR, mdns.RcodeNameError, ""},
		{"9.0.17.172.in-addr.arpa", mdns.TypePTR, mdns.RcodeNameError, ""},
		{"6.1.17.172.in-addr.arpa", mdns.TypePTR, mdns.RcodeSuccess, "both."},
		{reverse6Name("fd00:17::106"), mdns.TypePTR, mdns.RcodeSuccess, "both."},
		{strings.ToUpper(reverse6Name("fd00:17::7")), mdns.TypePTR, mdns.RcodeSuccess, "six."},
		{reverse6Name("fd00:17::7"), mdns.TypeAAAA, mdns.RcodeSuccess, ""},
		{reverse6Name("fd00:17::9"), mdns.TypePTR, mdns.RcodeNameError, ""},
	} {
		query := question(test.name, test.kind)
		answer := askLocally(t, r, pack(t, query), client)
		if from6 := askLocally(t, r, pack(t, query), client6); records(from6) != records(answer) {
			t.Errorf("%s: asked over IPv6: %s, over IPv4: %s", test.name, from6, answer)
		}
		switch {
		case answer == nil:
			t.Errorf("%s %s: no answer", test.name, mdns.TypeToString[test.kind])
		case answer.Id != query.Id || !answer.Response || !answer.RecursionAvailable || answer.Question[0] != query.Question[0]:
			t.Errorf("%s %s: not an answer to the question: %s", test.name, mdns.TypeToString[test.kind], answer)
		case answer.Rcode != test.rcode || records(answer) != test.want:
			t.Errorf("%s %s: %s with %q, want %s with %q", test.name, mdns.TypeToString[test.kind],
				mdns.RcodeToString[answer.Rcode], records(answer), mdns.RcodeToString[test.rcode], test.want)
		}
	}
}

func TestWhatIsNotAnswered(t *testing.T) {
	t.Parallel()
	r := newResolver(t)
	query := pack(t, question("container1", mdns.TypeA))
	for _, from := range []string{
		"172.18.0.2", "127.0.0.1", "::1", "fd00:18::2", "fe80::2", "fe80::2%eth0", "fd00:17::2%eth0",
		"::ffff:172.17.0.2", // sockets and frames have it as IPv4
	} {
		if answer := askLocally(t, r, query, netip.MustParseAddr(from)); answer != nil {
			t.Errorf("asked from %s: %s, want no answer", from, answer)
		}
	}
	response := question("container1", mdns.TypeA)
	response.Response = true
	for name, b := range map[string][]byte{"a response": pack(t, response), "half a header": query[:11], "nothing": nil} {
		if answer := askLocally(t, r, b, client); answer != nil {
			t.Errorf("%s: %s, want no answer", name, answer)
		}
	}
}

func TestRefusedQueries(t *testing.T) {
	t.Parallel()
	edit := func(f func(*mdns.Msg)) []byte {
		m := question("container1", mdns.TypeA)
		f(m)
		return pack(t, m)
	}
	r := newResolver(t)
	for name, test := range map[string]struct {
		query []byte
		rcode int
	}{
		"notify":       {edit(func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }), mdns.RcodeNotImplemented},
		"no question":  {edit(func(m *mdns.Msg) { m.Question = nil }), mdns.RcodeFormatError},
		"two":          {edit(func(m *mdns.Msg) { m.Question = append(m.Question, m.Question[0]) }), mdns.RcodeFormatError},
		"cut off":      {edit(func(*mdns.Msg) {})[:20], mdns.RcodeFormatError},
		"chaos":        {edit(func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }), mdns.RcodeRefused},
		"transfer":     {edit(func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAXFR }), mdns.RcodeRefused},
		"EDNS later":   {edit(func(m *mdns.Msg) { m.SetEdns0(1232, false).IsEdns0().SetVersion(1) }), mdns.RcodeBadVers},
		"EDNS as ours": {edit(func(m *mdns.Msg) { m.SetEdns0(1232, true) }), mdns.RcodeSuccess},
	} {
		answer := askLocally(t, r, test.query, client)
		if answer == nil || answer.Id != 4711 || answer.Rcode != test.rcode {
			t.Errorf("%s: %v, want %s", name, answer, mdns.RcodeToString[test.rcode])
		} else if strings.HasPrefix(name, "EDNS") && answer.IsEdns0() == nil {
			t.Errorf("%s: the answer has no OPT record (RFC 6891 §6.1.1)", name)
		}
	}
}

// TestAnswersFitTheirClient asks for a name that so many share that the answer is
// longer than a client takes who does not say otherwise.
func TestAnswersFitTheirClient(t *testing.T) {
	t.Parallel()
	var stations []Station
	for i := range 60 {
		addr := netip.AddrFrom4([4]byte{172, 17, 1, byte(i)})
		stations = append(stations, Station{
			Addrs: []netip.Addr{addr}, Name: fmt.Sprintf("web%d", i), Aliases: []string{"web"},
		})
	}
	r := newResolver(t)
	r.config.Names.Set(stations)
	for name, test := range map[string]struct {
		size uint16 // 0: no EDNS
		room int
		want int // bytes at most
		cut  bool
	}{
		"plain":            {0, maxUDP, 512, true},
		"EDNS":             {4096, maxUDP, maxUDP, false},
		"EDNS, lying":      {100, maxUDP, 512, true},
		"EDNS, little MTU": {4096, 600, 600, true},
	} {
		query := question("web", mdns.TypeA)
		if test.size > 0 {
			query.SetEdns0(test.size, false)
		}
		r.Handle(pack(t, query), client, test.room, func(b []byte) {
			answer := new(mdns.Msg)
			if err := answer.Unpack(b); err != nil {
				t.Fatal(err)
			}
			if len(b) > test.want || answer.Truncated != test.cut || !test.cut && len(answer.Answer) != len(stations) {
				t.Errorf("%s: %d bytes with %d addresses, truncated %t", name, len(b), len(answer.Answer), answer.Truncated)
			}
		})
	}
}

func TestSetReplaces(t *testing.T) {
	t.Parallel()
	r := newResolver(t)
	r.config.Names.Set(nil)
	if answer := askLocally(t, r, pack(t, question("container1", mdns.TypeA)), client); answer.Rcode != mdns.RcodeNameError {
		t.Errorf("a name that was taken out: %s", answer)
	}
}

// FuzzHandle looks for panics, for answers that are none, and for answers that
// are longer than they may be.
func FuzzHandle(f *testing.F) {
	for _, name := range []string{
		"container1", "shared", "nobody", "2.0.17.172.in-addr.arpa", reverse6Name("fd00:17::6"),
	} {
		m := question(name, mdns.TypeANY)
		f.Add(pack(f, m))
		m.SetEdns0(4096, true)
		f.Add(pack(f, m))
	}
	r := newResolver(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r.Handle(b, client6, maxUDP, func(reply []byte) {
			var m mdns.Msg
			if err := m.Unpack(reply); err != nil {
				t.Fatalf("the answer % x: %v", reply, err)
			}
			if !m.Response || len(reply) > maxUDP || reply[0] != b[0] || reply[1] != b[1] {
				t.Fatalf("not an answer to % x: %s", b, &m)
			}
		})
	})
}
