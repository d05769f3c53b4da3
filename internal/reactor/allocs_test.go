package reactor

import (
	"testing"

	"vswitch/internal/frame"
)

// TestReactorAllocs counts what a batch each way allocates, with a slot that is free
// among the others.
func TestReactorAllocs(t *testing.T) {
	for kind, open := range kinds {
		for engine, start := range engines {
			t.Run(kind+"/"+engine, func(t *testing.T) {
				r, l := start(t), open(t)
				add(t, r, 1, l)
				var bufs [testBatch][]byte
				for i := range bufs {
					bufs[i] = make([]byte, 256)
				}
				out, in, ready := testFrame(""), testFrame("")[l.header:], make([]uint32, 4)
				received := 0
				n := testing.AllocsPerRun(100, func() {
					for range testBatch - 1 {
						r.Send(1, out)
					}
					r.Send(2, out)
					if status := r.Flush(); status[0] != frame.OK || len(status) != testBatch {
						t.Errorf("Flush says %v", status)
					}
					drain(l.far, testBatch-1)
					put(l.far, in, 2)
					r.Wake()
					r.Wait(ready, -1)
					r.Wait(ready, 0)
					for status := frame.OK; status == frame.OK; {
						var n int
						n, status = r.Receive(1, bufs[:])
						received += n
					}
				})
				if n != 0 {
					t.Errorf("%v allocations for a batch each way, want none", n)
				}
				if received != 2*101 {
					t.Errorf("%d frames received, want 202", received)
				}
			})
		}
	}
}

// drain reads n frames from a blocking descriptor.
func drain(fd, n int) {
	var b [2048]byte
	for range n {
		_, _ = read(int32(fd), b[:])
	}
}

// put writes a frame n times.
func put(fd int, b []byte, n int) {
	for range n {
		_ = write(int32(fd), b)
	}
}
