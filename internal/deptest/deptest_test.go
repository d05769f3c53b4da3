package deptest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

func TestProjectFollowsTheImportTable(t *testing.T) {
	t.Parallel()
	imports, err := Scan(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) == 0 {
		t.Fatal("no Go files found")
	}
	for _, violation := range Check(imports) {
		t.Error(violation)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		folder, path string
		want         string // substring of the violation; empty: allowed
	}{
		{"switch", "vswitch/frame", ""},
		{"switch", "vswitch/tap", "switch must not import vswitch/tap: switch is pure L2"},
		{"switch", "vswitch/switch/switchtest", "pure L2"},
		{"switch", "net/netip", ""},
		{"switch", "net", "pure L2"},
		{"switch", "os", "pure L2"},
		{"switch", "os/exec", "pure L2"},
		{"switch", "syscall", "pure L2"},
		{"switch", "golang.org/x/sys/unix", "system calls live"},
		{"switch/switchtest", "vswitch/switch", ""},
		{"switch/switchtest", "vswitch/tap", "stands in for the kernel"},
		{"frame", "math/bits", ""},
		{"frame", "strings", "views on bytes"},
		{"frame", "vswitch/arp", "the leaf"},
		{"tap", "github.com/songgao/water", ""},
		{"daemon", "github.com/songgao/water", "tap is where"},
		{"tap", "github.com/songgao/water/waterutil", ""},
		{"tap", "vswitch/switch", "edge to the kernel's TAP"},
		{"netns", "github.com/vishvananda/netlink", ""},
		{"internal/testenv", "github.com/vishvananda/netns", ""},
		{"daemon", "github.com/vishvananda/netlink/nl", "netns is where"},
		{"daemon", "golang.org/x/sys/unix", "system calls live"},
		{"daemon", "github.com/google/gopacket", ""},
		{"gateway", "github.com/google/gopacket/layers", "off the hot path"},
		{"gateway", "vswitch/arp", ""},
		{"gateway", "vswitch/tap", "one more port"},
		{"daemon", "vswitch/store", ""},
		{"daemon", "vswitch/docker", "composition root"},
		{"docker", "vswitch/daemon", "api.Backend"},
		{"api", "vswitch/daemon", "the wire"},
		{"cmd/vsctl", "vswitch/daemon", "through the api only"},
		{"cmd/vswitchd", "vswitch/store", "main parses flags"},
		{"bench", "vswitch/daemon", ""},
		{"ipam", "vswitch", "no package"},
		{"ipam", "", ""},
		{"router", "", "add it to the table"},
		{"switch/router", "fmt", "add it to the table"},
		{".", "", "add it to the table"},
	} {
		got := strings.Join(Check([]Import{{Position: "file.go:3", Folder: test.folder, Path: test.path}}), "\n")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s imports %q: got %q, want %q in it", test.folder, test.path, got, test.want)
		}
		if got != "" && !strings.HasPrefix(got, "file.go:3: ") {
			t.Errorf("%s imports %q: %q does not begin with the position", test.folder, test.path, got)
		}
	}
}

func TestCheckNamesAnUnknownRoomOnce(t *testing.T) {
	t.Parallel()
	got := Check([]Import{
		{"router/a.go:3", "router", "fmt"},
		{"router/a.go:4", "router", "os"},
		{"router/b.go:3", "router", "os"},
	})
	if len(got) != 1 {
		t.Errorf("got %q, want one line", got)
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	file := func(source string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(source)} }
	project := fstest.MapFS{
		"tap/tap.go":             file("package tap\n\nimport (\n\t\"fmt\"\n\tx \"vswitch/frame\"\n)\n"),
		"tap/other_windows.go":   file("//go:build windows\n\npackage tap\n\nimport \"os\"\n"),
		"tap/tap_test.go":        file("package tap\n\nimport \"testing\"\n"),
		"tap/testdata/broken.go": file("not Go"),
		"tap/_old/old.go":        file("package old\n\nimport \"net\"\n"),
		".cache/c.go":            file("package c\n\nimport \"net\"\n"),
		"vendor/v/v.go":          file("package v\n\nimport \"net\"\n"),
		"ipam/ipam.go":           file("package ipam\n"),
		"Makefile":               file("all:\n"),
	}
	got, err := Scan(project)
	if err != nil {
		t.Fatal(err)
	}
	want := map[Import]bool{
		{"tap/tap.go:4", "tap", "fmt"}:           true,
		{"tap/tap.go:5", "tap", "vswitch/frame"}: true,
		{"tap/other_windows.go:5", "tap", "os"}:  true,
		{"ipam/ipam.go:1", "ipam", ""}:           true,
	}
	for _, i := range got {
		if !want[i] {
			t.Errorf("found %+v, which is not there or is to be left out", i)
		}
		delete(want, i)
	}
	for i := range want {
		t.Errorf("did not find %+v", i)
	}
}

func TestScanFailsOnBrokenSource(t *testing.T) {
	t.Parallel()
	_, err := Scan(fstest.MapFS{"tap/tap.go": {Data: []byte("no Go")}})
	if err == nil || !strings.Contains(err.Error(), "tap/tap.go") {
		t.Errorf("got error %v, want one that names tap/tap.go", err)
	}
}

func TestTableIsConsistent(t *testing.T) {
	t.Parallel()
	known := map[string]bool{anything: true}
	for _, room := range rooms {
		if known[room.Folder] {
			t.Errorf("room %s is listed twice", room.Folder)
		}
		known[room.Folder] = true
	}
	check := func(where string, folders ...string) {
		for _, folder := range folders {
			if !known[folder] {
				t.Errorf("%s names %s, which is not in the table", where, folder)
			}
		}
	}
	for _, room := range rooms {
		check("room "+room.Folder, room.May...)
		if room.Why == "" && (len(room.May) != 1 || room.May[0] != anything) {
			t.Errorf("room %s gives no reason", room.Folder)
		}
	}
	for _, rule := range rules {
		check("the rule on "+rule.Imports[0], append(rule.OnlyIn, rule.NotIn...)...)
		if rule.Why == "" {
			t.Errorf("the rule on %s gives no reason", rule.Imports[0])
		}
	}
	for _, list := range allowLists {
		check("the allow list of "+list.Room, list.Room)
		if list.Why == "" {
			t.Errorf("the allow list of %s gives no reason", list.Room)
		}
	}
}
