package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"vswitch/api"

	"golang.org/x/sys/unix"
)

// TestListsWaitForNoChange: while the daemon waits for its successor, which takes no change,
// lists and the metrics are answered.
func TestListsWaitForNoChange(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Harmed()
	h.Attach("a")
	gate := filepath.Join(t.TempDir(), "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	slow := filepath.Join(t.TempDir(), "vswitchd")
	script := fmt.Sprintf("#!/bin/sh\nread line < %s\nexit 1\n", gate)
	if err := os.WriteFile(slow, []byte(script), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	upgraded := make(chan error, 1)
	go func() { upgraded <- h.Client.Upgrade(h.Context(), api.UpgradeSpec{Binary: slow}) }()
	opened, err := os.OpenFile(gate, os.O_WRONLY, 0) // once the program reads
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	for _, args := range [][]string{
		{"list-ports"},
		{"list-segments"},
		{"list-published"},
		{"list-fdb"},
		{"list-arp"},
		{"list-pools"},
		{"stats", "a"},
	} {
		h.MustVsctl(args...)
	}
	select {
	case err := <-upgraded:
		t.Fatalf("the change that lists were to be made beside ended before them: %v", err)
	default:
	}
	opened.Close()
	if err := <-upgraded; err == nil {
		t.Error("the daemon was replaced by a program that ended")
	}
	b := h.Attach("b")
	b.Reaches("172.17.0.2")
}
