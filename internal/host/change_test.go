package host_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vswitch/internal/host"
	"vswitch/test/lab"
)

// objects returns our table's chains, sets and rules with their handles, without elements: a rule
// that is made anew has another handle.
func (r *rig) objects(t *testing.T) string {
	t.Helper()
	text := r.host.Run("nft", "--json", "--handle", "list", "table", "inet", "vswitch")
	var listing struct{ Nftables []map[string]map[string]any }
	if err := json.Unmarshal([]byte(text), &listing); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, object := range listing.Nftables {
		for kind, what := range object {
			if kind != "metainfo" {
				delete(what, "elem")
				lines = append(lines, fmt.Sprint(kind, what))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// A change of what is published, or of segments, leaves the rules alone, and the table is the one
// that another program would build from nothing.
func TestChangesAreOfElements(t *testing.T) {
	t.Parallel()
	r, other := newHost(t), newHost(t)
	table := r.open(t, host.Options{})
	segment := func(n int) host.Segment {
		s := segmentA
		s.Link = fmt.Sprintf("vs-%d", n)
		s.Subnet = mustSubnet(n)
		return s
	}
	wide := forward("", 2000, container1, 2000, "vs-a")
	wide.Count = 1500 // more than one message's
	narrow := wide
	narrow.HostPort, narrow.Count = 3000, 1000
	r.apply(t, table, host.Config{Segments: both})
	before := r.objects(t)
	for i, c := range []host.Config{
		fullConfig,
		{Segments: both, Forwards: []host.Forward{wide}},
		{Segments: both, Forwards: []host.Forward{narrow}}, // some ports go elsewhere
		{Segments: both, Forwards: []host.Forward{forward("127.0.0.1", 3000, container1, 1, "vs-a")}},
		// Ranges that grow, shrink, part and join.
		{Segments: []host.Segment{segment(5)}},
		{Segments: []host.Segment{segment(5), segment(6)}},
		{Segments: []host.Segment{segment(4), segment(5), segment(6)}},
		{Segments: []host.Segment{segment(4), segment(6)}},
		{Segments: []host.Segment{segment(3), segment(4), segment(5), segment(6)}},
		{Segments: []host.Segment{segment(6)}},
		{Segments: []host.Segment{segment(7)}},
		{},
		fullConfig,
	} {
		r.apply(t, table, c)
		if after := r.objects(t); after != before {
			t.Errorf("change %d made other objects:\n%s\nfrom\n%s", i, after, before)
		}
		other.apply(t, other.open(t, host.Options{}), c)
		if got, want := r.listing(), other.listing(); got != want {
			t.Errorf("change %d, %+v, made\n%s\nwant\n%s", i, c, got, want)
		}
	}
}

// A change that finds the table damaged, as by a flush that Run has not heard of yet, repairs it.
func TestChangeRepairs(t *testing.T) {
	t.Parallel()
	for _, harm := range []string{
		"flush ruleset",
		"delete table inet vswitch",
		"flush map inet vswitch published",
		"delete element inet vswitch published { tcp . 8080 }",
		"add element inet vswitch published { tcp . 9000 : 10.0.0.1 . 1 }",
	} {
		t.Run(harm, func(t *testing.T) {
			t.Parallel()
			r, other := newHost(t), newHost(t)
			table := r.open(t, host.Options{})
			r.apply(t, table, fullConfig)
			r.host.Run("nft", harm)
			c := host.Config{Segments: both, Forwards: []host.Forward{
				forward("", 9000, container1, 80, "vs-a"),
			}}
			r.apply(t, table, c)
			other.apply(t, other.open(t, host.Options{}), c)
			if got, want := r.listing(), other.listing(); got != want {
				t.Errorf("the table is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// A change that the kernel refuses leaves all as it was, and the next one that it does not refuse
// is made whole. Here a rule of the user's keeps the table from being built anew, and an element
// of others the new one from being added.
func TestRefusedChangeChangesNothing(t *testing.T) {
	t.Parallel()
	r, other := newRig(t), newHost(t)
	serve(t, r.c1, "container1", ":80")
	table := r.open(t, host.Options{})
	c := host.Config{Segments: both, Forwards: []host.Forward{
		forward("", 8080, container1, 80, "vs-a"),
	}}
	r.apply(t, table, c)
	r.host.Run("nft", "add chain inet vswitch mine { type nat hook prerouting priority 0; }; "+
		"add rule inet vswitch mine jump publish")
	r.host.Run("nft", "add element inet vswitch published { tcp . 2599 : 10.0.0.1 . 1 }")
	before := r.listing()
	wide := forward("", 2000, container1, 2000, "vs-a")
	wide.Count = 1000 // the one that is refused is far from the first
	more := host.Config{Segments: both, Forwards: append(slices.Clone(c.Forwards), wide)}
	var err error
	r.host.Do(func() { err = table.Apply(more) })
	if err == nil {
		t.Error("a change was made that the kernel must refuse")
	}
	if after := r.listing(); after != before {
		t.Errorf("after a refusal (%v) the table is\n%s\nwant\n%s", err, after, before)
	}
	wantGet(t, r.outside, hostOuter+":8080", "container1 sees "+outsideIP)

	r.host.Run("nft", "delete chain inet vswitch mine")
	r.apply(t, table, more)
	other.apply(t, other.open(t, host.Options{}), more)
	if got, want := r.listing(), other.listing(); got != want {
		t.Errorf("after the reason has gone the table is\n%s\nwant\n%s", got, want)
	}
	wantGet(t, r.outside, hostOuter+":8080", "container1 sees "+outsideIP)
}

// Changes do not look at the rules of others, which may be many.
func TestChangesDoNotInspectOthers(t *testing.T) {
	t.Parallel()
	r := newHost(t)
	r.host.Run("nft", "add table ip filter; "+
		"add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
	l := newLog()
	table := r.open(t, host.Options{Log: l.logger()})
	for range 3 {
		r.apply(t, table, fullConfig)
		r.apply(t, table, host.Config{Segments: both})
	}
	if text := l.String(); strings.Contains(text, "firewall") || strings.Contains(text, inspected) {
		t.Errorf("without a task that watches, the log has\n%s", text)
	}
	if found := table.Foreign(); len(found) != 0 {
		t.Errorf("without a task that watches, %v is known", found)
	}
	watch(t, table)
	l.waitCount(t, inspected, 1)
	if found := table.Foreign(); len(found) != 1 || found[0].String() != "ip filter FORWARD" {
		t.Errorf("in the way are %v, want ip filter FORWARD", found)
	}
}

func mustSubnet(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), 0, 0}), 16)
}

// A rule of the user's may speak of our sets: they stay when the rest is built anew, by the next
// process or after somebody has changed it.
func TestSetsOfOursInRulesOfTheUser(t *testing.T) {
	t.Parallel()
	r, other := newHost(t), newHost(t)
	l := newLog()
	r.apply(t, r.open(t, host.Options{}), fullConfig)
	const rule = "add rule inet vswitch user iifname @links ip daddr @subnets tcp dport 25 drop"
	r.host.Run("nft", rule)
	next := r.open(t, host.Options{Log: l.logger()})
	c := host.Config{Segments: []host.Segment{segmentB}, Forwards: []host.Forward{
		forward("", 8080, container3, 81, "vs-b"), forward("", 8083, container3, 80, "vs-b"),
	}}
	r.apply(t, next, c)
	other.apply(t, other.open(t, host.Options{}), c)
	other.host.Run("nft", rule)
	want := other.listing()
	if got := r.listing(); got != want {
		t.Errorf("the next process made\n%s\nwant\n%s", got, want)
	}
	watch(t, next)
	l.waitCount(t, inspected, 1)
	for i, harm := range []string{
		"flush set inet vswitch links", "flush map inet vswitch published",
		"insert rule inet vswitch forward accept",
	} {
		r.host.Run("nft", harm)
		l.waitCount(t, "put back", i+1)
		if got := r.listing(); got != want {
			t.Errorf("after %q the table is\n%s\nwant\n%s", harm, got, want)
		}
	}
	r.remove(t, next)
	if left := r.listing(); !strings.Contains(left, "@links") || strings.Contains(left, "elements") ||
		strings.Contains(left, "hook") {
		t.Errorf("after the removal the table is\n%s\nwant the user's rule and empty sets", left)
	}
}

// A set of ours that is not what we make, as of another version, is made again.
func TestSetsOfAnotherShape(t *testing.T) {
	t.Parallel()
	r, other := newHost(t), newHost(t)
	r.load(t, `table inet vswitch {
		set links { type mark; elements = { 1 }; }
		set subnets { type ipv4_addr; flags timeout; }
		map published { type inet_proto . inet_service : ipv4_addr . inet_service; }
		map published-on { type ipv4_addr : ipv4_addr; size 8192; }
	}
	`)
	r.apply(t, r.open(t, host.Options{}), fullConfig)
	other.apply(t, other.open(t, host.Options{}), fullConfig)
	if got, want := r.listing(), other.listing(); got != want {
		t.Errorf("over the sets of others the table is\n%s\nwant\n%s", got, want)
	}
}

// However changes of ours and of others meet, the table becomes what the last change wants.
func TestChangesWhileOthersHarm(t *testing.T) {
	t.Parallel()
	r, other := newHost(t), newHost(t)
	table := r.open(t, host.Options{})
	r.apply(t, table, fullConfig)
	watch(t, table)
	harmed := make(chan struct{})
	go func() {
		defer close(harmed)
		for range 5 {
			for _, harm := range []string{
				"flush ruleset", "add rule inet vswitch forward accept",
				"add element inet vswitch published { tcp . 3 : 172.17.0.2 . 1 }",
				"flush map inet vswitch published",
			} {
				_ = r.host.Exec(t.Context(), "nft", harm).Run() // fails while there is no table
			}
		}
	}()
	config := func(i int) host.Config {
		f := forward("", 2, container1, 80, "vs-a")
		f.Count = 1 + i%4
		return host.Config{Segments: both[:1+i%2], Forwards: []host.Forward{f}}
	}
	i := 0
	for done := false; !done; i++ {
		select {
		case <-harmed:
			done = true
		default:
		}
		r.apply(t, table, config(i))
	}
	other.apply(t, other.open(t, host.Options{}), config(i-1))
	want := other.listing()
	lab.Eventually(t, "the table is what the last change wants", func() bool {
		out, err := r.host.Exec(t.Context(), "nft", "list", "table", "inet", "vswitch").Output()
		return err == nil && string(out) == want
	})
}
