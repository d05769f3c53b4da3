package reactor

import (
	"net"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
	"vswitch/tap"
	"vswitch/test/lab"
)

// registered wants to know which of slots have a registered file.
func registered(t *testing.T, r *Reactor, want bool, slots ...uint32) {
	t.Helper()
	for _, slot := range slots {
		if got := r.ring.files.holds(slot); got != want {
			t.Errorf("slot %d has a registered file: %t, want %t", slot, got, want)
		}
	}
}

// eachWorks wants frames both ways through each slot's own endpoint, two at a time,
// through the ring.
func eachWorks(t *testing.T, r *Reactor, lines map[uint32]*line) {
	t.Helper()
	s := play(r)
	for slot, l := range lines {
		l.inject("in", "too")
		expect(t, r, slot, "in", "too")
		r.Send(slot, frameOf(r, "out"))
		r.Send(slot, frameOf(r, "too"))
		flush(t, r, frame.OK, frame.OK)
		l.arrived("out", "too")
	}
	if s.calls < 2*len(lines) || unbatched(r) != nil {
		t.Errorf("%d calls of the ring, Batched says %v; want the ring used", s.calls, unbatched(r))
	}
}

// addLines adds a socket pair to each of slots.
func addLines(t *testing.T, r *Reactor, slots ...uint32) map[uint32]*line {
	t.Helper()
	lines := map[uint32]*line{}
	for _, slot := range slots {
		lines[slot] = newSocketPair(t)
		add(t, r, slot, lines[slot])
	}
	return lines
}

// TestTheTableGrows adds slots beyond the table's end, and near it.
func TestTheTableGrows(t *testing.T) {
	t.Parallel()
	r := newReactor(t, testBatch)
	slots := []uint32{0, firstFiles - 1, 2, firstFiles, 500, 3, 4999}
	lines := addLines(t, r, slots...)
	registered(t, r, true, slots...)
	registered(t, r, false, 1, firstFiles+1, 5000, 1<<31)
	eachWorks(t, r, lines)
	for _, slot := range []uint32{0, 500} {
		if err := r.Remove(slot); err != nil {
			t.Fatal(err)
		}
		delete(lines, slot)
	}
	registered(t, r, false, 0, 500)
	lines[9000] = addLines(t, r, 9000)[9000] // grows over the gaps
	registered(t, r, false, 0, 500)
	registered(t, r, true, 2, 3, 4999, 9000)
	eachWorks(t, r, lines)
}

// TestRegisteringFails has the kernel refuse what it may refuse: frames flow anyway,
// and what was registered stays so if it can.
func TestRegisteringFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		refuse        func(op uint32, places, tables int) bool
		before, after bool // slot 3 is registered, before and after slot 100 is added
	}{
		"the table":      {func(op uint32, _, _ int) bool { return op == opRegisterFiles }, false, false},
		"a larger table": {func(_ uint32, n, _ int) bool { return n > firstFiles }, true, true},
		"a second table": {func(_ uint32, _, tables int) bool { return tables > 1 }, true, false},
		"each file":      {func(op uint32, _, _ int) bool { return op == opUpdateFiles }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReactor(t, testBatch)
			register, calls, tables := r.ring.register, 0, 0
			r.ring.register = func(fd int, op uint32, argument unsafe.Pointer, n int) unix.Errno {
				calls++
				if op == opRegisterFiles {
					tables++
				}
				if test.refuse(op, n, tables) {
					return unix.EMFILE
				}
				return register(fd, op, argument, n)
			}
			lines := addLines(t, r, 3)
			registered(t, r, test.before, 3)
			lines[100] = addLines(t, r, 100)[100]
			registered(t, r, test.after, 3)
			registered(t, r, false, 100)
			eachWorks(t, r, lines)
			calls = 0
			lines[500] = addLines(t, r, 500)[500]
			if name != "each file" && calls != 0 {
				t.Errorf("the kernel is asked %d times again for a larger table", calls)
			}
			eachWorks(t, r, lines)
		})
	}
}

// TestTheLimitOfFiles lowers RLIMIT_NOFILE, which bounds the table. It is alone.
func TestTheLimitOfFiles(t *testing.T) {
	lab.LeakCheck(t)
	r := newReactor(t, testBatch)
	lines := addLines(t, r, 0, 70)
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 200, Max: old.Max}
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &low, nil); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &old, nil); err != nil {
			t.Error(err)
		}
	}()
	lines[150], lines[127] = addLines(t, r, 150)[150], addLines(t, r, 127)[127]
	registered(t, r, true, 0, 70, 127)
	registered(t, r, false, 150)
	eachWorks(t, r, lines)
}

// TestClosingDeletesAtOnce: once the reactor has let go of a TAP, closing the
// descriptor deletes the link before Close returns. It is alone, since a child that
// is being forked holds copies of all descriptors until its exec.
func TestClosingDeletesAtOnce(t *testing.T) {
	lab.LeakCheck(t)
	remove := func(t *testing.T, r *Reactor) {
		t.Helper()
		if err := r.Remove(1); err != nil {
			t.Error(err)
		}
	}
	for name, letGo := range map[string]func(t *testing.T, r *Reactor){
		"removed": remove,
		"removed, and the table does not change": func(t *testing.T, r *Reactor) {
			register := r.ring.register
			r.ring.register = func(fd int, op uint32, argument unsafe.Pointer, n int) unix.Errno {
				if op == opUpdateFiles {
					return unix.ENOMEM
				}
				return register(fd, op, argument, n)
			}
			remove(t, r)
		},
		"removed after the table has grown": func(t *testing.T, r *Reactor) {
			addLines(t, r, 1000)
			registered(t, r, true, 1)
			remove(t, r)
		},
		"the ring is given up": func(t *testing.T, r *Reactor) { r.fallBack(unix.ENOSYS) },
		"the reactor is closed": func(t *testing.T, r *Reactor) {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns := lab.NewNamespace(t)
			ns.Do(func() {
				d := mustCreate(t, ns, tap.Options{})
				r := newReactor(t, testBatch)
				add(t, r, 1, d)
				registered(t, r, true, 1)
				r.Receive(1, buffersOf(r, testBatch)) // the ring has used it
				letGo(t, r)
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := net.InterfaceByName(d.Name()); err == nil {
					t.Error("the link is there after Close")
				}
			})
		})
	}
}

// TestARegisteredFileStaysOpen shows that the test above tests something.
func TestARegisteredFileStaysOpen(t *testing.T) {
	lab.LeakCheck(t)
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, tap.Options{})
		r := newReactor(t, testBatch)
		add(t, r, 1, d)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := net.InterfaceByName(d.Name()); err != nil {
			t.Errorf("closed too early, the registered device is gone: %v", err)
		}
		if err := r.Remove(1); err == nil {
			t.Error("Remove does not say that the descriptor was closed before")
		}
		if _, err := net.InterfaceByName(d.Name()); err == nil {
			t.Error("the link is there after Remove")
		}
	})
}
