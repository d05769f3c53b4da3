package api_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
)

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// The umask is the process's, so this test is not parallel.
func TestListenModesWhateverTheUmask(t *testing.T) {
	for _, mask := range []int{0, 0o077} {
		path := filepath.Join(filepath.Dir(apitest.Socket(t)), "new", "s")
		old := syscall.Umask(mask)
		l, err := api.Listen(path)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if got := mode(t, path); got != os.ModeSocket|0o660 {
			t.Errorf("umask %03o: socket has mode %v", mask, got)
		}
		if got := mode(t, filepath.Dir(path)); got != os.ModeDir|0o750 {
			t.Errorf("umask %03o: directory has mode %v", mask, got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("socket is still there after Close: %v", err)
		}
	}
}

func TestListenLeavesADirectoryAlone(t *testing.T) {
	t.Parallel()
	path := apitest.Socket(t)
	if err := os.Chmod(filepath.Dir(path), 0o711); err != nil {
		t.Fatal(err)
	}
	listen(t, path)
	if got := mode(t, filepath.Dir(path)); got != os.ModeDir|0o711 {
		t.Errorf("directory has mode %v", got)
	}
}

func TestListenTellsOfAnotherDaemon(t *testing.T) {
	t.Parallel()
	want := func(path string) string {
		return "another vswitchd is already serving on " + path + ": stop it or choose another path"
	}
	t.Run("by its lock", func(t *testing.T) {
		t.Parallel()
		path := apitest.Socket(t)
		first := listen(t, path)
		if _, err := api.Listen(path); err == nil || err.Error() != want(path) {
			t.Errorf("got %v", err)
		}
		if c, err := net.Dial("unix", path); err != nil {
			t.Errorf("the first daemon has lost its socket: %v", err)
		} else {
			c.Close()
		}
		first.Close()
		listen(t, path)
	})
	t.Run("by its answer", func(t *testing.T) {
		t.Parallel()
		path := apitest.Socket(t)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := api.Listen(path); err == nil || err.Error() != want(path) {
			t.Errorf("got %v", err)
		}
	})
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	t.Parallel()
	path := apitest.Socket(t)
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	mode(t, path) // it is still there
	listen(t, path)
}

func TestListenRefuses(t *testing.T) {
	t.Parallel()
	dir := filepath.Dir(apitest.Socket(t))
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file:                               "is not a socket",
		dir:                                "is not a socket",
		link:                               "is not a socket",
		filepath.Join(file, "s"):           "not a directory",
		"":                                 "want 1 to 107",
		"/run/" + strings.Repeat("x", 103): "has 108 bytes: want 1 to 107",
	} {
		l, err := api.Listen(path)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Listen(%.20q): got %v, want an error with %q", path, err, want)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "precious" {
		t.Errorf("the file was touched: %q %v", data, err)
	}
	for _, path := range []string{file, dir, link} {
		if _, err := os.Lstat(path + ".lock"); !os.IsNotExist(err) {
			t.Errorf("refusing %s left a lock file: %v", path, err)
		}
	}
}

func TestListenGivesOneOfManyTheSocket(t *testing.T) {
	t.Parallel()
	path := apitest.Socket(t)
	var (
		mu  sync.Mutex
		won []net.Listener
		wg  sync.WaitGroup
	)
	for range 16 {
		wg.Go(func() {
			if l, err := api.Listen(path); err == nil {
				mu.Lock()
				won = append(won, l)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d of 16 got the socket, want 1", len(won))
	}
	for _, l := range won {
		l.Close()
	}
}
