package reactor

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
	"vswitch/test/lab"
)

// TestReceive reads more frames than fit in one batch, and those that fill some.
func TestReceive(t *testing.T) {
	t.Parallel()
	overAll(t, func(t *testing.T, r *Reactor, open func() *line) {
		l := open()
		add(t, r, 3, l)
		bufs := buffers(testBatch)
		if n, status := r.Receive(3, bufs); n != 0 || status != frame.Again {
			t.Errorf("nothing waits: %d frames with status %d, want 0 and Again", n, status)
		}
		if n, status := r.Receive(3, nil); n != 0 || status != frame.OK {
			t.Errorf("without buffers: %d frames with status %d, want 0 and OK", n, status)
		}
		for _, waiting := range []int{1, 2, testBatch, 3*testBatch + 1} {
			want := numbered(waiting)
			l.inject(want...)
			expect(t, r, 3, want...)
		}
		l.inject("one", "two")
		short := [][]byte{make([]byte, 0, 256), make([]byte, 7, 256)}
		n, _ := r.Receive(3, short)
		for _, b := range short[:n] {
			if len(b) != len(testFrame("")) || cap(b) != 256 {
				t.Errorf("a buffer has %d bytes of %d, want those of the frame", len(b), cap(b))
			}
		}
		if n != min(2, r.batch) {
			t.Errorf("%d frames, want %d", n, min(2, r.batch))
		}
	})
}

// TestReceiveToTheEnd has the endpoint end: its link is deleted, its peer closes.
func TestReceiveToTheEnd(t *testing.T) {
	t.Parallel()
	overAll(t, func(t *testing.T, r *Reactor, open func() *line) {
		l := open()
		add(t, r, 0, l)
		l.end()
		waitFor(t, r, 0)
		if n, status := r.Receive(0, buffersOf(r, testBatch)); n != 0 || status != frame.Gone {
			t.Errorf("%d frames with status %d, want none and Gone", n, status)
		}
		for range 2 {
			r.Send(0, frameOf(r, "lost"))
		}
		want := []frame.Status{frame.Gone, frame.Gone}
		flush(t, r, want...)
		// It is reported until it is removed, so that no reader can miss it.
		waitFor(t, r, 0)
		if err := r.Remove(0); err != nil {
			t.Error(err)
		}
		silent(t, r)
	})
}

// TestSend mixes frames to two endpoints and to slots that are free: each has its
// own fate, and the order stays.
func TestSend(t *testing.T) {
	t.Parallel()
	overAll(t, func(t *testing.T, r *Reactor, open func() *line) {
		a, b := open(), open()
		add(t, r, 1, a)
		if err := r.Add(70, b, false); err != nil {
			t.Fatal(err)
		}
		for _, s := range []struct {
			slot uint32
			text string
		}{{1, "one"}, {70, "two"}, {2, "lost"}, {1, "three"}, {1 << 20, "lost"}, {70, "four"}} {
			r.Send(s.slot, frameOf(r, s.text))
		}
		flush(t, r, frame.OK, frame.OK, frame.Gone, frame.OK, frame.Gone, frame.OK)
		flush(t, r)
		r.Send(70, frameOf(r, "five"))
		flush(t, r, frame.OK)
		r.Send(2, frameOf(r, "lost"))
		flush(t, r, frame.Gone)
		many := numbered(2*testBatch + 3)
		for _, text := range many {
			r.Send(1, frameOf(r, text))
		}
		if got := r.Flush(); len(got) != len(many) {
			t.Errorf("%d statuses of %d frames", len(got), len(many))
		}
		a.arrived(append([]string{"one", "three"}, many...)...)
		b.arrived("two", "four", "five")
	})
}

// TestSendWithoutRoom fills a socket until it takes nothing more.
func TestSendWithoutRoom(t *testing.T) {
	t.Parallel()
	for engine, start := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			r, l := start(t), newSocketPair(t)
			add(t, r, 0, l)
			taken, full := 0, false
			for !full {
				for range testBatch {
					r.Send(0, make([]byte, 4096))
				}
				for _, status := range r.Flush() {
					switch {
					case status == frame.OK && !full:
						taken++
					case status == frame.Again:
						full = true
					default:
						t.Fatalf("status %d after %d frames", status, taken)
					}
				}
			}
			b := make([]byte, 8192)
			for range taken {
				if n, err := unix.Read(l.far, b); n != 4096 || err != nil {
					t.Fatalf("%d bytes arrived, %v; want %d frames of 4096", n, err, taken)
				}
			}
			l.arrived()
		})
	}
}

// TestRejectedReads has reads fail in the middle of a batch: an empty datagram is
// a lost frame here.
func TestRejectedReads(t *testing.T) {
	t.Parallel()
	for engine, start := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			r, l := start(t), newPair(t, unix.SOCK_DGRAM, frame.Rejected)
			add(t, r, 0, l)
			lose := func(n int) {
				for range n {
					if err := unix.Sendto(l.far, nil, 0, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			lose(2)
			l.inject("one")
			lose(1)
			l.inject("two", "three")
			lose(1)
			expect(t, r, 0, "one", "two", "three")
			lose(testBatch)
			l.inject("four")
			if n, status := r.Receive(0, buffersOf(r, r.batch)); n != 0 || status != frame.OK {
				t.Errorf("a batch of lost frames: %d frames with status %d, want 0 and OK", n, status)
			}
			expect(t, r, 0, "four")
		})
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	overAll(t, func(t *testing.T, r *Reactor, open func() *line) {
		l, quiet := open(), open()
		if err := r.Add(8, quiet, false); err != nil {
			t.Fatal(err)
		}
		quiet.inject("unwatched")
		silent(t, r)
		l.inject("before")
		add(t, r, 0xffff, l)
		waitFor(t, r, 0xffff)
		silent(t, r) // edge-triggered
		expect(t, r, 0xffff, "before")
		l.inject("after")
		waitFor(t, r, 0xffff)
		expect(t, r, 0xffff, "after")
		if err := r.Unwatch(0xffff); err != nil {
			t.Fatal(err)
		}
		l.inject("unwatched")
		silent(t, r)
		expect(t, r, 0xffff, "unwatched")
		expect(t, r, 8, "unwatched")
		r.Send(0xffff, frameOf(r, "out"))
		r.Send(8, frameOf(r, "out"))
		flush(t, r, frame.OK, frame.OK)
		l.arrived("out")
		quiet.arrived("out")
		for _, slot := range []uint32{0xffff, 8, 9} {
			if err := r.Unwatch(slot); !errors.Is(err, errNotWatched) {
				t.Errorf("Unwatch(%d) says %v, want that it is not watched", slot, err)
			}
		}
	})
}

// TestRemove puts another endpoint into a slot while frames for the old one are queued.
func TestRemove(t *testing.T) {
	t.Parallel()
	overAll(t, func(t *testing.T, r *Reactor, open func() *line) {
		old, next, other := open(), open(), open()
		add(t, r, 5, old)
		add(t, r, 6, other)
		r.Send(5, frameOf(r, "late"))
		r.Send(6, frameOf(r, "one"))
		r.Send(5, frameOf(r, "late"))
		if err := r.Remove(5); err != nil {
			t.Fatal(err)
		}
		add(t, r, 5, next)
		r.Send(5, frameOf(r, "two"))
		flush(t, r, frame.Gone, frame.OK, frame.Gone, frame.OK)
		old.arrived()
		next.arrived("two")
		other.arrived("one")
		old.inject("unheard")
		silent(t, r)
		next.inject("heard")
		waitFor(t, r, 5)
		expect(t, r, 5, "heard")
		for _, slot := range []uint32{5, 6} {
			if err := r.Remove(slot); err != nil {
				t.Error(err)
			}
			if n, status := r.Receive(slot, buffersOf(r, testBatch)); n != 0 || status != frame.Gone {
				t.Errorf("removed: %d frames with status %d, want 0 and Gone", n, status)
			}
			if err := r.Remove(slot); !errors.Is(err, errFree) {
				t.Errorf("the second Remove says %v, want that nothing is there", err)
			}
		}
		if n, status := r.Receive(1<<31, buffersOf(r, testBatch)); n != 0 || status != frame.Gone {
			t.Errorf("no such slot: %d frames with status %d, want 0 and Gone", n, status)
		}
	})
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	for engine, start := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			r, l, closed := start(t), newSocketPair(t), newSocketPair(t)
			if err := closed.closeEndpoint(); err != nil {
				t.Fatal(err)
			}
			add(t, r, 1, l)
			for want, f := range map[string]func() error{
				"a string is no reactor.Endpoint": func() error { return r.Add(2, "eth0", true) },
				"a <nil> is no reactor.Endpoint":  func() error { return r.Add(2, nil, true) },
				"below 65536":                     func() error { return r.Add(1<<16, l, false) },
				"an endpoint is in it":            func() error { return r.Add(1, newSocketPair(t), true) },
				"is closed":                       func() error { return r.Add(2, closed, true) },
				"file exists":                     func() error { return r.Add(2, l, true) },
			} {
				if err := f(); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Add says %v, want that %s", err, want)
				}
			}
			for _, slot := range []uint32{2, 1 << 16} {
				if _, status := r.Receive(slot, buffersOf(r, 1)); status != frame.Gone {
					t.Errorf("slot %d has status %d after a failed Add, want Gone", slot, status)
				}
			}
			l.inject("still here")
			waitFor(t, r, 1)
			expect(t, r, 1, "still here")
		})
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{0, -1} {
		if _, err := New(Options{Batch: batch}); err == nil {
			t.Errorf("New takes a batch of %d", batch)
		}
	}
	called := 0
	note := func(State) { called++ }
	one, err := New(Options{Batch: 1, OnFallback: note})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if err := unbatched(one); !errors.Is(err, errBatchOfOne) || called != 0 {
		t.Errorf("a batch of 1: Batched says %v after %d calls, want its size and none", err, called)
	}
	// More entries than the kernel gives (IORING_MAX_ENTRIES) stands for one that
	// gives no ring at all.
	var why error
	none, err := New(Options{Batch: 1 << 20, OnFallback: func(s State) { why = s.Why }})
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	if got := unbatched(none); !errors.Is(got, unix.EINVAL) || !errors.Is(why, unix.EINVAL) {
		t.Errorf("no ring: Batched says %v, OnFallback %v; want that it was refused", got, why)
	}
}

// TestCloseLeavesNothing is alone, so that the descriptors are those of this test.
func TestCloseLeavesNothing(t *testing.T) {
	lab.LeakCheck(t)
	for range 50 {
		r, err := New(Options{Batch: testBatch})
		if err != nil {
			t.Fatal(err)
		}
		l := newSocketPair(t)
		add(t, r, 1, l)
		r.Send(1, frameOf(r, ""))
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Fatal(err)
		}
		l.inject("open") // the endpoint is not closed
	}
}

// TestEndpointThatEndsWithoutAnEnd: its descriptor says for ever that it has ended, and a read
// never does. Its reader is told that it is gone instead of being called without an end.
func TestEndpointThatEndsWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for engine, start := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			r, l := start(t), newPair(t, unix.SOCK_SEQPACKET, frame.Again)
			add(t, r, 0, l)
			l.end()
			for range mostEnding {
				waitFor(t, r, 0)
				if n, status := r.Receive(0, buffersOf(r, 1)); n != 0 || status != frame.Again {
					t.Fatalf("got %d frames with status %d, want none with Again", n, status)
				}
			}
			waitFor(t, r, 0)
			if n, status := r.Receive(0, buffersOf(r, 1)); n != 0 || status != frame.Gone {
				t.Errorf("got %d frames with status %d, want none with Gone", n, status)
			}
		})
	}
}
