package control

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/ipam"
	vswitch "vswitch/switch"
)

// world is a machine with the Controls that a test makes on it.
type world struct {
	*kerneltest.Machine
	*testing.T
	log logBuffer

	adjust func(*core)       // changes what the next Control is made of; nil: nothing
	ended  map[*Control]bool // those that a test has closed itself
	latest *Control
}

func newWorld(t *testing.T) *world {
	return &world{Machine: kerneltest.New(t), T: t, ended: make(map[*Control]bool)}
}

// die ends the process: all descriptors but the kept ones are closed, and its timers do nothing.
func (w *world) die() {
	w.Die()
	if c := w.latest; c != nil {
		c.mu.Lock() // what is being done ends, without effect
		c.closed = true
		c.mu.Unlock()
	}
	w.CloseAll()
}

// close stops a Control, which would be stopped with the test otherwise.
func (w *world) close(c *Control, removePorts bool) {
	w.ended[c] = true
	c.Close(removePorts)
}

// abandon ends the goroutines of the latest Control, which has died.
func (w *world) abandon() { w.close(w.latest, false) }

// start makes a Control in the world, which ends with the test.
func (w *world) start() *Control {
	w.Helper()
	c, err := w.tryStart()
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) tryStart() (*Control, error) {
	w.Begin()
	pool, err := ipam.ParsePool("base=172.17.0.0/16,size=24")
	if err != nil {
		w.Fatal(err)
	}
	core := newCore(Config{
		Workers: 1, Ageing: time.Minute, FDBSize: 1024, Pools: []ipam.Pool{pool}, NAT: true,
		LostPortTTL: time.Hour, Log: slog.New(slog.NewTextHandler(lockedWriter{w}, nil)),
		Poll: vswitch.PollSleep, Keeper: w.Keeper(), Kept: w.Keeper(), SysctlDir: "/nowhere",
		Kernel: w.Kernel(),
	}, w.Store())
	if w.adjust != nil {
		w.adjust(core)
	}
	c := assemble(core)
	w.latest = c
	if err := c.start(); err != nil {
		c.Close(false)
		return nil, err
	}
	w.Cleanup(func() {
		if !w.ended[c] {
			c.Close(false)
		}
	})
	return c, nil
}

// lockedWriter writes to the world's log.
type lockedWriter struct{ *world }

func (l lockedWriter) Write(b []byte) (int, error) { return l.log.Write(b) }

// logBuffer has a lock of its own: some of it is written in the middle of a step.
type logBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// addPort attaches a container.
func (w *world) addPort(c *Control, name string, edit ...func(*api.PortSpec)) api.Port {
	w.Helper()
	spec := api.PortSpec{Name: name, NetNS: w.AddNamespace(name).Name}
	for _, e := range edit {
		e(&spec)
	}
	p, err := c.AddPort(w.Context(), spec)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// has reports whether the log has a line with all these parts.
func (w *world) has(parts ...string) bool {
	for line := range strings.Lines(w.log.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return true
		}
	}
	return false
}

// newID returns an id for what no Control makes.
func newID() string { return newCore(Config{Log: slog.Default()}, nil).newID() }
