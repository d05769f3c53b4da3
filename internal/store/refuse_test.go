package store

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refused are records that do not go with the sample.
func refused() map[string]struct {
	put  func(*DB) error
	want string
} {
	cases := make(map[string]struct {
		put  func(*DB) error
		want string
	})
	segment := func(name, want string, change func(*Segment)) {
		s := aSegment(3)
		change(&s)
		cases["segment "+name] = struct {
			put  func(*DB) error
			want string
		}{func(db *DB) error { return db.Apply(PutSegment(s)) }, want}
	}
	port := func(name, want string, change func(*Port)) {
		p := aPort(3, 1)
		change(&p)
		cases["port "+name] = struct {
			put  func(*DB) error
			want string
		}{func(db *DB) error { return db.Apply(PutPort(p)) }, want}
	}
	entry := func(name, want string, e Entry) {
		cases["entry "+name] = struct {
			put  func(*DB) error
			want string
		}{func(db *DB) error { return db.Apply(PutEntry(e)) }, want}
	}
	long := strings.Repeat("a", 64)
	segment("no id", "64 hex digits", func(s *Segment) { s.ID = "" })
	segment("upper case id", "64 hex digits", func(s *Segment) { s.ID = strings.ToUpper(strings.Repeat("ab", 32)) })
	segment("no name", "letters, digits", func(s *Segment) { s.Name = "" })
	segment("long name", "letters, digits", func(s *Segment) { s.Name = long })
	segment("odd name", "letters, digits", func(s *Segment) { s.Name = "-x" })
	segment("name with line", "letters, digits", func(s *Segment) { s.Name = "x\ny" })
	segment("same name", "that of segment "+id(1), func(s *Segment) { s.Name = "segment-1" })
	segment("no subnet", "without host bits", func(s *Segment) { s.Subnet = netip.Prefix{} })
	segment("host bits", "without host bits", func(s *Segment) { s.Subnet = netip.MustParsePrefix("10.3.0.1/16") })
	segment("no gateway", "outside subnet", func(s *Segment) { s.Gateway = netip.Addr{} })
	segment("gateway outside", "outside subnet", func(s *Segment) { s.Gateway = netip.MustParseAddr("10.4.0.1") })
	segment("no range", "range", func(s *Segment) { s.Range = netip.Prefix{} })
	segment("range outside", "range", func(s *Segment) { s.Range = netip.MustParsePrefix("10.4.0.0/24") })
	segment("range wider", "range", func(s *Segment) { s.Range = netip.MustParsePrefix("10.0.0.0/8") })
	segment("range host bits", "range", func(s *Segment) { s.Range = netip.MustParsePrefix("10.3.0.1/24") })
	segment("mtu small", "mtu", func(s *Segment) { s.MTU = 67 })
	segment("mtu large", "mtu", func(s *Segment) { s.MTU = 65536 })
	segment("label", "label", func(s *Segment) { s.Labels = map[string]string{"a": "\xff"} })
	segment("label key", "label", func(s *Segment) { s.Labels = map[string]string{"": "a"} })
	segment("too large", "bytes", func(s *Segment) { s.Labels = map[string]string{"a": strings.Repeat("x", maxRecord)} })
	segment("year", "year", func(s *Segment) { s.Created = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })
	segment("moved under its port", "no room for port \"port-1\"", func(s *Segment) { *s = aSegment(3); s.ID = id(1) })
	segment("gateway at its port", "no room for port \"port-1\"", func(s *Segment) { *s = aSegment(1); s.Gateway = aPort(1, 1).Addr })

	rule := func(name, want string, change func(*Rule)) {
		r := Rule{ID: id(70)}
		change(&r)
		segment("rule "+name, want, func(s *Segment) { s.Rules = []Rule{{ID: id(71)}, r} })
	}
	rule("no id", "rule 2: id", func(r *Rule) { r.ID = "" })
	rule("same id", "another rule", func(r *Rule) { r.ID = id(71) })
	rule("protocol", "protocol", func(r *Rule) { r.Protocol = "\x00" })
	rule("ports", "higher one first", func(r *Rule) { r.FirstPort = 1 })
	rule("port id", "port id", func(r *Rule) { r.From.PortID = "web" })
	rule("port and label", "both given", func(r *Rule) { r.To = RuleEnd{PortID: id(1), LabelKey: "a"} })
	rule("label without key", "label", func(r *Rule) { r.To.LabelValue = "a" })
	rule("label", "label", func(r *Rule) { r.From.LabelKey = "a\n" })
	segment("rules", "more than 1024", func(s *Segment) { s.Rules = make([]Rule, 1025) })

	port("no id", "64 hex digits", func(p *Port) { p.ID = id(1)[1:] })
	port("no name", "letters, digits", func(p *Port) { p.Name = "" })
	port("same name", "that of port "+id(1001), func(p *Port) { p.Name = "port-1" })
	port("bad segment", "segment id", func(p *Port) { p.SegmentID = "bridge" })
	port("no segment", "does not exist", func(p *Port) { p.SegmentID = id(9) })
	port("no mac", "unicast", func(p *Port) { p.MAC = "" })
	port("upper case mac", "unicast", func(p *Port) { p.MAC = "02:42:AC:11:00:02" })
	port("mac with dashes", "unicast", func(p *Port) { p.MAC = "02-42-ac-11-00-02" })
	port("group mac", "unicast", func(p *Port) { p.MAC = "03:42:ac:11:00:02" })
	port("zero mac", "unicast", func(p *Port) { p.MAC = "00:00:00:00:00:00" })
	port("same mac", "that of port \"port-1\"", func(p *Port) { p.MAC = aPort(1, 1).MAC })
	port("no address", "address", func(p *Port) { p.Addr = netip.Addr{} })
	port("zone", "address", func(p *Port) { p.Addr = netip.MustParseAddr("fe80::1%eth0") })
	port("address outside", "outside subnet", func(p *Port) { p.Addr = netip.MustParseAddr("10.2.0.9") })
	port("gateway's address", "gateway's", func(p *Port) { p.Addr = aSegment(1).Gateway })
	port("same address", "that of port \"port-1\"", func(p *Port) { p.Addr = aPort(1, 1).Addr })
	port("netns", "netns", func(p *Port) { p.NetNS = "a\x00b" })
	port("netns not UTF-8", "netns", func(p *Port) { p.NetNS = "/run/\xff" })
	port("namespace", "namespace", func(p *Port) { p.Namespace = "\t" })
	port("pid and netns", "pid", func(p *Port) { p.PID = 7 })
	port("negative pid", "pid", func(p *Port) { p.NetNS, p.PID = "", -1 })
	port("ifname", "ifname", func(p *Port) { p.IfName = "../eth0" })
	port("long ifname", "ifname", func(p *Port) { p.IfName = "abcdefghijklmnop" })
	port("security", "security", func(p *Port) { p.Security = "\x1b[31m" })
	published := func(what string, q Publication) {
		port("publication", what, func(p *Port) { p.Published = []Publication{q} })
	}
	published("protocol", Publication{HostPort: 1, Port: 1})
	published("protocol", Publication{Protocol: "\x1b", HostPort: 1, Port: 1})
	published("host address", Publication{Protocol: "tcp", HostIP: netip.MustParseAddr("fe80::1%eth0"), HostPort: 1, Port: 1})
	published("ports from 0", Publication{Protocol: "tcp", Port: 1})
	published("not within", Publication{Protocol: "tcp", HostPort: 1})
	published("not within", Publication{Protocol: "tcp", HostPort: 65535, Port: 1, Count: 2})
	published("not within", Publication{Protocol: "tcp", HostPort: 1, Port: 1, Count: -1})
	port("publications", "more than 4096", func(p *Port) { p.Published = make([]Publication, 4097) })
	port("alias", "alias", func(p *Port) { p.Aliases = []string{"ok", "-"} })
	port("aliases", "aliases", func(p *Port) { p.Aliases = make([]string, maxAliases+1) })
	port("allowed address", "allowed address", func(p *Port) { p.AllowAddresses = make([]netip.Prefix, 1) })
	port("moved away from its entry", "static entries", func(p *Port) {
		*p = aPort(1, 2)
		p.MAC, p.Addr = mac(99), netip.MustParseAddr("10.2.9.9")
	})

	entry("bad segment", "segment id", Entry{SegmentID: "x", MAC: mac(1), PortID: id(1001)})
	entry("bad mac", "unicast", Entry{SegmentID: id(1), MAC: "ff:ff:ff:ff:ff:ff", PortID: id(1001)})
	entry("bad port", "port id", Entry{SegmentID: id(1), MAC: mac(1), PortID: "web"})
	entry("no segment", "does not exist", anEntry(1, 1, 9))
	entry("no port", "does not exist", anEntry(1, 9, 1))
	entry("port elsewhere", "is not on segment \"segment-2\"", anEntry(1, 1, 2))
	return cases
}

func TestRefusedChangesChangeNothing(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	before := readFile(t, filepath.Join(dir, FileName))
	db := open(t, dir, Options{})
	for name, test := range refused() {
		err := test.put(db)
		if err == nil {
			t.Errorf("%s: got no error", name)
			continue
		}
		wantError(t, err, test.want)
		if errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v takes a wrong request for damage", name, err)
		}
	}
	wantError(t, db.Apply(DeleteSegment(id(1))), "segment-1", "port-1", "delete its ports first")
	wantState(t, db, sample())
	must(t, db.Close())
	wantUntouched(t, dir, before)
}
