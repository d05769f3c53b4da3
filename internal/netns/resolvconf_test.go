package netns

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func TestResolvConf(t *testing.T) {
	t.Parallel()
	dir, gateway := t.TempDir(), netip.MustParseAddr("172.17.0.1")
	path := filepath.Join(dir, "c1", "resolv.conf")
	held := func(id string) bool { return id == "a" }
	write := func(id string) error { return WriteResolvConf(dir, "c1", id, gateway, held) }
	const want = "# Written by vswitchd, which removes it with port a\nnameserver 172.17.0.1\noptions ndots:0\n"
	for range 2 { // again, as after a crash
		if err := write("a"); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Fatalf("%q, %v; want %q", text, err, want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v; want a file that all may read", info.Mode(), err)
	}
	if err := write("b"); !errors.Is(err, ErrNotOurs) {
		t.Errorf("over another port's: %v, want ErrNotOurs", err)
	}
	if err := RemoveResolvConf(dir, "c1", "b"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("removed with another port: %v", err)
	}
	if err := RemoveResolvConf(dir, "c1", "a"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not removed: %v", err)
	}
	if err := RemoveResolvConf(dir, "c1", "a"); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	// What a crash left of a port that never was is taken over.
	if err := errors.Join(write("gone"), write("b")); err != nil {
		t.Error(err)
	}
}

func TestResolvConfOfOthersStays(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(path string) error{
		"a file":      func(path string) error { return os.WriteFile(path, []byte("nameserver 192.0.2.1\n"), 0o600) },
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a link":      func(path string) error { return os.Symlink("/nowhere", path) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "c1", "resolv.conf")
		if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), put(path)); err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		err = WriteResolvConf(dir, "c1", "a", netip.MustParseAddr("172.17.0.1"), func(string) bool { return false })
		if !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: %v, want ErrNotOurs", name, err)
		}
		if err := RemoveResolvConf(dir, "c1", "a"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: was replaced or removed: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "/etc"} {
		if err := WriteResolvConf(t.TempDir(), name, "a", netip.MustParseAddr("172.17.0.1"), nil); err == nil {
			t.Errorf("a namespace named %q: no error", name)
		}
	}
}
