package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hearsReloading is apart from hears for the time in it.
func (m *manager) hearsReloading() {
	m.Helper()
	b := make([]byte, maxMessage)
	n, err := m.conn.Read(b)
	if err != nil {
		m.Fatal(err)
	}
	var usec int64
	if _, err := fmt.Sscanf(string(b[:n]), "RELOADING=1\nMONOTONIC_USEC=%d", &usec); err != nil || usec <= 0 {
		m.Fatalf("the manager is told %q, want RELOADING and the time: %v", b[:n], err)
	}
}

func TestNotifierSaysWhatSystemdUnderstands(t *testing.T) {
	t.Parallel()
	m, n := newManager(t)
	for want, say := range map[string]func() error{
		"READY=1":                     func() error { return n.Ready("") },
		"READY=1\nSTATUS=3 ports":     func() error { return n.Ready("3 ports") },
		"STATUS=one WATCHDOG=trigger": func() error { return n.Status("one\nWATCHDOG=trigger") },
		"STOPPING=1":                  n.Stopping,
		"WATCHDOG=1":                  n.Watchdog,
		"FDSTOREREMOVE=1\nFDNAME=tap": func() error { return n.Drop("tap") },
	} {
		if err := say(); err != nil {
			t.Error(err)
		}
		m.hears(want)
	}
	if err := n.Reloading(); err != nil {
		t.Error(err)
	}
	m.hearsReloading()
}

func TestNotifierOnAnAbstractSocket(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"}) // the kernel names it
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	n := &Notifier{socket: conn.LocalAddr().String()}
	if err := n.Stopping(); err != nil {
		t.Fatalf("on %q: %v", n.socket, err)
	}
	(&manager{t, conn}).hears("STOPPING=1")
}

func TestNotifierWithoutListener(t *testing.T) {
	t.Parallel()
	for _, n := range []*Notifier{nil, {}} {
		for _, err := range []error{
			n.Ready(""), n.Reloading(), n.Stopping(), n.Status("x"), n.Watchdog(),
			n.Keep("tap0", 0), n.Drop("tap0"), n.Sync(t.Context()),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		if i := n.WatchdogInterval(); i != 0 {
			t.Errorf("the watchdog of nobody wants a sign every %v", i)
		}
	}
}

func TestNotifierErrors(t *testing.T) {
	t.Parallel()
	if err := (&Notifier{socket: "vsock:2:1234"}).Ready(""); err == nil || !strings.Contains(err.Error(), "want a path or @name") {
		t.Errorf("a vsock: %v", err)
	}
	if err := (&Notifier{socket: "/nonexistent/socket"}).Sync(t.Context()); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a socket that is not there: %v", err)
	}
	_, n := newManager(t)
	for _, name := range []string{"", "a:b", "a\nb", "ä", strings.Repeat("x", maxName+1), controlName} {
		if err := n.Keep(name, 0); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("keep %q: %v, want an error on one line", name, err)
		}
		if err := n.Drop(name); err == nil {
			t.Errorf("drop %q is not refused", name)
		}
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		confirms bool
		answer   string
		want     string
	}{
		{"systemd closes", false, "", ""},
		{"supervisor confirms", true, "ok", ""},
		{"supervisor has let it fall", true, "", "did not confirm"},
		{"supervisor could not keep something", true, "no room", "no room"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, n := newManager(t)
			n.confirms = test.confirms
			result := make(chan error, 1)
			go func() { result <- n.Sync(t.Context()) }()
			fds := m.hears("BARRIER=1")
			if len(fds) != 1 {
				t.Fatalf("%d descriptors came, want the end of a pipe", len(fds))
			}
			if _, err := unix.Write(fds[0], []byte(test.answer)); err != nil {
				t.Fatal(err)
			}
			closeAll(fds)
			fds[0] = -1
			err := <-result
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Sync: %v, want %q", err, test.want)
			}
		})
	}
}

func TestSyncStopsWaitingWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	m, n := newManager(t)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- n.Sync(ctx) }()
	m.hears("BARRIER=1") // and no answer
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Sync: %v, want canceled", err)
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if err := n.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sync: %v, want that the deadline is over", err)
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{
		"READY=1\nSTATUS=serving", "FDSTORE=1\nFDPOLL=0\nFDNAME=tap0", "FDSTOREREMOVE=1\nFDNAME=tap0",
		"BARRIER=1", "WATCHDOG=1\n", "READY", "=", "", "\n\n", "STATUS==\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := parseMessage(text)
		if m.ready && !strings.Contains(text, "READY=1") || m.barrier && !strings.Contains(text, "BARRIER=1") {
			t.Errorf("%q is understood as %+v", text, m)
		}
		if strings.Contains(m.status+m.name, "\n") || m.name != "stored" && !strings.Contains(text, m.name) {
			t.Errorf("%q has the name %q and the status %q", text, m.name, m.status)
		}
	})
}
