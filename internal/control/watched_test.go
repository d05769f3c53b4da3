package control

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/switch/switchtest"
)

// watchedWorld is a world whose Control runs its tasks. It is for a synctest bubble.
type watchedWorld struct {
	*world
	stop func() // ends the latest Control's tasks, and waits for them

	replaced map[string]int // how often another namespace has taken a name
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
	return &watchedWorld{world: newWorld(t), stop: func() {}, replaced: make(map[string]int)}
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
	w.EndSupervisor()
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
		w.EndSupervisor()
	},
}

// rest lets the Control do all that it has to, with its pauses.
func (w *watchedWorld) rest() {
	time.Sleep(3 * maxLookDelay)
	synctest.Wait()
}

// change changes a link, tells the Control's watcher, and lets it follow.
func (w *watchedWorld) change(ns *kerneltest.Namespace, name string, f func(*kerneltest.Link)) {
	w.Helper()
	index := ns.Link(name).Index
	w.quietly(ns, name, f)
	w.Links.Tell(ns, index)
	w.rest()
}

// quietly changes a link, of which nobody is told.
func (w *watchedWorld) quietly(ns *kerneltest.Namespace, name string, f func(*kerneltest.Link)) {
	w.Helper()
	l := ns.Link(name)
	w.Mu.Lock()
	defer w.Mu.Unlock()
	f(l)
}

// move moves a link to another namespace under a name there, as the kernel does: it is down then
// and has no address.
func (w *watchedWorld) move(from *kerneltest.Namespace, name string, to *kerneltest.Namespace, as string) {
	w.Helper()
	l := from.Link(name)
	w.Mu.Lock()
	delete(from.Links, l.Index)
	l.In, l.Name, l.Up, l.Addrs = to, as, false, nil
	to.Links[l.Index] = l
	w.Mu.Unlock()
	w.Links.Tell(from, l.Index)
}

// replaceNamespace has another namespace take a name.
func (w *watchedWorld) replaceNamespace(name string) *kerneltest.Namespace {
	if w.Named[name] != nil {
		w.RemoveNamespace(name)
	}
	w.replaced[name]++
	return w.AddNamespaceAs(name, name+strings.Repeat(" anew", w.replaced[name]))
}

// mountsChange tells the Control that a mount has come or gone.
func (w *watchedWorld) mountsChange() {
	w.ChangeMounts()
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
	return p.device.(*kerneltest.Device).Wire
}

// at is an address set on a link.
func at(list ...string) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range list {
		addrs = append(addrs, addr(a))
	}
	return addrs
}
