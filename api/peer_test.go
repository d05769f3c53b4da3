package api_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
)

// asked keeps who has asked for the ports.
type asked struct {
	api.Backend
	pid, pidfd int
	err        error
}

func (a *asked) Ports(ctx context.Context, segment string) ([]api.Port, error) {
	if peer := api.PeerOf(ctx); peer != nil {
		a.pid, a.pidfd, a.err = peer.Process()
	}
	return a.Backend.Ports(ctx, segment)
}

// TestPeerIsTheProcessThatAsks: the backend is told which process a request is of.
func TestPeerIsTheProcessThatAsks(t *testing.T) {
	t.Parallel()
	if socket := os.Getenv("PEER_TEST_SOCKET"); socket != "" { // in the process that asks
		if _, err := api.NewSocketClient(socket, time.Minute).Ports(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		return
	}
	backend := &asked{Backend: controltest.New(t)}
	socket := apitest.Serve(t, backend)
	cmd := exec.Command(os.Args[0], "-test.run=^TestPeerIsTheProcessThatAsks$")
	cmd.Env = append(os.Environ(), "PEER_TEST_SOCKET="+socket)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if backend.err != nil || backend.pid != cmd.Process.Pid {
		t.Fatalf("process %d, %v has asked; want %d", backend.pid, backend.err, cmd.Process.Pid)
	}
	defer unix.Close(backend.pidfd)
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(backend.pidfd))
	if err != nil || !strings.Contains(string(info), "Pid:") {
		t.Errorf("the descriptor is %q, %v; want one of a process", info, err)
	}
}

// TestPeerOfNobody: a call of this process itself has none.
func TestPeerOfNobody(t *testing.T) {
	t.Parallel()
	if peer := api.PeerOf(t.Context()); peer != nil {
		t.Errorf("the peer is %v", peer)
	}
}

// asUser calls act on a thread whose effective user is uid.
func asUser(t *testing.T, uid int, act func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		const same = ^uintptr(0)
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same)
		if errno != 0 {
			done <- fmt.Errorf("become user %d: %w", uid, errno)
			return
		}
		done <- act()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// serveAbstract serves b where every user may connect.
func serveAbstract(t *testing.T, b api.Backend) (socket string) {
	t.Helper()
	socket = fmt.Sprintf("@vst-%d-%s", os.Getpid(), t.Name())
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(b, slog.New(slog.DiscardHandler))
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // and cut off who is still connected
		_ = server.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return socket
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another user too")
	}
}

// TestRootGetsPastOthersConnections, which send nothing and are more than may be open.
func TestRootGetsPastOthersConnections(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	socket := serveAbstract(t, controltest.New(t))
	const user, many = 65534, 400
	idle := make([]int, 0, many)
	defer func() {
		for _, fd := range idle {
			unix.Close(fd)
		}
	}()
	asUser(t, user, func() error {
		for range many {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			idle = append(idle, fd)
			if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
				return err
			}
		}
		return nil
	})
	if _, err := client(t, socket, 0).Segments(t.Context()); err != nil {
		t.Errorf("root: %v", err)
	}
	closed := 0
	for _, fd := range idle {
		var b [1]byte
		if _, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT); err != unix.EAGAIN {
			closed++
		}
	}
	if closed > 0 {
		t.Errorf("root was answered when %d of %d connections of another user had been closed, want none",
			closed, many)
	}
}

// callers remembers whether root has called.
type callers struct {
	api.Backend
	root chan bool
}

func (c callers) Segments(ctx context.Context) ([]api.Segment, error) {
	c.root <- api.CallerIsRoot(ctx)
	return nil, nil
}

func TestCallerIsRoot(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	c := callers{root: make(chan bool, 1)}
	socket := serveAbstract(t, c)
	if _, err := client(t, socket, 0).Segments(t.Context()); err != nil || !<-c.root {
		t.Errorf("root: %v, want it known as root", err)
	}
	asUser(t, 65534, func() error { // which the connection is made by
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
			return err
		}
		if _, err := unix.Write(fd, []byte("GET /v1/segments HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			return err
		}
		if <-c.root {
			t.Error("another user is taken for root")
		}
		return nil
	})
	if api.CallerIsRoot(t.Context()) {
		t.Error("who is not known is taken for root")
	}
}
