package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNotes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, text := range []string{"", "0", "another one", ""} {
		if err := WriteNote(dir, "note", text); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadNote(dir, "note"); err != nil || got != text {
			t.Errorf("read %q, %v; want %q", got, err, text)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if err := WriteNote(dir, "note", strings.Repeat("x", maxNote+1)); err == nil {
		t.Error("an endless note is written")
	}
	if err := WriteNote(filepath.Join(dir, "none"), "note", "x"); err == nil {
		t.Error("a note is written into a directory that does not exist")
	}
	if err := os.WriteFile(filepath.Join(dir, "note"), []byte("\x00\x1b[2J"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadNote(dir, "note"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged note: %v, want an error that says so", err)
	}
}
