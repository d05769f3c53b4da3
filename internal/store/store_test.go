package store

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	if file := os.Getenv(surveyFile); file != "" {
		surveyChild(file)
		return
	}
	os.Exit(m.Run())
}

// noWait makes [Open] try the lock once.
const noWait = time.Nanosecond

// small makes files that a test can go through bit by bit.
var small = Options{pageSize: smallPage}

const smallPage = 1 << 10

var someTime = time.Date(2026, 11, 23, 20, 15, 30, 123456789, time.UTC)

func id(n int) string { return fmt.Sprintf("%064x", n) }

func mac(n int) string { return fmt.Sprintf("02:42:00:00:%02x:%02x", n>>8, n&0xff) }

// aSegment is segment n on 10.n.0.0/16.
func aSegment(n int) Segment {
	subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), 0, 0}), 16)
	return Segment{
		ID: id(n), Name: fmt.Sprintf("segment-%d", n), Subnet: subnet, Gateway: subnet.Addr().Next(), Range: subnet,
		MTU: 1500, Created: someTime,
	}
}

// aPort is port n on segment s, at the address that ends in n+2.
func aPort(n, s int) Port {
	return Port{
		ID: id(n + 1000), Name: fmt.Sprintf("port-%d", n), SegmentID: id(s), MAC: mac(n + 2),
		Addr:  netip.AddrFrom4([4]byte{10, byte(s), byte((n + 2) >> 8), byte(n + 2)}),
		NetNS: fmt.Sprintf("c%d", n), IfName: "eth0", Created: someTime,
	}
}

// aPool is a pool of the addresses of segment n.
func aPool(n int) Pool {
	s := aSegment(n)
	return Pool{
		ID: id(n + 2000), Subnet: s.Subnet, Gateway: s.Gateway, Range: s.Subnet, Created: someTime,
		Leases: []netip.Addr{aPort(1, n).Addr, aPort(2, n).Addr},
	}
}

// anEntry is entry n, which leads to port p on segment s.
func anEntry(n, p, s int) Entry { return Entry{SegmentID: id(s), MAC: mac(n), PortID: id(p + 1000)} }

// sample has something of everything.
func sample() State {
	bridge, internal := aSegment(1), aSegment(2)
	internal.Internal, internal.Uplink, internal.MTU = true, "none", 9000
	internal.Range = netip.MustParsePrefix("10.2.128.0/17")
	internal.Labels = map[string]string{"team": "größer", "empty": ""}
	plain, full := aPort(1, 1), aPort(2, 2)
	full.NetNS, full.PID, full.NoDefaultRoute, full.Down = "", 4711, true, true
	full.Namespace, full.Handover = "4:4026532000", true
	full.Labels = map[string]string{"a": "b"}
	full.AllowAddresses = []netip.Prefix{netip.MustParsePrefix("10.2.7.0/24"), netip.MustParsePrefix("2001:db8::/64")}
	full.Security, full.AllowReserved, full.BPDUGuard, full.Isolated = "strict", true, true, true
	full.MACLimit, full.FloodLimit, full.RateIn, full.RateOut = 8, 1000, 1_000_000_000, 18_000_000_000_000_000_000
	full.RateInBurst, full.RateOutBurst = 64<<10, 1
	full.Published = []Publication{
		{Protocol: "tcp", HostPort: 8080, Port: 80},
		{Protocol: "udp", HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 65000, Port: 1, Count: 536},
	}
	full.Aliases, full.DHCP, full.ResolvConf = []string{"db", "db.example"}, true, true
	internal.Rules = []Rule{
		{ID: id(7), From: RuleEnd{PortID: full.ID}, To: RuleEnd{LabelKey: "a", LabelValue: "b"}, Protocol: "tcp", FirstPort: 80, LastPort: 90},
		{ID: id(8), Deny: true, To: RuleEnd{LabelKey: "a"}},
	}
	full.LostSince, full.LostReason = someTime.Add(time.Hour), "namespace \"c2\" is gone"
	internal.PoolID = aPool(2).ID
	return State{
		Pools:    []Pool{aPool(2)},
		Segments: []Segment{bridge, internal},
		Ports:    []Port{plain, full},
		Entries:  []Entry{anEntry(500, 1, 1), anEntry(500, 2, 2), anEntry(501, 2, 2)},
	}
}

// The name was not reserved before: what has it must still load.
func TestAPortCalledGatewayLoads(t *testing.T) {
	t.Parallel()
	dir, p := t.TempDir(), aPort(1, 1)
	p.Name = "gateway"
	want := State{Segments: []Segment{aSegment(1)}, Ports: []Port{p}}
	db := open(t, dir, Options{})
	putAll(t, db, want)
	must(t, db.Close())
	wantDisk(t, dir, want)
}

func putAll(t testing.TB, db *DB, state State) {
	t.Helper()
	for _, p := range state.Pools {
		must(t, db.Apply(PutPool(p)))
	}
	for _, s := range state.Segments {
		must(t, db.Apply(PutSegment(s)))
	}
	for _, p := range state.Ports {
		must(t, db.Apply(PutPort(p)))
	}
	for _, e := range state.Entries {
		must(t, db.Apply(PutEntry(e)))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens the store in dir until the test ends.
func open(t testing.TB, dir string, o Options) *DB {
	t.Helper()
	db, err := Open(dir, o)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// sampleDir is a closed store with the sample.
func sampleDir(t testing.TB, o Options) string {
	t.Helper()
	dir := t.TempDir()
	db := open(t, dir, o)
	putAll(t, db, sample())
	must(t, db.Close())
	return dir
}

func load(t testing.TB, db *DB) State {
	t.Helper()
	state, err := db.Load()
	must(t, err)
	return state
}

func wantState(t testing.TB, db *DB, want State) {
	t.Helper()
	if got := load(t, db); !sameState(got, want) {
		t.Fatalf("the state is\n%+v, want\n%+v", got, want)
	}
}

// wantDisk wants that a new start finds a state.
func wantDisk(t testing.TB, dir string, want State) {
	t.Helper()
	db, err := Open(dir, Options{LockTimeout: noWait})
	must(t, err)
	wantState(t, db, want)
	checkBolt(t, db)
	must(t, db.Close())
}

// checkBolt asks bbolt whether it finds the file sound as well.
func checkBolt(t testing.TB, db *DB) {
	t.Helper()
	must(t, db.bolt.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt finds: %v", err)
		}
		return nil
	}))
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

// wantError wants one line that names the file and says each of the words.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	if strings.Count(err.Error(), "state file ") > 1 {
		t.Errorf("error %q names the file twice", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has more than one line", err)
	}
}

// wantUntouched wants dir to hold one file, the state file with the given bytes.
func wantUntouched(t testing.TB, dir string, want []byte) {
	t.Helper()
	if !bytes.Equal(readFile(t, filepath.Join(dir, FileName)), want) {
		t.Error("the state file was changed")
	}
	wantFiles(t, dir, FileName)
}

func wantFiles(t testing.TB, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	var got []string
	for _, f := range list {
		got = append(got, f.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("in the directory are %q, want %q", got, want)
	}
}

// sameState says whether a and b are equal; no records are as good as none.
func sameState(a, b State) bool {
	return slices.EqualFunc(a.Segments, b.Segments, func(a, b Segment) bool { return reflect.DeepEqual(a, b) }) &&
		slices.EqualFunc(a.Ports, b.Ports, func(a, b Port) bool { return reflect.DeepEqual(a, b) }) &&
		slices.EqualFunc(a.Pools, b.Pools, func(a, b Pool) bool { return reflect.DeepEqual(a, b) }) &&
		slices.Equal(a.Entries, b.Entries)
}

// clone is a State that shares nothing that tests change.
func (s State) clone() State {
	return State{
		Segments: slices.Clone(s.Segments), Ports: slices.Clone(s.Ports), Entries: slices.Clone(s.Entries), Pools: slices.Clone(s.Pools),
	}
}
