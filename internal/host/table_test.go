package host_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"vswitch/internal/host"
	"vswitch/test/lab"
)

// newHost is a namespace with the links of both segments and nothing behind them.
func newHost(t testing.TB) *rig {
	t.Helper()
	lab.RequireCommand(t, "nft")
	r := &rig{host: lab.NewNamespace(t)}
	set(r.host, "ip_forward", "1") // as if the host did before us: what it forwards then is others_test.go's
	r.bridge(segmentA)
	r.bridge(segmentB)
	return r
}

var fullConfig = host.Config{Segments: both, Forwards: []host.Forward{
	forward("", 8080, container1, 80, "vs-a"),
	forward("127.0.0.1", 8081, container1, 80, "vs-a"),
	forward(hostOuter, 8082, container3, 80, "vs-b"),
}}

// listing is our table as nft shows it.
func (r *rig) listing() string { return r.host.Run("nft", "list", "table", "inet", "vswitch") }

func TestApplyIsIdempotent(t *testing.T) {
	t.Parallel()
	r := newHost(t)
	table := r.open(t, host.Options{})
	r.apply(t, table, fullConfig)
	first := r.listing()
	for _, want := range []string{`"vs-a"`, "172.17.0.0-172.18.255.255", "tcp . 8080 : 172.17.0.2 . 80", "127.0.0.1 . tcp . 8081", "192.0.2.1 . tcp . 8082 : 172.18.0.2 . 80"} {
		if !strings.Contains(first, want) {
			t.Errorf("the table has no %s:\n%s", want, first)
		}
	}
	r.apply(t, table, fullConfig)
	if again := r.listing(); again != first {
		t.Errorf("applied twice:\n%s\nwant as the first time:\n%s", again, first)
	}
	r.apply(t, table, host.Config{})
	if left := r.listing(); strings.Contains(left, "elements") {
		t.Errorf("without segments the table has\n%s", left)
	}
	r.apply(t, r.open(t, host.Options{}), fullConfig) // as the next process does
	if again := r.listing(); again != first {
		t.Errorf("applied by another:\n%s\nwant\n%s", again, first)
	}
}

// TestListingIsReadable holds that nft takes what it shows of our table.
func TestListingIsReadable(t *testing.T) {
	t.Parallel()
	r := newHost(t)
	table := r.open(t, host.Options{})
	r.apply(t, table, fullConfig)
	before := r.listing()
	file := t.TempDir() + "/ruleset"
	if err := os.WriteFile(file, []byte("flush ruleset\n"+before), 0o600); err != nil {
		t.Fatal(err)
	}
	r.host.Run("nft", "-f", file)
	if after := r.listing(); after != before {
		t.Errorf("loaded by nft:\n%s\nwant\n%s", after, before)
	}
}

func TestLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	r := newHost(t)
	r.host.Run("nft", "add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy drop; }; "+
		"add rule inet filter forward tcp dport 1 accept; add table ip vswitch; add chain ip vswitch guard; add rule ip vswitch guard drop")
	before := r.host.Run("nft", "list", "ruleset")
	table := r.open(t, host.Options{})
	r.apply(t, table, fullConfig)
	r.apply(t, table, host.Config{Segments: both})
	if with := r.host.Run("nft", "list", "ruleset"); !strings.HasPrefix(with, before) {
		t.Errorf("the ruleset became\n%s\nwant it to begin as before with\n%s", with, before)
	}
	r.remove(t, table)
	if after := r.host.Run("nft", "list", "ruleset"); after != before {
		t.Errorf("the ruleset is now\n%s\nwant\n%s", after, before)
	}
}

// TestUserChain holds that the user's rules are asked first, before and after the
// table is replaced, and that they stay when all else goes.
func TestUserChain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	serve(t, r.c1, "container1", ":80")
	r.host.Run("nft", "add table inet vswitch; add chain inet vswitch user; add chain inet vswitch mine; add set inet vswitch banned { type ipv4_addr; }; "+
		"add rule inet vswitch mine ip saddr @banned meta l4proto tcp ct original proto-dst 8080 drop; add rule inet vswitch user jump mine")
	table := r.open(t, host.Options{})
	c := host.Config{Segments: both, Forwards: []host.Forward{forward("", 8080, container1, 80, "vs-a"), forward("", 8081, container1, 80, "vs-a")}}
	r.apply(t, table, c)
	wantGet(t, r.outside, hostOuter+":8080", "container1 sees "+outsideIP)
	r.host.Run("nft", "add element inet vswitch banned { "+outsideIP+" }")
	wantNoGet(t, r.outside, hostOuter+":8080")
	wantGet(t, r.outside, hostOuter+":8081", "container1 sees "+outsideIP)
	r.apply(t, table, c)
	wantNoGet(t, r.outside, hostOuter+":8080")
	r.remove(t, table)
	left := r.listing()
	for _, want := range []string{"jump mine", outsideIP, "ct original proto-dst 8080 drop"} {
		if !strings.Contains(left, want) {
			t.Errorf("after the removal there is no %q of the user's in\n%s", want, left)
		}
	}
	if strings.Contains(left, "hook") {
		t.Errorf("after the removal the table still works:\n%s", left)
	}
}

func TestSettingsOfTheKernel(t *testing.T) {
	t.Parallel()
	r := newHost(t)
	const forwarding = "ip_forward"
	value := func(path string) string { return setting(r.host, path) }
	set(r.host, forwarding, "0")
	first := r.open(t, host.Options{})
	r.apply(t, first, host.Config{})
	if v := value(forwarding); v != "0" {
		t.Errorf("without segments %s is %s", forwarding, v)
	}
	r.apply(t, first, fullConfig)
	if v := value(forwarding); v != "1" {
		t.Errorf("with segments %s is %s", forwarding, v)
	}
	const localnetA, localnetB = "conf/vs-a/route_localnet", "conf/vs-b/route_localnet"
	if a, b := value(localnetA), value(localnetB); a != "1" || b != "0" {
		t.Errorf("route_localnet is %s where loopback is published and %s elsewhere", a, b)
	}
	r.remove(t, first)
	if v := value(forwarding); v != "1" {
		t.Errorf("after removal %s is %s, want it left to those who rely on it", forwarding, v)
	}
	if a := value(localnetA); a != "0" {
		t.Errorf("route_localnet is %s when nothing is published", a)
	}
}

// log collects what is logged; ask waits for a line with a word in it.
type log struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{}
}

func newLog() *log { return &log{wrote: make(chan struct{}, 1)} }

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		select {
		case l.wrote <- struct{}{}:
		default:
		}
	}()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *log) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// inspected is logged after each look at the rules of others.
const inspected = "rules of others inspected"

// watch runs the table until the test ends.
func watch(t *testing.T, table *host.Table) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- table.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// waitCount waits until word was logged n times.
func (l *log) waitCount(t *testing.T, word string, n int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for strings.Count(l.String(), word) < n {
		select {
		case <-l.wrote:
		case <-deadline:
			t.Fatalf("%q was not logged %d times but only:\n%s", word, n, l)
		}
	}
}

func TestPutBack(t *testing.T) {
	t.Parallel()
	r := newHost(t)
	l := newLog()
	table := r.open(t, host.Options{Log: l.logger()})
	r.apply(t, table, fullConfig)
	before := r.listing()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- table.Run(ctx) }()
	for i, harm := range []string{
		"flush ruleset",
		"delete table inet vswitch",
		"flush chain inet vswitch forward",
		"insert rule inet vswitch forward accept",
		"flush set inet vswitch links",
		"add element inet vswitch published { tcp . 1 : 172.17.0.2 . 1 }",
		"add chain inet vswitch guard { policy drop; }",
	} {
		r.host.Run("nft", harm)
		l.waitCount(t, "put back", i+1)
		if after := r.listing(); after != before {
			t.Errorf("after %q the table is\n%s\nwant\n%s", harm, after, before)
		}
	}
	r.apply(t, table, host.Config{Segments: both}) // our own changes are none of others
	r.host.Run("nft", "add table inet other")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(l.String(), "put back"); n != 7 {
		t.Errorf("put back %d times, want 7:\n%s", n, l)
	}
}

func TestRemovedIsNotPutBack(t *testing.T) {
	t.Parallel()
	r := newHost(t)
	table := r.open(t, host.Options{})
	r.apply(t, table, fullConfig)
	done := make(chan error)
	go func() { done <- table.Run(t.Context()) }()
	r.remove(t, table)
	if left := r.host.Run("nft", "list", "ruleset"); left != "" {
		t.Errorf("after the removal the ruleset is\n%s", left)
	}
	if err := table.Close(); err != nil { // ends Run
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := table.Apply(fullConfig); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed table answers %v", err)
	}
}

func TestForeignDrops(t *testing.T) {
	t.Parallel()
	const inTheWay = "another firewall"
	for name, c := range map[string]struct {
		ruleset string
		warns   string // in the warning; "" when there is none to be
	}{
		"none":               {"add table ip filter", ""},
		"accepting":          {"add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy accept; }", ""},
		"as iptables":        {"add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }", "iptables -I FORWARD -i vs-+"},
		"as Docker":          {"add table ip filter; add chain ip filter DOCKER-USER; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }", "iptables -I DOCKER-USER -i vs-+ -o OUT -j ACCEPT; iptables -I DOCKER-USER -o vs-+"},
		"input only":         {"add table ip filter; add chain ip filter INPUT { type filter hook input priority 0; policy drop; }", ""},
		"IPv6 only":          {"add table ip6 filter; add chain ip6 filter FORWARD { type filter hook forward priority 0; policy drop; }", ""},
		"as firewalld":       {"add table inet firewalld; add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; }; add rule inet firewalld filter_FORWARD ct state established accept; add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited", "firewall-cmd"},
		"firewalld's reload": {"add table inet firewalld_policy_drop; add chain inet firewalld_policy_drop filter_forward { type filter hook forward priority 9; policy drop; }", ""},
		"conditional":        {"add table inet f; add chain inet f forward { type filter hook forward priority 0; }; add rule inet f forward tcp dport 25 reject", ""},
		"knows our links":    {`add table ip filter; add chain ip filter USER; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; add rule ip filter USER iifname "vs-*" accept`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHost(t)
			r.host.Run("nft", c.ruleset)
			l := newLog()
			table := r.open(t, host.Options{Log: l.logger()})
			r.apply(t, table, fullConfig)
			watch(t, table)
			l.waitCount(t, inspected, 1)
			r.host.Run("nft", "add table inet another")
			l.waitCount(t, inspected, 2)
			if n := strings.Count(l.String(), inTheWay); c.warns == "" && n != 0 || c.warns != "" && n != 1 || !strings.Contains(l.String(), c.warns) {
				t.Errorf("logged %d warnings; want %q once or, if empty, none:\n%s", n, c.warns, l)
			}
		})
	}
}

// TestLateForeignDrop holds that a firewall is noticed which comes after us.
func TestLateForeignDrop(t *testing.T) {
	t.Parallel()
	r := newHost(t)
	l := newLog()
	table := r.open(t, host.Options{Log: l.logger()})
	r.apply(t, table, fullConfig)
	watch(t, table)
	l.waitCount(t, "in_the_way=0", 1)
	r.host.Run("nft", "add table inet late; add chain inet late forward { type filter hook forward priority 0; policy drop; }")
	l.waitCount(t, "inet late forward", 1)
	if found := table.Foreign(); len(found) != 1 || found[0].String() != "inet late forward" {
		t.Errorf("in the way are %v, want inet late forward", found)
	}
	r.host.Run("nft", "delete table inet late")
	l.waitCount(t, "in_the_way=0", 2)
	if found := table.Foreign(); len(found) != 0 {
		t.Errorf("in the way are %v, want none", found)
	}
}
