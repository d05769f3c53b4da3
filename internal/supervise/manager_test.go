package supervise

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager is what a supervisor is a service of.
type manager struct {
	*testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) (*manager, *Notifier) {
	t.Helper()
	path := filepath.Join(shortDir(t), "manager")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &manager{t, conn}, &Notifier{socket: path}
}

// hears fails unless the next message is that, and returns its descriptors.
func (m *manager) hears(want string) []int {
	m.Helper()
	b := make([]byte, maxMessage)
	n, fds, _, err := receive(m.conn, b)
	if err != nil {
		m.Fatalf("waiting for %q: %v", want, err)
	}
	m.Cleanup(func() { closeAll(fds) })
	if got := string(b[:n]); got != want {
		m.Fatalf("the manager is told %q, want %q", got, want)
	}
	return fds
}

func TestManagerIsTold(t *testing.T) {
	t.Parallel()
	m, notifier := newManager(t)
	r := start(t, "child", func(o *Options) { o.Notify = notifier })
	pid, _ := r.up()
	m.hears("READY=1\nSTATUS=serving")

	r.send("keep tap0 frames")
	kept := m.hears("FDSTORE=1\nFDPOLL=0\nFDNAME=tap0")
	if len(kept) != 1 || content(t, kept[0]) != "frames" {
		t.Errorf("the manager is given descriptors %v, want the child's", kept)
	}
	barrier := m.hears("BARRIER=1")
	closeAll(barrier) // the child waits for that
	barrier[0] = -1
	r.hears("<nil>")

	r.send("drop tap0")
	m.hears("FDSTOREREMOVE=1\nFDNAME=tap0")
	barrier = m.hears("BARRIER=1")
	closeAll(barrier)
	barrier[0] = -1
	r.hears("<nil>")

	kill(t, pid)
	m.hears("STATUS=Restarting in 0s: the child has died: signal: killed")
	r.up()
	m.hears("READY=1\nSTATUS=serving")
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	m.hears("STOPPING=1")
}

func TestManagersWatchdogIsAnswered(t *testing.T) {
	t.Parallel()
	m, notifier := newManager(t)
	notifier.interval = 10 * time.Millisecond
	r := start(t, "mute", func(o *Options) { o.Notify = notifier })
	m.hears("WATCHDOG=1")
	m.hears("WATCHDOG=1")
	r.cancel()
}

func TestStoredDescriptorsReachTheChild(t *testing.T) {
	t.Parallel()
	stored := &Files{byName: make(map[string][]int)}
	for _, text := range []string{"one", "two"} {
		fd, err := unix.MemfdCreate(text, unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte(text)); err != nil {
			t.Fatal(err)
		}
		stored.add("tap0", fd)
	}
	m, notifier := newManager(t)
	r := start(t, "child", func(o *Options) { o.Stored, o.Notify = stored, notifier })
	r.up()
	r.want("show tap0", "[one@3 two@3]")
	m.hears("READY=1\nSTATUS=serving") // and nothing is kept that was kept already
	if names := stored.Names(); len(names) != 0 {
		t.Errorf("%v is not taken", names)
	}
}

// TestThousandsOfDescriptorsReachTheChild: as many as the unit has systemd store, under names of
// the length that the switch gives them, also once one more was kept.
func TestThousandsOfDescriptorsReachTheChild(t *testing.T) {
	t.Parallel()
	const many = 9218 // FileDescriptorStoreMax in packaging/vswitchd.service.in
	var limit unix.Rlimit
	// The child's end up above the parent's before they are moved into place.
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 2*many+100 {
		t.Skipf("%d descriptors may be open (%v): want %d", limit.Cur, err, 2*many+100)
	}
	stored, one := &Files{byName: make(map[string][]int)}, memory(t)
	defer unix.Close(one)
	for i := range many {
		fd, err := unix.FcntlInt(uintptr(one), unix.F_DUPFD_CLOEXEC, firstFD)
		if err != nil {
			t.Fatal(err)
		}
		stored.add(fmt.Sprintf("p%012d", i), fd)
	}
	r := start(t, "child", func(o *Options) { o.Stored = stored })
	pid, _ := r.up()
	r.want("count", fmt.Sprint(many+1)) // and the gate
	r.want("keep tap0 frames", "<nil>")
	kill(t, pid)
	r.up()
	r.want("count", fmt.Sprint(many+2))
}

func content(t *testing.T, fd int) string {
	t.Helper()
	b := make([]byte, 100)
	n, err := unix.Pread(fd, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}
