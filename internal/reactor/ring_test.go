package reactor

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
)

// script is what io_uring_enter does at its next calls; afterwards it is the kernel's.
type script struct {
	steps []step
	calls int // of io_uring_enter
}

// step is one call of io_uring_enter: the kernel's own with at most take requests,
// or one that takes none and fails with errno, which may be 0.
type step struct {
	take  uint32
	errno unix.Errno
}

// play puts a script between the reactor and the kernel.
func play(r *Reactor) *script {
	s, enter := new(script), r.ring.enter
	r.ring.enter = func(fd int, n, flags uint32) (uint32, unix.Errno) {
		if flags != 0 {
			return enter(fd, n, flags)
		}
		s.calls++
		if len(s.steps) == 0 {
			return enter(fd, n, flags)
		}
		next := s.steps[0]
		s.steps = s.steps[1:]
		if next.take == 0 {
			return 0, next.errno
		}
		return enter(fd, min(n, next.take), flags)
	}
	return s
}

// fail has the next batch end with errno after the kernel has taken k requests.
func (s *script) fail(k int, errno unix.Errno) {
	s.steps = nil
	if k > 0 {
		s.steps = append(s.steps, step{take: uint32(k)})
	}
	s.steps = append(s.steps, step{errno: errno})
}

// watched makes a reactor of an engine, with a count of OnFallback's calls.
func watched(t *testing.T, engine string) (*Reactor, *int) {
	t.Helper()
	r, calls := engines[engine](t), new(int)
	r.onFallback = func(State) { *calls++ }
	return r, calls
}

// passing are the errnos of a shortage that may be over with the next batch. 0
// stands for a call that takes nothing and does not fail.
var passing = []unix.Errno{unix.EAGAIN, unix.ENOMEM, unix.EBUSY, 0}

// lasting are some of those that say that the kernel will not do it.
var lasting = []unix.Errno{unix.ENOSYS, unix.EPERM, unix.EBADF, unix.EINVAL}

// everyFault runs test with every number of requests that a kernel may take of a
// batch before it fails with one of errnos.
func everyFault(t *testing.T, errnos []unix.Errno, test func(t *testing.T, f fault)) {
	t.Helper()
	for _, engine := range []string{"registered buffers", "registered files", "plain descriptors"} {
		for _, errno := range errnos {
			for k := range testBatch {
				f := fault{engine, errno, k}
				t.Run(fmt.Sprintf("%s/errno %d/%d taken", engine, errno, k), func(t *testing.T) {
					t.Parallel()
					test(t, f)
				})
			}
		}
	}
}

type fault struct {
	engine string
	errno  unix.Errno
	taken  int
}

// overwrite changes what is in buffers that the reactor must not use any more.
func overwrite(bufs ...[]byte) {
	for _, b := range bufs {
		copy(b[:cap(b)], testFrame("stale"))
	}
}

// TestSendingOutlastsAShortage: what the kernel did not take is sent once, in order,
// and neither again nor with what is in its buffers by then.
func TestSendingOutlastsAShortage(t *testing.T) {
	t.Parallel()
	everyFault(t, passing, func(t *testing.T, f fault) {
		r, fallbacks := watched(t, f.engine)
		a, b := newSocketPair(t), newSocketPair(t)
		add(t, r, 1, a)
		add(t, r, 2, b)
		s := play(r)
		for round := range 3 {
			if round < 2 {
				s.fail(f.taken, f.errno)
			}
			s.calls = 0
			var want [2][]string
			var bufs [][]byte
			for i := range testBatch {
				text := fmt.Sprintf("round %d frame %d", round, i)
				want[i%2] = append(want[i%2], text)
				bufs = append(bufs, testFrame(text))
				r.Send(uint32(1+i%2), bufs[i])
			}
			for i, status := range r.Flush() {
				if status != frame.OK {
					t.Errorf("round %d: frame %d has status %d", round, i, status)
				}
			}
			overwrite(bufs...)
			a.arrived(want[0]...)
			b.arrived(want[1]...)
			calls := 1
			if round < 2 {
				calls += min(f.taken, 1)
			}
			if s.calls != calls {
				t.Errorf("round %d: %d calls of the ring, want %d", round, s.calls, calls)
			}
		}
		if unbatched(r) != nil || *fallbacks != 0 {
			t.Errorf("Batched says %v, %d fallbacks; want nil, 0", unbatched(r), *fallbacks)
		}
	})
}

// TestReceivingOutlastsAShortage is the same for reading: no later read writes into
// the buffers of this one.
func TestReceivingOutlastsAShortage(t *testing.T) {
	t.Parallel()
	everyFault(t, passing, func(t *testing.T, f fault) {
		r, fallbacks := watched(t, f.engine)
		l := newSocketPair(t)
		add(t, r, 1, l)
		s := play(r)
		first, want := buffers(testBatch), numbered(2*testBatch+1)
		l.inject(want...)
		s.fail(f.taken, f.errno)
		n, status := r.Receive(1, first)
		if n != testBatch || status != frame.OK {
			t.Fatalf("%d frames with status %d, want a batch and OK", n, status)
		}
		if len(s.steps) != 0 {
			t.Errorf("the ring was not used")
		}
		s.calls = 0
		second := buffers(testBatch)
		if n, status := r.Receive(1, second); n != testBatch || status != frame.OK || s.calls != 1 {
			t.Errorf("%d frames with status %d by %d calls, want a batch, OK, 1", n, status, s.calls)
		}
		for i, b := range append(first, second...) {
			if got := payload(b); got != want[i] {
				t.Errorf("frame %d is %q, want %q", i, got, want[i])
			}
		}
		expect(t, r, 1, want[2*testBatch:]...)
		// With fewer frames than reads the shortage may come behind the last frame.
		l.inject("one", "two", "three")
		s.fail(f.taken, f.errno)
		if n, status := r.Receive(1, first); n != 3 || status != frame.Again {
			t.Errorf("%d frames with status %d, want 3 and Again", n, status)
		}
		if unbatched(r) != nil || *fallbacks != 0 {
			t.Errorf("Batched says %v, %d fallbacks; want nil, 0", unbatched(r), *fallbacks)
		}
	})
}

// TestFallingBack: a kernel that does not do io_uring is believed for good, and said
// once; no frame is lost, and none comes twice.
func TestFallingBack(t *testing.T) {
	t.Parallel()
	everyFault(t, lasting, func(t *testing.T, f fault) {
		for _, reading := range []bool{false, true} {
			r, fallbacks := watched(t, f.engine)
			l := newSocketPair(t)
			add(t, r, 1, l)
			s := play(r)
			s.fail(f.taken, f.errno)
			for range 3 {
				want := numbered(testBatch + 1)
				if reading {
					l.inject(want...)
					expect(t, r, 1, want...)
					continue
				}
				for _, text := range want[:testBatch] {
					r.Send(1, frameOf(r, text))
				}
				r.Flush()
				l.arrived(want[:testBatch]...)
			}
			if !errors.Is(unbatched(r), f.errno) || *fallbacks != 1 {
				t.Errorf("reading %t: Batched says %v, %d fallbacks; want the errno, 1",
					reading, unbatched(r), *fallbacks)
			}
			if want := min(f.taken, 1) + 1; s.calls != want {
				t.Errorf("reading %t: %d calls of io_uring_enter, want %d", reading, s.calls, want)
			}
		}
	})
}

// TestEnterIsInterrupted: the ring carries the rest as well.
func TestEnterIsInterrupted(t *testing.T) {
	t.Parallel()
	r, fallbacks := watched(t, "registered files")
	l := newSocketPair(t)
	add(t, r, 1, l)
	s := play(r)
	s.steps = []step{
		{errno: unix.EINTR}, {take: 3}, {errno: unix.EINTR}, {errno: unix.EINTR}, {take: 2},
	}
	want := numbered(testBatch)
	for _, text := range want {
		r.Send(1, frameOf(r, text))
	}
	r.Flush()
	l.arrived(want...)
	if s.calls != 6 || unbatched(r) != nil || *fallbacks != 0 {
		t.Errorf("%d calls, Batched says %v, %d fallbacks; want 6, nil, 0",
			s.calls, unbatched(r), *fallbacks)
	}
}

// refuse has the kernel do nothing for those requests of the next batches for which
// chosen is true, and complete them with errno.
func refuse(r *Reactor, errno unix.Errno, chosen func(i uint64) bool) {
	ring := r.ring
	enter := ring.enter
	ring.enter = func(fd int, n, flags uint32) (uint32, unix.Errno) {
		before := *ring.cqTail
		for i := range n {
			q := &ring.requests[(*ring.sqTail-1-i)&ring.sqMask]
			if chosen(q.userData & math.MaxUint32) {
				*q = sqe{fd: -1, userData: q.userData} // opcode 0: IORING_OP_NOP
			}
		}
		taken, failed := enter(fd, n, flags)
		for i := before; i != *ring.cqTail; i++ {
			if c := &ring.completions[i&ring.cqMask]; chosen(c.userData & math.MaxUint32) {
				c.result = -int32(errno)
			}
		}
		return taken, failed
	}
}

// TestRequestsAreRefused has the kernel refuse some requests, or all, for reasons
// that concern the ring and not the endpoint: single calls carry them.
func TestRequestsAreRefused(t *testing.T) {
	t.Parallel()
	all := func(uint64) bool { return true }
	some := func(i uint64) bool { return i > 2 }
	for name, test := range map[string]struct {
		errno  unix.Errno
		chosen func(uint64) bool
		lasts  bool
	}{
		"interrupted":                {unix.EINTR, some, false},
		"all interrupted":            {unix.EINTR, all, false},
		"cancelled":                  {unix.ECANCELED, some, false},
		"all cancelled":              {unix.ECANCELED, all, false},
		"some cannot without a wait": {unix.EOPNOTSUPP, some, false},
		"none can without a wait":    {unix.EOPNOTSUPP, all, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, reading := range []bool{false, true} {
				r, fallbacks := watched(t, "registered files")
				l := newSocketPair(t)
				add(t, r, 1, l)
				refuse(r, test.errno, test.chosen)
				want := numbered(2 * testBatch)
				if reading {
					l.inject(want...)
					expect(t, r, 1, want...)
				} else {
					for _, text := range want {
						r.Send(1, frameOf(r, text))
					}
					r.Flush()
					l.arrived(want...)
				}
				once := 0
				if test.lasts {
					once = 1
				}
				if errors.Is(unbatched(r), test.errno) != test.lasts || *fallbacks != once {
					t.Errorf("reading %t: Batched says %v, %d fallbacks; want that it lasts: %t",
						reading, unbatched(r), *fallbacks, test.lasts)
				}
			}
		})
	}
}

// TestStatusOfABatch gives the reads of a batch results that a kernel may give.
func TestStatusOfABatch(t *testing.T) {
	t.Parallel()
	at := func(chosen ...uint64) func(uint64) bool {
		return func(i uint64) bool {
			for _, c := range chosen {
				if i == c {
					return true
				}
			}
			return false
		}
	}
	for name, test := range map[string]struct {
		errno  unix.Errno
		chosen func(uint64) bool
		want   frame.Status
	}{
		"a frame after Again":     {unix.EAGAIN, at(0, 3), frame.OK},
		"Again at last":           {unix.EAGAIN, at(testBatch - 1), frame.Again},
		"Gone at last":            {unix.EBADFD, at(testBatch - 1), frame.Gone},
		"a lost frame":            {unix.EINVAL, at(0, 3, testBatch-1), frame.OK},
		"a lost frame everywhere": {unix.EINVAL, func(uint64) bool { return true }, frame.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l := newReactor(t, testBatch), newTestedPair(t)
			add(t, r, 1, l)
			refuse(r, test.errno, test.chosen)
			texts := numbered(testBatch)
			l.inject(texts...)
			lost := 0
			for i := range uint64(testBatch) {
				if test.chosen(i) {
					lost++
				}
			}
			bufs := buffers(testBatch)
			n, status := r.Receive(1, bufs)
			if n != testBatch-lost || status != test.want {
				t.Errorf("%d frames with status %d, want %d and %d", n, status, testBatch-lost, test.want)
			}
			for i, b := range bufs[:n] {
				if payload(b) != texts[i] {
					t.Errorf("frame %d is %q, want %q", i, payload(b), texts[i])
				}
			}
		})
	}
}

// tested is a socket whose errors are those of a TAP.
type tested struct{ *line }

func newTestedPair(t *testing.T) tested { return tested{newSocketPair(t)} }

// ReadStatus implements [Endpoint].
func (tested) ReadStatus(errno unix.Errno) frame.Status {
	switch errno {
	case unix.EAGAIN:
		return frame.Again
	case unix.EINVAL:
		return frame.Rejected
	}
	return frame.Gone
}
