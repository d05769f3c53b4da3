package tap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/frame"
	"vswitch/internal/testenv"
)

const testBatch = 8

// carriers are a Poller as it is here, one as where there is no io_uring, and one
// whose ring the kernel refuses from the first batch on.
func carriers(t *testing.T, test func(t *testing.T, ns *testenv.Namespace, p *Poller)) {
	for name, prepare := range map[string]func(*Poller){
		"batches":      func(*Poller) {},
		"singly":       func(p *Poller) { p.giveUp(unix.ENOSYS) },
		"refused ring": func(p *Poller) { unix.Close(p.ring.fd); p.ring.fd = -2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := testenv.NewNamespace(t)
			ns.Do(func() {
				p, err := NewPoller(testBatch)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { p.Close() })
				if err := p.Singly(); err != nil {
					t.Fatalf("no io_uring: %v", err)
				}
				prepare(p)
				test(t, ns, p)
			})
		})
	}
}

func buffers() [][]byte {
	bufs := make([][]byte, testBatch)
	for i := range bufs {
		bufs[i] = make([]byte, BufferLen)
	}
	return bufs
}

func payload(b []byte) string {
	return strings.TrimRight(string(frame.Ethernet(b[frame.VNetHeaderLen:]).Payload()), "\x00")
}

// TestReceiveSeveral sends more frames than one batch and wants each, in order.
func TestReceiveSeveral(t *testing.T) {
	t.Parallel()
	carriers(t, func(t *testing.T, ns *testenv.Namespace, p *Poller) {
		d := mustCreate(t, ns, Options{})
		ns.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1") // it would send by itself
		s := packetSocket(t, d.Name())
		var want, got []string
		for i := range 3*testBatch + 1 {
			want = append(want, fmt.Sprintf("frame %d", i))
			if _, err := unix.Write(s, testFrame(want[i])[frame.VNetHeaderLen:]); err != nil {
				t.Fatal(err)
			}
		}
		bufs := buffers()
		for deadline := time.Now().Add(patience); len(got) < len(want) && time.Now().Before(deadline); {
			n, status := p.Receive(d, bufs)
			if full := n == len(bufs); full != (status == frame.OK) {
				t.Errorf("%d of %d frames with status %d", n, len(bufs), status)
			}
			for _, b := range bufs[:n] {
				if frame.Ethernet(b[frame.VNetHeaderLen:]).EtherType() == testEtherType {
					got = append(got, payload(b))
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
		ns.Run("ip", "link", "delete", d.Name())
		if n, status := p.Receive(d, bufs); n != 0 || status != frame.Gone {
			t.Errorf("after the link's end: %d frames with status %d, want none and Gone", n, status)
		}
	})
}

// TestSendSeveral mixes frames to a device that takes them, to one that is down,
// one that is closed, and one too short: each has its own fate, and the order of
// the others stays.
func TestSendSeveral(t *testing.T) {
	t.Parallel()
	carriers(t, func(t *testing.T, ns *testenv.Namespace, p *Poller) {
		up, down, closed := mustCreate(t, ns, Options{}), mustCreate(t, ns, Options{}), mustCreate(t, ns, Options{})
		ns.Run("ip", "link", "set", down.Name(), "down")
		closed.Close()
		s := packetSocket(t, up.Name())
		p.Send(up, testFrame("one"))
		p.Send(down, testFrame("lost"))
		p.Send(up, testFrame("two"))
		p.Send(up, make([]byte, frame.VNetHeaderLen+3))
		p.Send(closed, testFrame("lost"))
		p.Send(up, testFrame("three"))
		want := []frame.Status{frame.OK, frame.Down, frame.OK, frame.Rejected, frame.Gone, frame.OK}
		if got := p.Flush(); !slices.Equal(got, want) {
			t.Errorf("statuses %v, want %v", got, want)
		}
		p.Send(up, testFrame("four"))
		if got := p.Flush(); !slices.Equal(got, []frame.Status{frame.OK}) {
			t.Errorf("a frame alone: status %v, want OK", got)
		}
		if got := p.Flush(); len(got) != 0 {
			t.Errorf("nothing queued: statuses %v, want none", got)
		}
		for _, want := range []string{"one", "two", "three", "four"} {
			got := make([]byte, 2048)
			n, err := unix.Read(s, got)
			if err != nil {
				t.Fatalf("%q did not arrive: %v", want, err)
			}
			if text := strings.TrimRight(string(frame.Ethernet(got[:n]).Payload()), "\x00"); text != want {
				t.Errorf("%q arrived, want %q", text, want)
			}
		}
	})
}

func TestBatchAllocs(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		p, err := NewPoller(testBatch)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		bufs, b := buffers(), testFrame("")
		if n := testing.AllocsPerRun(100, func() {
			p.Send(d, b)
			p.Send(d, b)
			p.Flush()
			p.Receive(d, bufs)
		}); n != 0 {
			t.Errorf("%v allocations for two frames each way, want none", n)
		}
	})
}
