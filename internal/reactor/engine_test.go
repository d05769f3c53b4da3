package reactor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
	"vswitch/tap"
)

// TestChoose: auto is the engine that is quicker at the price of a system call.
func TestChoose(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		asked Engine
		call  time.Duration
		want  Engine
		why   string
	}{
		{Auto, 60, RingFixed, ""},
		{Auto, dearCall - 1, RingFixed, ""},
		{Auto, dearCall, Ring, "a system call costs 480ns here"},
		{RingFixed, time.Millisecond, RingFixed, ""},
		{Ring, 60, Ring, "it was asked for"},
		{Plain, 60, Plain, "it was asked for"},
	} {
		got, why := choose(test.asked, test.call)
		said := ""
		if why != nil {
			said = why.Error()
		}
		if got != test.want || !strings.HasPrefix(said, test.why) || (said == "") != (test.why == "") {
			t.Errorf("%v at %v: %v because %q, want %v, %q", test.asked, test.call, got, said, test.want, test.why)
		}
	}
	if p := callPrice(); p <= 0 || p > time.Second {
		t.Errorf("a system call costs %v", p)
	}
}

func TestParseEngine(t *testing.T) {
	t.Parallel()
	for _, e := range []Engine{Auto, Plain, Ring, RingFixed} {
		if got, err := ParseEngine(e.String()); got != e || err != nil {
			t.Errorf("%v is parsed as %v, %v", e, got, err)
		}
	}
	if _, err := ParseEngine("epoll"); err == nil || !strings.Contains(err.Error(), `"epoll" is unknown`) {
		t.Errorf("an unknown engine: %v", err)
	}
}

// states collects what OnFallback is called with.
type states []State

func (s *states) add(state State) { *s = append(*s, state) }

// want wants a fallback to each of engines in turn.
func (s *states) want(t *testing.T, r *Reactor, engines ...Engine) {
	t.Helper()
	var got []Engine
	for _, state := range *s {
		got = append(got, state.Engine)
	}
	if !slices.Equal(got, engines) {
		t.Errorf("fallbacks to %v, want %v", got, engines)
	}
	if len(engines) > 0 && r.State().Engine != engines[len(engines)-1] {
		t.Errorf("the engine is %v, want %v", r.State().Engine, engines)
	}
}

// carries wants frames both ways, in and out of the reactor's own buffers and of others.
func carries(t *testing.T, r *Reactor, own [][]byte, open func(testing.TB) *line) {
	t.Helper()
	l := open(t)
	add(t, r, 1, l)
	texts := numbered(testBatch)
	l.inject(texts...)
	mixed := slices.Concat(own[:testBatch/2], buffers(testBatch/2))
	if n, status := r.Receive(1, mixed); n != testBatch || status != frame.OK {
		t.Fatalf("%d frames with status %d, want a batch", n, status)
	}
	for i, b := range mixed {
		if payload(b) != texts[i] {
			t.Errorf("frame %d is %q, want %q", i, payload(b), texts[i])
		}
		r.Send(1, b)
	}
	for i, status := range r.Flush() {
		if status != frame.OK {
			t.Errorf("frame %d has status %d", i, status)
		}
	}
	l.arrived(texts...)
	if err := r.Remove(1); err != nil {
		t.Error(err)
	}
}

// unattached is a file that an engine is tried by, as the daemon gives it.
func unattached(t *testing.T, o Options) Options {
	t.Helper()
	file, err := tap.OpenUnattached()
	if err != nil {
		t.Fatal(err)
	}
	o.Probe = file
	return o
}

// TestEngines: what is asked for is what there is, on a kernel that has it, and says so.
func TestEngines(t *testing.T) {
	t.Parallel()
	for asked, features := range map[Engine][]string{
		Plain: nil,
		Ring: {
			"single-issuer", "deferred-task-work", "no-index-array", "registered-ring", "registered-files",
		},
		RingFixed: {
			"single-issuer", "deferred-task-work", "no-index-array", "registered-ring", "registered-files",
			"registered-buffers",
		},
	} {
		t.Run(asked.String(), func(t *testing.T) {
			t.Parallel()
			var fell states
			r := newReactorWith(t, unattached(t, Options{Batch: testBatch, Engine: asked, OnFallback: fell.add}))
			own := r.Buffers(testPlaces, tap.BufferLen)
			s := r.State()
			if s.Engine != asked || !slices.Equal(s.Features, features) || (s.Why == nil) != (asked == RingFixed) {
				t.Errorf("the state is %+v, want %v with %v", s, asked, features)
			}
			for _, open := range kinds {
				carries(t, r, own, open)
			}
			fell.want(t, r)
		})
	}
}

// TestOldKernels has io_uring_setup(2) know the flags of some version only.
func TestOldKernels(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]uint32{
		"Linux 6.1":  setupSingleIssuer | setupDeferTaskrun | setupCoopTaskrun,
		"Linux 5.19": setupCoopTaskrun,
		"Linux 5.6":  0,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fell states
			o := Options{Batch: testBatch, Engine: RingFixed, OnFallback: fell.add}
			o.setup = func(entries uint32, p *ringParams) (int, syscall.Errno) {
				if p.flags&^known != 0 {
					return -1, unix.EINVAL
				}
				return setup(entries, p)
			}
			r := newReactorWith(t, o)
			own := r.Buffers(testPlaces, tap.BufferLen)
			if r.ring == nil || r.ring.flags&^known != 0 {
				t.Fatalf("the state is %+v", r.State())
			}
			carries(t, r, own, newSocketPair)
			fell.want(t, r)
		})
	}
}

// TestForbiddenRing: without an io_uring frames are carried, and why is said.
func TestForbiddenRing(t *testing.T) {
	t.Parallel()
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS, unix.ENOMEM, unix.EMFILE} {
		for _, asked := range []Engine{Auto, Ring, RingFixed} {
			t.Run(fmt.Sprintf("%v/%v", asked, errno), func(t *testing.T) {
				t.Parallel()
				var fell states
				o := Options{Batch: testBatch, Engine: asked, OnFallback: fell.add}
				o.setup = func(uint32, *ringParams) (int, syscall.Errno) { return -1, errno }
				r := newReactorWith(t, unattached(t, o))
				own := r.Buffers(testPlaces, tap.BufferLen)
				if s := r.State(); !errors.Is(s.Why, errno) || len(s.Features) != 0 {
					t.Errorf("the state is %+v, want that the errno is why", s)
				}
				carries(t, r, own, newSocketPair)
				fell.want(t, r, Plain)
			})
		}
	}
}

// TestBuffersAreRefused: without registered buffers there is still the ring.
func TestBuffersAreRefused(t *testing.T) {
	t.Parallel()
	for errno, hint := range map[unix.Errno]string{
		unix.ENOMEM: "RLIMIT_MEMLOCK", unix.EINVAL: "", unix.EOPNOTSUPP: "",
	} {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			var fell states
			o := Options{Batch: testBatch, Engine: RingFixed, OnFallback: fell.add}
			r := newReactorWith(t, unattached(t, o))
			refuseRegister(r, errno, opRegisterBuffers)
			own := r.Buffers(testPlaces, tap.BufferLen)
			s := r.State()
			if !errors.Is(s.Why, errno) || !strings.Contains(s.Why.Error(), hint) ||
				slices.Contains(s.Features, "registered-buffers") {
				t.Errorf("the state is %+v, want that the errno is why", s)
			}
			carries(t, r, own, newSocketPair)
			fell.want(t, r, Ring)
		})
	}
}

// refuseRegister has io_uring_register(2) refuse an operation.
func refuseRegister(r *Reactor, errno unix.Errno, refused uint32) {
	register := r.ring.register
	r.ring.register = func(fd int, op uint32, argument unsafe.Pointer, n int) unix.Errno {
		if op == refused {
			return errno
		}
		return register(fd, op, argument, n)
	}
}

// TestBuffersThatDoNotWork: a kernel that takes buffers but does not read into them without
// waiting is found out before the first frame.
func TestBuffersThatDoNotWork(t *testing.T) {
	t.Parallel()
	for _, errno := range []unix.Errno{unix.EOPNOTSUPP, unix.EINVAL, unix.EFAULT} {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			var fell states
			o := Options{Batch: testBatch, Engine: RingFixed, OnFallback: fell.add}
			r := newReactorWith(t, unattached(t, o))
			enter := r.ring.enter
			refuse(r, errno, func(uint64) bool { return true })
			own := r.Buffers(testPlaces, tap.BufferLen)
			r.ring.enter = enter
			if s := r.State(); !errors.Is(s.Why, errno) {
				t.Errorf("the state is %+v, want that the errno is why", s)
			}
			carries(t, r, own, newSocketPair)
			fell.want(t, r, Ring)
		})
	}
}

// TestParkedProbe: a request that the kernel keeps would write into its buffer later.
func TestParkedProbe(t *testing.T) {
	t.Parallel()
	var fell states
	o := Options{Batch: testBatch, Engine: RingFixed, OnFallback: fell.add}
	r := newReactorWith(t, unattached(t, o))
	enter := r.ring.enter
	r.ring.enter = func(_ int, n, _ uint32) (uint32, unix.Errno) { return n, 0 }
	err := r.tryRing(make([]byte, tryBytes))
	r.ring.enter = enter
	if !errors.Is(err, errParked) {
		t.Errorf("the try says %v, want that nothing was done at once", err)
	}
}

// TestFallBackKeepsBuffers: what the caller has of the reactor's buffers outlives the ring.
func TestFallBackKeepsBuffers(t *testing.T) {
	t.Parallel()
	var fell states
	r := newReactorWith(t, unattached(t, Options{Batch: testBatch, Engine: RingFixed, OnFallback: fell.add}))
	own := r.Buffers(testPlaces, tap.BufferLen)
	carries(t, r, own, newSocketPair)
	r.fallBack(unix.ENOSYS)
	carries(t, r, own, newSocketPair)
	fell.want(t, r, Plain)
}

// TestRingWithoutRegistration: a thread that has as many rings registered as it may has one more
// that is not.
func TestRingWithoutRegistration(t *testing.T) {
	t.Parallel()
	var r *Reactor
	for range 17 { // IO_RINGFD_REG_MAX is 16
		r = newReactorWith(t, Options{Batch: testBatch, Engine: RingFixed})
	}
	own := r.Buffers(testPlaces, tap.BufferLen)
	if s := r.State(); s.Engine != RingFixed || slices.Contains(s.Features, "registered-ring") {
		t.Errorf("the state is %+v, want no registered ring", s)
	}
	carries(t, r, own, newSocketPair)
}

// TestBuffersAreApart: each is as large as asked for, and no two overlap.
func TestBuffersAreApart(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 4096, tap.BufferLen} {
		r := newReactorWith(t, Options{Batch: testBatch})
		bufs := r.Buffers(testPlaces, size)
		for i, b := range bufs {
			if len(b) != size || cap(b) != size {
				t.Fatalf("a buffer of %d bytes and %d of room, want %d", len(b), cap(b), size)
			}
			for at := range b {
				b[at] = byte(i + 1)
			}
		}
		for i, b := range bufs {
			if slices.ContainsFunc(b, func(c byte) bool { return c != byte(i+1) }) {
				t.Errorf("buffer %d of %d bytes overlaps another", i, size)
			}
		}
	}
}
