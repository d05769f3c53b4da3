package lab

import (
	"os"
	"strings"
	"testing"
)

func TestRequireRoot(t *testing.T) {
	t.Parallel()
	const all = ^uint32(0)
	for _, test := range []struct {
		name          string
		euid          int
		caps          uint32
		skip, problem string // substrings; empty: says nothing
	}{
		{"root", 0, all, "", ""},
		{"user", 1000, 0, "sudo make test", ""},
		{"user with capabilities", 1000, all, "sudo make test", ""},
		{"root without net admin", 0, all &^ (1 << 12), "", "CAP_NET_ADMIN"},
		{"root without sys admin", 0, all &^ (1 << 21), "", "CAP_SYS_ADMIN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			skip, problem := privileges(test.euid, test.caps)
			if !says(skip, test.skip) || !says(problem, test.problem) {
				t.Errorf("skip %q, problem %q; want %q and %q in them", skip, problem, test.skip, test.problem)
			}
		})
	}
}

func says(message, want string) bool {
	return (message == "") == (want == "") && strings.Contains(message, want)
}

func TestRequireRootSkipsOnlyWithoutRoot(t *testing.T) {
	t.Parallel()
	ran := false
	r := record(func(tb testing.TB) {
		RequireRoot(tb)
		ran = true
	})
	if root := os.Geteuid() == 0; root == r.skipped {
		t.Errorf("root %v, skipped %v: %s", root, r.skipped, r.said())
	}
	if ran == (r.skipped || r.failed) {
		t.Errorf("ran on %v after skipped %v, failed %v", ran, r.skipped, r.failed)
	}
}

func TestRequireCommand(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/ip", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)

	if r := record(func(tb testing.TB) { RequireCommand(tb, "ip") }); r.failed || r.skipped {
		t.Errorf("a command that is there: %s", r.said())
	}
	for command, pkg := range map[string]string{"ping": "iputils-ping", "frobnicate": "that has frobnicate"} {
		r := record(func(tb testing.TB) { RequireCommand(tb, "ip", command) })
		if root := os.Geteuid() == 0; r.failed != root || r.skipped == root {
			t.Errorf("%s missing, root %v: failed %v, skipped %v", command, root, r.failed, r.skipped)
		}
		if !strings.Contains(r.said(), "Debian package "+pkg) {
			t.Errorf("%s missing: %q does not name the package %q", command, r.said(), pkg)
		}
	}
}
