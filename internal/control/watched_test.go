package control

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/control/kernel"
	"vswitch/internal/netns"
	"vswitch/switch/switchtest"
)

// watchedWorld is a world whose kernel tells the Control of changes. It is for a synctest bubble.
type watchedWorld struct {
	*world
	kernel *watchedKernel // of the latest Control
	stop   func()         // ends the latest Control's tasks, and waits for them
}

// watchedKernel is the world's kernel, for one Control.
type watchedKernel struct {
	fakeKernel
	links, host *fakeWatcher
	mounts      chan struct{}
	processes   map[int]*fakeProcess // those that run

	opening error // of each namespace that is opened
	making  error // of each TAP that is made
}

// inWatchedWorld runs a test in a bubble.
func inWatchedWorld(t *testing.T, f func(w *watchedWorld)) {
	t.Helper()
	t.Parallel()
	runInBubble(t, f)
}

// runInBubble runs it at once.
func runInBubble(t *testing.T, f func(w *watchedWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newWatchedWorld(t)) })
}

func newWatchedWorld(t *testing.T) *watchedWorld {
	w := &watchedWorld{world: newWorld(t), stop: func() {}}
	processes := make(map[int]*fakeProcess)
	w.adjust = func(c *core) {
		w.kernel = &watchedKernel{
			fakeKernel: fakeKernel{w.world}, links: newFakeWatcher(w.world), host: newFakeWatcher(w.world),
			mounts: make(chan struct{}), processes: processes,
		}
		c.kernel = w.kernel
	}
	return w
}

// start makes a Control and runs its tasks until the test or the Control ends.
func (w *watchedWorld) start() *Control {
	w.Helper()
	c := w.world.start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	tasks := c.Tasks()
	for _, task := range tasks {
		go func() { done <- task.Run(ctx) }()
	}
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range tasks {
			if err := <-done; err != nil {
				w.Error(err)
			}
		}
	}
	w.Cleanup(w.stop)
	return c
}

// restart ends a Control in one of several ways and starts the next one.
func (w *watchedWorld) restart(c *Control, end func(w *watchedWorld, c *Control)) *Control {
	w.Helper()
	w.stop()
	end(w, c)
	return w.start()
}

// killed is a process that ends in the middle of its work, and whose supervisor lives.
func killed(w *watchedWorld, c *Control) {
	w.die()
	w.close(c, false) // while the world is deaf to it
}

// stopped is an end as in a full restart: the supervisor ends too.
func stopped(w *watchedWorld, c *Control) {
	w.close(c, false)
	w.endSupervisor()
}

// ways are those in which a process ends.
var ways = map[string]func(*watchedWorld, *Control){
	"killed": killed,
	"upgraded": func(w *watchedWorld, c *Control) {
		w.close(c, false)
	},
	"stopped": stopped,
	"killed with its supervisor": func(w *watchedWorld, c *Control) {
		w.die()
		w.close(c, false)
		w.endSupervisor()
	},
}

// endSupervisor closes all kept descriptors.
func (w *world) endSupervisor() {
	for name := range maps.Clone(w.kept) {
		w.dead = false
		if err := (fakeKeeper{w}).Drop(name); err != nil {
			w.Error(err)
		}
	}
}

// rest lets the Control do all that it has to, with its pauses.
func (w *watchedWorld) rest() {
	time.Sleep(3 * maxLookDelay)
	synctest.Wait()
}

// link returns the link of a name in a namespace.
func (ns *fakeNamespace) link(name string) *fakeLink {
	ns.Helper()
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, l := range ns.links {
		if l.Name == name {
			return l
		}
	}
	ns.Fatalf("namespace %s has no link %s", ns.name, name)
	return nil
}

// change changes a link, tells the Control's watcher, and lets it follow.
func (w *watchedWorld) change(ns *fakeNamespace, name string, f func(*fakeLink)) {
	w.Helper()
	index := ns.link(name).Index
	w.quietly(ns, name, f)
	w.kernel.links.tell(ns, index)
	w.rest()
}

// quietly changes a link, of which nobody is told.
func (w *watchedWorld) quietly(ns *fakeNamespace, name string, f func(*fakeLink)) {
	w.Helper()
	l := ns.link(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	f(l)
}

// move moves a link to another namespace under a name there, as the kernel does: it is down then
// and has no address.
func (w *watchedWorld) move(from *fakeNamespace, name string, to *fakeNamespace, as string) {
	w.Helper()
	l := from.link(name)
	w.mu.Lock()
	delete(from.links, l.Index)
	l.in, l.Name, l.Up, l.Addrs = to, as, false, nil
	to.links[l.Index] = l
	w.mu.Unlock()
	w.kernel.links.tell(from, l.Index)
}

// removeLink deletes a link.
func (w *watchedWorld) removeLink(ns *fakeNamespace, name string) {
	w.Helper()
	l := ns.link(name)
	w.mu.Lock()
	delete(ns.links, l.Index)
	var gone []*fakeDevice
	for _, d := range w.devices {
		if d.link == l {
			d.link = nil
			gone = append(gone, d)
		}
	}
	w.mu.Unlock()
	for _, d := range gone {
		d.wire.Break()
	}
}

// replaceNamespace has another namespace take a name.
func (w *watchedWorld) replaceNamespace(name string) *fakeNamespace {
	if w.named[name] != nil {
		w.removeNamespace(name)
	}
	ns := w.namespace(name)
	ns.name += " anew"
	return ns
}

// mountsChange tells the Control that a mount has come or gone.
func (w *watchedWorld) mountsChange() {
	w.kernel.mounts <- struct{}{}
	w.rest()
}

// wire is the far end of a port's device.
func (w *watchedWorld) wire(c *Control, name string) *switchtest.Device {
	w.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.findPort(name)
	if err != nil || p.device == nil {
		w.Fatalf("port %s has no device: %v", name, err)
	}
	return p.device.(*fakeDevice).wire
}

func (k *watchedKernel) WatchLinks() (kernel.LinkWatcher, error)     { return k.links, nil }
func (k *watchedKernel) WatchHostLinks() (kernel.LinkWatcher, error) { return k.host, nil }

func (k *watchedKernel) WatchMounts(ctx context.Context, changed func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.mounts:
			changed()
		}
	}
}

func (k *watchedKernel) OpenNamespace(ref netns.Ref) (kernel.Namespace, error) {
	if k.opening != nil {
		return nil, k.opening
	}
	return k.fakeKernel.OpenNamespace(ref)
}

func (k *watchedKernel) CreateTAP(name string) (kernel.Device, error) {
	if k.making != nil {
		return nil, k.making
	}
	return k.fakeKernel.CreateTAP(name)
}

func (k *watchedKernel) OpenProcess(pid int) (kernel.Process, error) {
	p := k.processes[pid]
	if p == nil {
		return nil, fmt.Errorf("%w: process %d is not running", netns.ErrNoNamespace, pid)
	}
	return &openProcess{p, make(chan struct{})}, nil
}

// fakeProcess is a process of the world.
type fakeProcess struct{ ended chan struct{} }

// openProcess is a process that somebody waits for.
type openProcess struct {
	*fakeProcess
	closed chan struct{}
}

func (p *openProcess) Wait() error {
	select {
	case <-p.ended:
		return nil
	case <-p.closed:
		return net.ErrClosed
	}
}

func (p *openProcess) Close() error {
	close(p.closed)
	return nil
}

// fakeWatcher follows links.
type fakeWatcher struct {
	*world
	events  chan netns.LinkEvent
	numbers map[*fakeNamespace]int
	err     error // of Watch
}

func newFakeWatcher(w *world) *fakeWatcher {
	return &fakeWatcher{
		world: w, events: make(chan netns.LinkEvent, 100), numbers: make(map[*fakeNamespace]int),
	}
}

func (f *fakeWatcher) Watch(in kernel.Namespace) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	ns := in.(*fakeNamespace)
	if f.numbers[ns] == 0 {
		f.numbers[ns] = len(f.numbers) + 1
	}
	return f.numbers[ns], nil
}

// tell reports a change of a link in a namespace, if that is watched.
func (f *fakeWatcher) tell(ns *fakeNamespace, index int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.numbers[ns]; n != 0 {
		f.events <- netns.LinkEvent{Namespace: n, Index: index}
	}
}

func (f *fakeWatcher) Run(ctx context.Context, each func(netns.LinkEvent)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-f.events:
			each(e)
		}
	}
}

func (f *fakeWatcher) Close() error { return nil }

var (
	_ kernel.Kernel      = (*watchedKernel)(nil)
	_ kernel.LinkWatcher = (*fakeWatcher)(nil)
	_ kernel.Process     = (*openProcess)(nil)
)

// at is an address set on a link.
func at(list ...string) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range list {
		addrs = append(addrs, addr(a))
	}
	return addrs
}
