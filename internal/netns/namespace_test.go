package netns

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

func mustOpen(t testing.TB, ref Ref) *Namespace {
	t.Helper()
	ns, err := Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

func mustParse(t testing.TB, s string) Ref {
	t.Helper()
	ref, err := ParseRef(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestParseRef(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"c1": "c1", "/run/netns/c1": "/run/netns/c1", "/proc/1/../2/ns/net": "/proc/2/ns/net", "a:b c": "a:b c",
	} {
		ref, err := ParseRef(in)
		if err != nil || ref.String() != want {
			t.Errorf("ParseRef(%q) is %q, %v; want %q", in, ref, err, want)
		}
		if again, err := ParseRef(ref.String()); err != nil || again != ref {
			t.Errorf("ParseRef(%q) is %#v, %v; want %#v again", ref.String(), again, err, ref)
		}
	}
	for _, bad := range []string{"", "a/b", "./c1", ".", "..", "c\x001", "/run/netns/c\x001"} {
		if ref, err := ParseRef(bad); err == nil || !strings.Contains(err.Error(), "give ") {
			t.Errorf("ParseRef(%q) is %q, %v; want an error that says what to give", bad, ref, err)
		}
	}
}

func TestOpenFindsTheSameNamespaceEachWay(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	child := env.Exec(t.Context(), "cat")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close() // cat ends with its input
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}()
	// An echo says that it is cat, inside, and no longer nsenter.
	if _, err := stdin.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	byName := mustOpen(t, mustParse(t, env.Name()))
	if byName.Path() != env.Path() {
		t.Errorf("opened by %s, want %s", byName.Path(), env.Path())
	}
	for _, ref := range []Ref{mustParse(t, env.Path()), PID(child.Process.Pid), mustParse(t, PID(child.Process.Pid).String())} {
		if ns := mustOpen(t, ref); ns.ID() != byName.ID() {
			t.Errorf("%s is namespace %s, want %s", ref, ns.ID(), byName.ID())
		}
	}
	if ns := mustOpen(t, PID(os.Getpid())); ns.ID() == byName.ID() {
		t.Errorf("our own namespace %s shows as the new one", ns.ID())
	}
	env.Do(func() {
		current, err := Current()
		if err != nil {
			t.Fatal(err)
		}
		defer current.Close()
		if current.ID() != byName.ID() {
			t.Errorf("the current namespace is %s, want %s", current.ID(), byName.ID())
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		ref     Ref
		want    string
		missing bool
	}{
		{Ref{name: "vst-missing"}, `network namespace "vst-missing" does not exist: create it with "ip netns add vst-missing" or give a path`, true},
		{Ref{path: dir + "/missing"}, "does not exist", true},
		{Ref{path: file + "/below"}, "does not exist", true},
		{PID(ended.Process.Pid), "is not running", true},
		{PID(0), "above 0", false},
		{PID(-1), "above 0", false},
		{Ref{}, "above 0", false},
		{Ref{path: file}, "a file of another kind", false},
		{Ref{path: fifo}, "a file of another kind", false},
		{Ref{path: dir}, "a file of another kind", false},
		{Ref{path: "/proc/self/ns/uts"}, "a namespace of another kind", false},
		{Ref{name: strings.Repeat("x", 300)}, "too long", false},
	}
	for _, test := range tests {
		_, err := Open(test.ref)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Open(%q) says %v, want one line with %q", test.ref, err, test.want)
		}
		if errors.Is(err, ErrNoNamespace) != test.missing {
			t.Errorf("Open(%q) says %v: ErrNoNamespace is %t, want %t", test.ref, err, !test.missing, test.missing)
		}
	}
}

func threadNamespace() (string, error) { return os.Readlink(currentPath) }

func TestDo(t *testing.T) {
	t.Parallel()
	ns := mustOpen(t, mustParse(t, lab.NewNamespace(t).Name()))
	outside, err := threadNamespace()
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("f fails")
	var inside string
	if err := ns.Do(func() (err error) {
		if inside, err = threadNamespace(); err != nil {
			return err
		}
		return failure
	}); !errors.Is(err, failure) {
		t.Errorf("Do returns %v, want f's own error", err)
	}
	if inside == outside {
		t.Errorf("f ran in %s, where the caller is", inside)
	}
	if err := ns.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("Do says nothing of a function that ended its goroutine")
	}
	for range 100 { // threads that were inside are used again, or gone
		seen := make(chan string)
		go func() {
			s, _ := threadNamespace()
			seen <- s
		}()
		if s := <-seen; s != outside {
			t.Fatalf("a goroutine runs in %s after Do, want %s", s, outside)
		}
	}
}

func TestClosedNamespaceIsAnError(t *testing.T) {
	t.Parallel()
	ns := mustOpen(t, mustParse(t, lab.NewNamespace(t).Name()))
	for range 2 {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := ns.Do(func() error { t.Error("f runs"); return nil }); err == nil {
		t.Error("Do succeeds in a closed namespace")
	}
	if _, err := ns.LinkExists("lo"); err == nil {
		t.Error("LinkExists succeeds in a closed namespace")
	}
}

func TestMeansTellsANamespaceByItsID(t *testing.T) {
	t.Parallel()
	a, b := lab.NewNamespace(t), lab.NewNamespace(t)
	id := mustOpen(t, mustParse(t, a.Name())).ID()
	for ref, want := range map[Ref]bool{
		mustParse(t, a.Name()):            true,
		mustParse(t, a.Path()):            true,
		mustParse(t, b.Name()):            false,
		mustParse(t, "no-such-name"):      false,
		mustParse(t, t.TempDir()):         false,
		mustParse(t, a.Path()+"/beneath"): false,
		PID(os.Getpid()):                  false,
	} {
		if ref.Means(id) != want {
			t.Errorf("%s means the namespace of ID %s: %t, want %t", ref, id, !want, want)
		}
	}
	if own := mustOpen(t, PID(os.Getpid())); !PID(os.Getpid()).Means(own.ID()) {
		t.Error("a process does not mean its own namespace")
	}
	a.Remove()
	if mustParse(t, a.Name()).Means(id) {
		t.Error("a namespace's name means it after its end")
	}
}

// TestOpenOpensNothingElse: a path that is no namespace may be a device, with which opening it
// does something.
func TestOpenOpensNothingElse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, path, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	_, err = Open(mustParse(t, path))
	if !errors.Is(err, ErrNotNamespace) {
		t.Errorf("open: %v, want that it is no namespace", err)
	}
	var b [256]byte
	if n, err := unix.Read(watch, b[:]); err != unix.EAGAIN {
		t.Errorf("the file was opened: %d bytes of events, %v", n, err)
	}
}
