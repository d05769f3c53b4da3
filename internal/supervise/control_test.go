package supervise

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newPair is a child's Control, and the supervisor's end of its socket.
func newPair(t *testing.T) (*Control, *net.UnixConn, *Files) {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	far, err := openSocket(ends[0])
	if err != nil {
		t.Fatal(err)
	}
	files := &Files{byName: map[string][]int{controlName: {ends[1]}}}
	c, err := newControl(environment{supervised: true, standby: true}, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.close()
		far.Close()
		files.Close()
	})
	return c, far, files
}

func TestControlNoticesTheSupervisorsEnd(t *testing.T) {
	t.Parallel()
	c, far, _ := newPair(t)
	far.Close()
	<-c.orphaned
	// Depending on who notices first, the send fails or the wait.
	if err := c.AwaitTurn(t.Context()); err == nil {
		t.Error("AwaitTurn: the turn has come without a supervisor")
	}
	if err := c.Upgrade(t.Context(), UpgradeRequest{Binary: "x"}); err == nil || !strings.HasPrefix(err.Error(), "upgrade: ") {
		t.Errorf("Upgrade: %v, want that it failed", err)
	}
}

func TestControlStopsWaitingWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	c, _, _ := newPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.AwaitTurn(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("AwaitTurn: %v, want canceled", err)
	}
	if err := c.Upgrade(ctx, UpgradeRequest{Binary: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Upgrade: %v, want canceled", err)
	}
}

func TestRefusalsReachWhoAsked(t *testing.T) {
	t.Parallel()
	c, far, _ := newPair(t)
	results := make(map[string]chan error)
	for _, path := range []string{"/a", "/b"} {
		result := make(chan error, 1)
		results[path] = result
		go func() { result <- c.Upgrade(t.Context(), UpgradeRequest{Binary: path}) }()
	}
	var asked []packet
	for range 2 {
		p, err := readPacket(far)
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, p)
	}
	for _, p := range []packet{asked[1], {number: 99}, asked[0]} {
		if err := writePacket(far, packet{verbRefused, p.number, "not " + p.text, -1}); err != nil {
			t.Fatal(err)
		}
	}
	for path, result := range results {
		if err := <-result; err == nil || err.Error() != "upgrade: not "+path {
			t.Errorf("upgrade to %s: %v, want not %s", path, err, path)
		}
	}
}

func TestUnknownPacketsAreIgnored(t *testing.T) {
	t.Parallel()
	c, far, files := newPair(t)
	_, w := pipe(t)
	fd, err := duplicate(w)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, p := range []packet{
		{"HELLO", 1, "who is there", fd},
		{verbKeep, 0, "nothing", -1},
		{verbTurn, 0, "", -1},
		{verbTurn, 0, "", -1},
	} {
		if err := writePacket(far, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.AwaitTurn(t.Context()); err != nil {
		t.Error(err)
	}
	if names := files.Names(); len(names) != 0 {
		t.Errorf("files are %v, want none", names)
	}
}

func TestControlNeedsItsSocket(t *testing.T) {
	t.Parallel()
	e := environment{supervised: true}
	if _, err := newControl(e, &Files{}); err == nil {
		t.Error("a Control without a socket")
	}
	_, w := pipe(t)
	fd, err := duplicate(w)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newControl(e, &Files{byName: map[string][]int{controlName: {fd}}}); err == nil {
		t.Error("a Control on a pipe")
	}
}

func FuzzParsePacket(f *testing.F) {
	for _, seed := range []string{"STANDBY 0 ", "UPGRADE 1 /usr/bin/with space", "KEEP 0 tap0", "", " ", "A", "A -1 x", "A 18446744073709551616 x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePacket(b)
		if err != nil {
			return
		}
		again, err := parsePacket([]byte(p.String()))
		if err != nil || again != p {
			t.Errorf("%q is %+v, and that again %+v, %v", b, p, again, err)
		}
	})
}

func TestReadPacketAtTheEnd(t *testing.T) {
	t.Parallel()
	c, far, _ := newPair(t)
	c.close()
	if _, err := readPacket(far); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v, want EOF", err)
	}
}
