package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
)

// stream is a TCP connection that carries numbered blocks until it is finished. Its
// receiver notices each byte that is lost, doubled or altered, and every pause.
type stream struct {
	testing.TB
	conn   net.Conn
	stop   chan struct{} // closed when the sender is to end
	done   chan struct{} // closed when the receiver has ended
	blocks int
	err    error
	worst  time.Duration // the longest time from a block to the next since pause was last asked
	ask    chan chan time.Duration
}

// Of a stream: the size of a block, and how many bytes a second it sends.
const (
	blockSize  = 16 << 10
	streamRate = 32 << 20
)

// openStream connects two containers.
func openStream(tb testing.TB, from, to *lab.Container) *stream {
	tb.Helper()
	listener := lab.Inside(to, func() (net.Listener, error) { return net.Listen("tcp4", to.Addr().String()+":0") })
	defer listener.Close()
	conn := lab.Inside(from, func() (net.Conn, error) {
		return net.DialTimeout("tcp4", listener.Addr().String(), lab.Patience)
	})
	pace(tb, conn.(*net.TCPConn))
	in, err := listener.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	s := &stream{TB: tb, conn: conn, stop: make(chan struct{}), done: make(chan struct{}), ask: make(chan chan time.Duration)}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		s.send()
	}()
	go s.receive(in)
	tb.Cleanup(func() {
		conn.Close()
		in.Close() // the other's end may never be heard of: the switch may be gone
		<-s.done
		<-sent
	})
	return s
}

// pace leaves processor time to others, whose test this is not.
func pace(tb testing.TB, conn *net.TCPConn) {
	tb.Helper()
	const maxPacingRate = 47 // SO_MAX_PACING_RATE, socket(7)
	raw, err := conn.SyscallConn()
	if err == nil {
		cerr := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, maxPacingRate, streamRate) })
		err = errors.Join(err, cerr)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// fill makes the n-th block of a stream.
func fill(block []byte, n int) {
	for i := 0; i < len(block); i += 8 {
		binary.NativeEndian.PutUint64(block[i:], uint64(n)<<16|uint64(i))
	}
}

func (s *stream) send() {
	defer s.conn.Close()
	block := make([]byte, blockSize)
	for n := 0; ; n++ {
		select {
		case <-s.stop:
			return
		default:
		}
		fill(block, n)
		if _, err := s.conn.Write(block); err != nil {
			return // the receiver tells
		}
	}
}

func (s *stream) receive(in net.Conn) {
	defer close(s.done)
	want, got := make([]byte, blockSize), make([]byte, blockSize)
	for ; ; s.blocks++ {
		begin := time.Now()
		if s.err = in.SetReadDeadline(begin.Add(lab.Patience)); s.err != nil {
			return
		}
		if _, s.err = io.ReadFull(in, got); s.err != nil {
			return
		}
		s.worst = max(s.worst, time.Since(begin))
		if fill(want, s.blocks); !bytes.Equal(got, want) {
			s.err = fmt.Errorf("block %d is altered", s.blocks)
			return
		}
		select {
		case answer := <-s.ask:
			answer <- s.worst
			s.worst = 0
		default:
		}
	}
}

// pause is the longest that a block has taken since pause was called before, the
// one under way included.
func (s *stream) pause() time.Duration {
	s.Helper()
	answer := make(chan time.Duration)
	select {
	case s.ask <- answer:
		return <-answer
	case <-s.done:
		s.Fatalf("the stream broke after %d blocks: %v", s.blocks, s.err)
		return 0
	}
}

// finish ends the stream, of which all that was sent must have come.
func (s *stream) finish() {
	s.Helper()
	s.pause()
	close(s.stop)
	<-s.done
	if !errors.Is(s.err, io.EOF) {
		s.Fatalf("the stream broke after %d blocks: %v", s.blocks, s.err)
	}
}

// runs returns after the stream has gone on for so long.
func (s *stream) runs(d time.Duration) {
	s.Helper()
	for begin := time.Now(); time.Since(begin) < d; {
		s.pause()
	}
}

// rounds is how often to do a thing: so often that a fault would show, or for long
// when there is time.
func rounds(tb testing.TB, brief, long int) int {
	if soak(tb, 0) > 0 {
		return long
	}
	return brief
}

// report tells how long the stream stood still each time.
func report(tb testing.TB, pauses []time.Duration) {
	tb.Helper()
	slices.Sort(pauses)
	tb.Logf("%d pauses: median %s, longest %s", len(pauses), pauses[len(pauses)/2], pauses[max(0, len(pauses)-8):])
}

// picture is what a user sees of the switch, without what changes by itself.
func (h *host) picture() string {
	h.Helper()
	var all []string
	segments, err := h.Client.Segments(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	for _, s := range segments {
		all = append(all, fmt.Sprintf("segment %s %s %s %s %s %v %d %v %d", s.ID, s.Name, s.Subnet, s.Gateway, s.IPRange, s.Internal, s.MTU, s.Labels, s.Ports))
	}
	ports, err := h.Client.Ports(h.Context(), "")
	if err != nil {
		h.Fatal(err)
	}
	for _, p := range ports {
		all = append(all, fmt.Sprintf("port %s %s %s %s %v %s %s %s %v %s", p.ID, p.Name, p.Segment, p.MAC, p.IPs, p.NetNS, p.IfName, p.State, p.Labels, p.Reason))
	}
	fdb, err := h.Client.FDB(h.Context(), "")
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range fdb {
		if e.Kind != api.Dynamic {
			all = append(all, fmt.Sprintf("%s %s %s %s", e.Kind, e.Segment, e.MAC, e.Port))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// isStill wants the switch to give the picture that it gave before.
func (h *host) isStill(before string) {
	h.Helper()
	if after := h.picture(); after != before {
		h.Errorf("the switch was\n%s\nand is\n%s", before, after)
	}
}

// furnish adds a bit of everything, and returns two containers of one segment.
func (h *host) furnish() (a, b *lab.Container) {
	h.Helper()
	h.AddSegment("other", func(s *api.SegmentSpec) {
		s.Subnet, s.Gateway, s.IPRange, s.MTU, s.Labels = netip.MustParsePrefix("10.7.0.0/24"), netip.MustParseAddr("10.7.0.254"), netip.MustParsePrefix("10.7.0.64/26"), 1400, map[string]string{"k": "v"}
	})
	a, b = h.Attach("a"), h.Attach("b")
	h.Attach("c", lab.On("other"), func(s *api.PortSpec) { s.IfName = "net0"; s.NoDefaultRoute = true })
	down := false
	h.Attach("d", lab.On("other"))
	if _, err := h.Client.UpdatePort(h.Context(), "d", api.PortUpdate{Up: &down}); err != nil {
		h.Fatal(err)
	}
	if _, err := h.Client.AddFDB(h.Context(), "bridge", api.FDBSpec{MAC: parsedMAC("02:00:00:00:00:77"), Port: "b"}); err != nil {
		h.Fatal(err)
	}
	return a, b
}

func TestKilledCarrierIsReplacedUnderAStream(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	h.Harmed()
	before := h.picture()
	s := openStream(t, a, b)
	var pauses []time.Duration
	for range rounds(t, 5, 100) {
		s.runs(600 * time.Millisecond) // longer than the supervisor takes to call a child sound
		h.KillCarrier()
		pauses = append(pauses, s.pause())
	}
	s.finish()
	report(t, pauses)
	h.isStill(before)
	if p := h.Connect(h.Container(), "e"); p.IPs[0].String() != "172.17.0.4/16" {
		t.Errorf("the next port gets %s, want 172.17.0.4/16", p.IPs[0])
	}
}

func TestKilledDaemonIsStartedAnewUnderAStream(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	before := h.picture()
	s := openStream(t, a, b)
	var pauses []time.Duration
	for range rounds(t, 3, 20) {
		s.pause()
		h.killDaemon()
		pauses = append(pauses, s.pause())
	}
	s.finish()
	report(t, pauses)
	h.isStill(before)
}

func TestStoppedDaemonLeavesThePorts(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	before := h.picture()
	h.Stop()
	if got := a.Links(); !slices.Equal(got, []string{"eth0"}) {
		t.Errorf("links %v in the container of a stopped daemon, want eth0", got)
	}
	h.Start()
	awaitLinksUp(a, b)
	a.Reaches(b.Addr().String())
	h.isStill(before)
}

func TestStopRemovesPortsWhenAsked(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--stop-removes-ports")
	a, _ := h.furnish()
	h.Stop()
	if got := a.Links(); len(got) != 0 {
		t.Errorf("links %v left, want none", got)
	}
	h.Start()
	ports, err := h.Client.Ports(t.Context(), "")
	if err != nil || len(ports) != 0 {
		t.Errorf("%d ports, %v; want none", len(ports), err)
	}
	if segments, err := h.Client.Segments(t.Context()); err != nil || len(segments) != 2 {
		t.Errorf("%d segments, %v; want both", len(segments), err)
	}
}

// A process that is replaced, or fails, has not been stopped.
func TestPortsThatAStopRemovesSurviveAnUpgrade(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--stop-removes-ports")
	a, b := h.furnish()
	before := h.picture()
	s := openStream(t, a, b)
	h.upgradeInPlace()
	s.pause()
	h.isStill(before)
	old := h.Carrier()
	h.LogAfter(func() {
		if err := h.Daemon.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}, "msg=upgraded")
	if h.Carrier() == old {
		t.Error("the same process as before carries the frames")
	}
	s.finish()
	h.isStill(before)
	h.Stop()
	if got := a.Links(); len(got) != 0 {
		t.Errorf("links %v left after the stop, want none", got)
	}
}

func TestMissingDevicesAreMadeAgain(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	h.Kill()
	a.Run("ip", "link", "delete", "eth0")
	h.Start()
	awaitLinksUp(a, b)
	a.Reaches(b.Addr().String())
	b.Reaches(a.Addr().String())
}

func TestUpgradeUnderAStream(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	h.Harmed()
	before := h.picture()
	s := openStream(t, a, b)
	old := h.Carrier()
	binary := filepath.Join(lab.ShortDir(t), "vswitchd")
	copyFile(t, binary, lab.Program("vswitchd"))
	h.upgradeTo(binary)
	if h.Carrier() == old {
		t.Error("the old process still serves")
	}
	t.Logf("longest pause %s", s.pause())
	// One that does not come up changes nothing.
	now := h.Carrier()
	for name, bad := range map[string]struct{ content, reason string }{
		"script": {"#!/bin/sh\nexit 1\n", "exit status 1"},
		"text":   {"hello", "exec format error"},
	} {
		path := filepath.Join(lab.ShortDir(t), name)
		if err := os.WriteFile(path, []byte(bad.content), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := h.Client.Upgrade(t.Context(), api.UpgradeSpec{Binary: path}); err == nil || !strings.Contains(err.Error(), bad.reason) {
			t.Errorf("upgrade to a %s: %v, want %s", name, err, bad.reason)
		}
		if h.Carrier() != now {
			t.Errorf("an upgrade to a %s has replaced the daemon", name)
		}
	}
	s.finish()
	h.isStill(before)
}

func copyFile(tb testing.TB, to, from string) {
	tb.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func TestRecreatedNamespaceGetsItsPortAgain(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	denied := h.Attach("denied")
	if _, err := h.Client.AddRule(t.Context(), "bridge", api.RuleSpec{Action: api.RuleDeny, From: api.RuleEnd{Port: "a"}, To: api.RuleEnd{Port: "denied"}}); err != nil {
		t.Fatal(err)
	}
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted=%t", restarted), func(t *testing.T) {
			if restarted {
				h.Kill()
				h.Start()
			}
			a.Reaches(b.Addr().String())
			sent := h.Counters("a").RxFrames
			h.loses("a", func() { h.NS.Run("ip", "netns", "delete", a.Name()) })
			if reason := h.Port("a").Reason; reason != "its network namespace was deleted" {
				t.Errorf("lost because %q", reason)
			}
			if now := h.Counters("a").RxFrames; now < sent {
				t.Errorf("the port that is lost has sent %d frames, and %d before", now, sent)
			}
			h.LogAfter(func() {
				h.NS.Run("ip", "netns", "add", a.Name())
			}, `msg="lost port attached again"`, "port=a ")
			h.hasState("a", api.PortUp)
			b.Reaches(a.Addr().String())
			a.Misses(denied.Addr().String())
			if now := h.Counters("a").RxFrames; now <= sent {
				t.Errorf("the port has sent %d frames, and %d before it was lost", now, sent)
			}
		})
	}
}

// The number of a process may be another one's after a while, and a process may go
// elsewhere: nobody gets a port that was not meant for it.
func TestProcessThatWentElsewhereDoesNotTakeItsPortAlong(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	first, second := h.Container(), h.Container()
	const script = `echo in the first; read go
exec nsenter --net="$0" sh -c "echo in the second; exec sleep 1000"`
	process := first.Start("sh", "-c", script, second.Path())
	process.AwaitLine(0, "in the first")
	if _, err := h.Client.AddPort(t.Context(), api.PortSpec{Name: "p", PID: process.Pid()}); err != nil {
		t.Fatal(err)
	}
	h.Kill()
	if _, err := process.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	process.AwaitLine(0, "in the second")
	h.Start()
	if p := h.Port("p"); p.State != api.PortLost {
		t.Errorf("the port is %s, want lost", p.State)
	}
	if got := second.Links(); len(got) != 0 {
		t.Errorf("the other namespace has links %v, want none", got)
	}
}

func TestLostPortIsReleased(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--lost-port-ttl", "300ms")
	a, b := h.furnish()
	h.LogAfter(a.Remove, `msg="lost port released"`, "port=a ")
	h.isReleased(a)
	b.Reaches("172.17.0.1")
}

// isReleased wants no port where the container's was.
func (h *host) isReleased(c *lab.Container) {
	h.Helper()
	// Its name may begin another port's id.
	if p, err := h.Client.Port(h.Context(), c.Port.ID); api.KindOf(err) != api.NotFound {
		h.Errorf("the port is %+v, %v; want it not found", p, err)
	}
}

func TestChangesInTheNamespaceAreNoticed(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	a.Reaches(b.Addr().String())
	h.setInterface(a, "eth0", false)
	fdb, err := h.Client.FDB(t.Context(), "bridge")
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(fdb, func(e api.FDBEntry) bool { return e.MAC == a.Port.MAC && e.Kind == api.Dynamic }) {
		t.Error("the forwarding table still has the port's address")
	}
	h.LogAfter(func() { a.Run("ip", "link", "set", "eth0", "name", "net7") },
		`msg="interface renamed in its namespace"`, "port=a ", "to=net7")
	if a.Port = h.Port("a"); a.Port.IfName != "net7" {
		t.Errorf("the port's interface is %s, want net7", a.Port.IfName)
	}
	h.setInterface(a, "net7", true)
	a.Reaches(b.Addr().String())
	h.changeMAC(a, "02:00:00:00:0a:0a")
	// The new name is found again after a restart.
	h.Kill()
	h.Start()
	if p := h.Port("a"); p.State != api.PortUp || p.IfName != "net7" {
		t.Errorf("after a restart the port is %s at %s, want up at net7: %s", p.State, p.IfName, p.Reason)
	}
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.furnish()
	before := h.picture()
	file := filepath.Join(lab.ShortDir(t), "backup.db")
	var copied bytes.Buffer
	if err := h.Client.Backup(t.Context(), &copied); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	h.DelPort("d")
	h.Stop()
	if code, said := h.StartInVain("--restore", file); code != 1 || !strings.Contains(said, "state.db") || strings.Count(said, "\n") != 1 {
		t.Errorf("restoring over a state: exit status %d, %q", code, said)
	}
	if err := os.Rename(h.StateDir, h.StateDir+".old"); err != nil {
		t.Fatal(err)
	}
	h.Start("--restore", file)
	h.isStill(before)
}

func TestDamagedStateStopsTheStart(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.furnish()
	h.Stop()
	file := filepath.Join(h.StateDir, "state.db")
	damaged := bytes.Repeat([]byte("nonsense"), 1<<12)
	if err := os.WriteFile(file, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := h.StartInVain(); code != 1 || !strings.Contains(said, file) || strings.Count(said, "\n") != 1 {
		t.Errorf("exit status %d, %q; want 1 and one line that names %s", code, said, file)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, damaged) {
		t.Error("the damaged file was changed")
	}
}
