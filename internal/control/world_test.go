package control

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/host"
	"vswitch/internal/ipam"
	vswitch "vswitch/switch"
)

// world is a machine without a kernel: its links, namespaces, disk, and supervisor. It outlives
// the Controls that a test makes in it.
type world struct {
	*testing.T
	log logBuffer

	onMove func(to string) // called when a link is about to be moved to a namespace; nil: nothing

	mu     sync.Mutex
	steps  []string // all that was asked of the world since the last plan, in order
	failAt int      // the step that fails, from 1 on; 0: none
	dieAt  int      // the step at which the process dies; 0: none
	dead   bool     // the process is dead: nothing that it asks for happens

	own        *fakeNamespace
	named      map[string]*fakeNamespace
	nextIndex  int
	devices    map[int]*fakeDevice // by descriptor
	nextFd     int
	reserved   map[netip.AddrPort]bool
	rules      host.Config
	rulesThere bool

	adjust func(*core)       // changes what the next Control is made of; nil: nothing
	ended  map[*Control]bool // those that a test has closed itself
	latest *Control

	state *model.State
	kept  map[string]int // descriptors by name
	given map[string]int // those of them that the process has not taken yet
}

func newWorld(t *testing.T) *world {
	w := &world{
		T: t, named: make(map[string]*fakeNamespace), devices: make(map[int]*fakeDevice),
		reserved: make(map[netip.AddrPort]bool), state: model.Empty(), kept: make(map[string]int),
		ended: make(map[*Control]bool), nextFd: 1000,
	}
	w.own = &fakeNamespace{world: w, name: "own", links: make(map[int]*fakeLink)}
	return w
}

// errStep is the error of the step that fails.
var errStep = errors.New("the step fails")

// step is one thing that the world is asked for. The error says that it did not happen.
func (w *world) step(format string, args ...any) error {
	if w.dead {
		return errStep
	}
	w.steps = append(w.steps, fmt.Sprintf(format, args...))
	switch len(w.steps) {
	case w.failAt:
		return errStep
	case w.dieAt:
		w.dead = true
		return errStep
	}
	return nil
}

// plan begins to count steps anew. The one at failAt fails, at dieAt the process dies.
func (w *world) plan(failAt, dieAt int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps, w.failAt, w.dieAt = nil, failAt, dieAt
}

// taken returns the steps since the last plan.
func (w *world) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.steps)
}

// namespace makes a container's.
func (w *world) namespace(name string) *fakeNamespace {
	w.mu.Lock()
	defer w.mu.Unlock()
	ns := &fakeNamespace{world: w, name: name, links: make(map[int]*fakeLink)}
	w.named[name] = ns
	return ns
}

// removeNamespace ends one, and the links in it.
func (w *world) removeNamespace(name string) {
	w.mu.Lock()
	ns := w.named[name]
	delete(w.named, name)
	var gone []*fakeDevice
	for _, d := range w.devices {
		if d.link != nil && d.link.in == ns {
			d.link = nil
			gone = append(gone, d)
		}
	}
	w.mu.Unlock()
	for _, d := range gone {
		d.wire.Break()
	}
}

// links returns the names of all links, with their namespaces.
func (w *world) links() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, ns := range append(slices.Collect(maps.Values(w.named)), w.own) {
		for _, l := range ns.links {
			names = append(names, ns.name+"/"+l.Name)
		}
	}
	slices.Sort(names)
	return names
}

// die ends the process: all descriptors but the kept ones are closed, and its timers do nothing.
func (w *world) die() {
	w.mu.Lock()
	w.dead = true
	w.mu.Unlock()
	if c := w.latest; c != nil {
		c.mu.Lock() // what is being done ends, without effect
		c.closed = true
		c.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.devices {
		d.closeLocked()
	}
	clear(w.reserved)
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
	w.mu.Lock()
	w.dead, w.given = false, maps.Clone(w.kept)
	w.mu.Unlock()
	pool, err := ipam.ParsePool("base=172.17.0.0/16,size=24")
	if err != nil {
		w.Fatal(err)
	}
	core := newCore(Config{
		Workers: 1, Ageing: time.Minute, FDBSize: 1024, Pools: []ipam.Pool{pool}, NAT: true,
		LostPortTTL: time.Hour, Log: slog.New(slog.NewTextHandler(lockedWriter{w}, nil)),
		Poll: vswitch.PollSleep, Keeper: fakeKeeper{w}, Kept: fakeKeeper{w}, SysctlDir: "/nowhere",
	}, fakeStore{w})
	core.kernel = fakeKernel{w}
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
	spec := api.PortSpec{Name: name, NetNS: w.namespace(name).name}
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
