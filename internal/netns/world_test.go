package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/test/lab"
)

// asker starts a process with mounts, process ids and a network namespace of its own, whose shell
// has run script, and returns its id here. The shell's own id is 1.
func asker(t *testing.T, script string) (pid int, process *lab.Process) {
	t.Helper()
	lab.RequireRoot(t)
	lab.RequireCommand(t, "unshare")
	p, err := lab.StartProcess(lab.ProcessConfig{Argv: []string{
		"unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
		"unshare", "--net", "sh", "-ec", script + "\necho ready\nexec cat",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	if _, err := p.Await(ctx, 0, "ready"); err != nil {
		t.Fatal(err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.Pid(), p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
		t.Fatal(err)
	}
	return pid, p
}

// worldOf opens the world of a process.
func worldOf(t *testing.T, pid int) *World {
	t.Helper()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	w, err := OpenWorld(pid, pidfd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// idOfFile returns the [Namespace.ID] that a path leads to here.
func idOfFile(t *testing.T, path string) string {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return idOf(&stat)
}

// TestWorldOfAnotherProcess: each word means what it means to the process that says it, and what
// it is found by again means that here.
func TestWorldOfAnotherProcess(t *testing.T) {
	t.Parallel()
	named := lab.NewNamespace(t)
	dir := t.TempDir()
	pid, _ := asker(t, strings.NewReplacer("DIR", dir, "NAMED", named.Path()).Replace(`
		mount -t tmpfs none DIR
		mkdir -p DIR/a/b DIR/empty
		touch DIR/bound DIR/own
		mount --bind NAMED DIR/bound
		mount --bind /proc/1/ns/net DIR/own
		ln -s /proc/self/ns/net DIR/mine
		ln -s ../../mine DIR/a/b/up
		ln -s /proc/self DIR/me
		ln -s loop DIR/loop`))
	w := worldOf(t, pid)
	theirs := idOfFile(t, fmt.Sprintf("/proc/%d/ns/net", pid))
	ownPID, ownName := PID(pid).String(), named.Name()
	for name, again := range map[string]string{
		"/proc/self/ns/net": ownPID, "/proc/thread-self/ns/net": ownPID, "/proc/1/ns/net": ownPID,
		"/proc/1/task/1/ns/net": ownPID, "/proc/net/../ns/net": ownPID,
		"/proc/1/root/proc/self/ns/net":   ownPID,
		"/proc/self/root" + dir + "/mine": ownPID,
		dir + "/mine":                     ownPID, dir + "/a/b/up": ownPID, dir + "/me/ns/net": ownPID,
		dir + "/own": ownPID, dir + "/../" + filepath.Base(dir) + "/own": ownPID,
		"/../.." + dir + "/a/b/../../own": ownPID,
		dir + "/bound":                    ownName, named.Path(): named.Path(), ownName: ownName,
		"/proc/self/root" + named.Path(): ownName,
	} {
		// Not by ParseRef, which tidies the path up.
		ref := Ref{path: name}
		if name == ownName {
			ref = Ref{name: name}
		}
		ns, here, err := w.Locate(ref)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := theirs
		if again != ownPID {
			want = idOfFile(t, named.Path())
		}
		if ns.ID() != want || here.String() != again || !here.Means(want) {
			t.Errorf("%s is %s, found by %s; want %s, by %s", name, ns.ID(), here, want, again)
		}
		ns.Close()
	}
	ns, here, err := w.Locate(PID(1))
	if err != nil || ns.ID() != theirs || here != PID(pid) {
		t.Errorf("process 1 is %v by %v, %v; want that of process %d", ns, here, err, pid)
	} else {
		ns.Close()
	}
	for name, kind := range map[string]error{
		dir + "/missing": ErrNoNamespace, dir + "/own/x": ErrNoNamespace, "/proc/99999999/ns/net": ErrNoNamespace,
		dir + "/empty": ErrNotNamespace, "/dev/zero": ErrNotNamespace, "/proc/1/ns/pid": ErrNotNamespace,
		dir + "/loop": unix.ELOOP, "/proc/1/root/../own": unix.EXDEV,
	} {
		if ns, _, err := w.Locate(Ref{path: name}); !errors.Is(err, kind) {
			t.Errorf("%s is %v, %v; want an error that is %q", name, ns, err, kind)
		}
	}
	if ns, _, err := w.Locate(PID(1 << 21)); !errors.Is(err, ErrNoNamespace) {
		t.Errorf("a process that does not exist is %v, %v", ns, err)
	}
}

// TestWorldOfAProcessLikeOurs: what it names by a path or an id is found by just that.
func TestWorldOfAProcessLikeOurs(t *testing.T) {
	t.Parallel()
	named := lab.NewNamespace(t)
	p, err := lab.StartProcess(lab.ProcessConfig{Namespace: named.Name(), Argv: []string{"cat"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	w := worldOf(t, p.Pid())
	lab.Eventually(t, "the process is in the namespace", func() bool {
		return PID(p.Pid()).Means(idOfFile(t, named.Path()))
	})
	for ref, again := range map[Ref]Ref{
		{name: named.Name()}: {name: named.Name()}, {path: named.Path()}: {path: named.Path()},
		PID(p.Pid()): PID(p.Pid()), {path: PID(p.Pid()).String()}: {path: PID(p.Pid()).String()},
		{path: "/proc/self/ns/net"}: {name: named.Name()},
	} {
		ns, here, err := w.Locate(ref)
		if err != nil || here != again || ns.ID() != idOfFile(t, named.Path()) {
			t.Errorf("%s is %v, found by %s, %v; want to find it by %s", ref, ns, here, err, again)
			continue
		}
		ns.Close()
	}
}

// TestWorldOutOfSight: what a restart could not find again is refused, as is what nobody can tell.
func TestWorldOutOfSight(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pid, p := asker(t, strings.ReplaceAll(`
		mount -t tmpfs none DIR
		touch DIR/lone
		unshare --net=DIR/lone true`, "DIR", dir))
	w := worldOf(t, pid)
	if ns, here, err := w.Locate(Ref{path: dir + "/lone"}); !errors.Is(err, ErrOutOfSight) ||
		!strings.Contains(err.Error(), "ip netns attach") {
		t.Errorf("a namespace that has no name here is %v, found by %s, %v", ns, here, err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []Ref{{path: "/proc/self/ns/net"}, {path: "/proc/1/ns/net"}, PID(1)} {
		if ns, here, err := w.Locate(ref); err == nil {
			t.Errorf("%s of a process that has ended is %v, found by %s", ref, ns, here)
		}
	}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWorld(0, fd); !errors.Is(err, ErrOutOfSight) {
		t.Errorf("the world of a process that we cannot see: %v", err)
	}
}
