package host

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/mdlayher/netlink"

	"vswitch/test/lab"
)

// What the kernel shows right after thousands of elements have come is all of them: else a table
// would be taken for damaged, and built anew.
func TestGrowthIsNotDamage(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	var table *Table
	var err error
	ns.Do(func() { table, err = Open(Options{}) })
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	segment := Segment{Link: "vs-a", Subnet: netip.MustParsePrefix("172.17.0.0/16")}
	few := Config{Segments: []Segment{segment}}
	// More than there is room for at first, and, once the table was built for them, not.
	const count = minRoom/2 + 1
	many := few
	for _, ip := range []string{"0.0.0.0", "127.0.0.1"} {
		for _, protocol := range []Protocol{TCP, UDP} {
			many.Forwards = append(many.Forwards, Forward{
				Protocol: protocol, HostIP: netip.MustParseAddr(ip), HostPort: 1, Count: count,
				To: netip.MustParseAddr("172.17.0.2"), ToPort: 1, Link: "vs-a",
			})
		}
	}
	many.Forwards[2].HostPort, many.Forwards[3].HostPort = 10000, 10000
	for i := range 10 {
		for _, c := range []Config{many, few} {
			ns.Do(func() { err = table.Apply(c) })
			if err != nil {
				t.Fatal(err)
			}
			if !table.intact || !table.unchanged(table.left) {
				t.Errorf("after change %d the table is not what was made, intact %t", i, table.intact)
			}
		}
	}
}

// The task that watches looks again at what others have changed in our table, and at what others
// have made elsewhere, but not at each change of ours.
func TestConcerns(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	ns := lab.NewNamespace(t)
	var table *Table
	var err error
	ns.Do(func() { table, err = Open(Options{}) })
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	config := Config{Segments: []Segment{segmentOf("vs-a", "172.17.0.0/16", true)}}
	apply := func() {
		ns.Do(func() { err = table.Apply(config) })
		if err != nil {
			t.Fatal(err)
		}
	}
	const hook = "{ type filter hook forward priority 0; }"
	nft := func(command string) func() { return func() { ns.Run("nft", command) } }
	for _, c := range []struct {
		name         string
		do           func()
		ours, others bool
	}{
		{"first", apply, true, false},
		{"a segment more", func() {
			config.Segments = append(config.Segments, segmentOf("vs-b", "172.18.0.0/16", true))
			apply()
		}, false, false},
		{"a port more", func() {
			config.Forwards = append(config.Forwards, Forward{
				Protocol: TCP, HostPort: 1, To: netip.MustParseAddr("172.17.0.2"), ToPort: 1, Link: "vs-a",
			})
			apply()
		}, false, false},
		{"an element of others", nft("delete element inet vswitch published { tcp . 1 }"), true, false},
		{"a rule of the user's", nft("add rule inet vswitch user drop"), true, false},
		{"a table", nft("add table inet other"), false, true},
		{"its namesake", nft("add table ip vswitch"), false, true},
		{"a chain", nft("add chain inet other forward " + hook), false, true},
		{"a rule", nft("add rule inet other forward drop"), false, true},
		{"a set", nft("add set inet other s { type mark; }"), false, false},
		{"an element", nft("add element inet other s { 1 }"), false, false},
		{"a flush", nft("flush ruleset"), true, true},
	} {
		c.do()
		if ours, others := heard(t, ns, table); ours != c.ours || others != c.others {
			t.Errorf("%s concerns us %t and others %t, want %t and %t",
				c.name, ours, others, c.ours, c.others)
		}
	}
}

// heard reports what the table's socket has received until now.
func heard(t *testing.T, ns *lab.Namespace, table *Table) (ours, others bool) {
	t.Helper()
	ns.Run("nft", "add table inet end; delete table inet end")
	for {
		messages, err := table.changes.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(messages, func(m netlink.Message) bool { return tableOf(m) == "end" }) {
			return ours, others
		}
		o, f := table.concerns(messages)
		ours, others = ours || o, others || f
	}
}
