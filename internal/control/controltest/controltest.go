// Package controltest runs the control plane on a machine in memory, for tests of what stands on
// an [api.Backend]: the switch, its rules and its tables are the real ones, the kernel, the disk
// and the supervisor those of [kerneltest].
package controltest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"vswitch/internal/control"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/ipam"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
)

// Version is what the Controls of this package say that they are.
const Version = "v0.0.0-test"

// Switch is a Control that runs, and the machine that it runs on. A test that wants one of its
// methods to do something else embeds it.
type Switch struct {
	*control.Control
	Machine *kerneltest.Machine

	tb testing.TB
}

// New returns a Switch that runs until the test's end, with the default segment, on a machine
// that has containers with these namespaces. Its ids depend only on how many it has made.
func New(tb testing.TB, namespaces ...string) *Switch {
	tb.Helper()
	s := &Switch{Machine: kerneltest.New(tb), tb: tb}
	for _, name := range namespaces {
		s.Machine.AddNamespace(name)
	}
	c, err := control.New(control.Config{
		Poll: vswitch.PollSleep, Workers: 1, Ageing: vswitch.DefaultAgeing, FDBSize: 1024,
		Pools: ipam.DefaultPools(), Version: Version, Log: slog.New(slog.DiscardHandler),
		Kernel: s.Machine.Kernel(), Rand: new(sequence),
		LostPortTTL: time.Hour, NAT: true, SysctlDir: "/nonexistent",
		Keeper: s.Machine.Keeper(), Kept: s.Machine.Keeper(),
	}, s.Machine.Store())
	if err != nil {
		tb.Fatal(err)
	}
	s.Control = c
	c.Settle()
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	for _, task := range c.Tasks() {
		tasks.Go(func() {
			if err := task.Run(ctx); err != nil {
				tb.Errorf("%s: %v", task.Name, err)
			}
		})
	}
	tb.Cleanup(func() {
		cancel()
		tasks.Wait()
		c.Close(false)
	})
	return s
}

// sequence is a source of ids that are the same in each run: the hashes of 1, 2 and so on.
type sequence struct {
	mu   sync.Mutex
	read int
}

func (s *sequence) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read++
	sum := sha256.Sum256(fmt.Append(nil, s.read))
	return copy(b, sum[:]), nil
}

// Wire returns what a port's container has of its interface.
func (s *Switch) Wire(port string) *switchtest.Device {
	s.tb.Helper()
	p, err := s.Port(s.tb.Context(), port)
	if err != nil {
		s.tb.Fatal(err)
	}
	return s.Machine.WireOf(p.NetNS, p.IfName)
}

// Send has the container of a port send frames, and returns once the switch has counted them.
func (s *Switch) Send(port string, frames ...[]byte) {
	s.tb.Helper()
	wire, before := s.Wire(port), s.received(port)
	for _, f := range frames {
		wire.Send(f)
	}
	s.Await(fmt.Sprintf("port %s has sent %d frames", port, len(frames)), func() bool {
		return s.received(port) == before+uint64(len(frames))
	})
}

// received returns how many frames the switch has had of a port.
func (s *Switch) received(port string) uint64 {
	p, err := s.Port(s.tb.Context(), port)
	if err != nil {
		s.tb.Fatal(err)
	}
	return p.Counters.RxFrames
}

// awaitTimeout is how long what a test waits for may take on a busy machine.
const awaitTimeout = 30 * time.Second

// Await returns once the switch has come to a state, which it is asked for again and again, and
// fails the test if it never does.
func (s *Switch) Await(what string, reached func() bool) {
	s.tb.Helper()
	for deadline := time.Now().Add(awaitTimeout); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.tb.Errorf("it never comes to this: %s", what)
			return
		}
	}
}
