package control

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/ipam"
	"vswitch/internal/reactor"
	vswitch "vswitch/switch"
)

// TestFirstStart makes the default segment, and no second one later.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		c := w.start()
		list, err := c.Segments(t.Context())
		if err != nil || len(list) != 1 || list[0].Name != api.DefaultSegment ||
			list[0].Subnet != prefix("172.17.0.0/24") {
			t.Errorf("the segments are %+v, %v", list, err)
		}
		w.die()
	}
}

// TestStartsThatFail say why, and leave nothing open.
func TestStartsThatFail(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		adjust func(w *world, c *core)
		plan   int // the step that fails
		says   string
	}{
		{name: "overlapping pools", adjust: func(_ *world, c *core) {
			c.config.Pools = append(c.config.Pools, c.config.Pools...)
		}, says: "172.17.0.0/16"},
		{name: "no poller", adjust: func(w *world, c *core) {
			c.kernel = pollerKernel{w.Kernel(), nil, errors.New("no epoll")}
		}, says: "no epoll"},
		{name: "default segment not stored", plan: 2, says: "make the default segment"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			store := &closing{Store: w.Store()}
			w.adjust = func(c *core) {
				c.store = store
				if test.adjust != nil {
					test.adjust(w, c)
				}
			}
			w.Plan(test.plan, 0)
			_, err := w.tryStart()
			w.Plan(0, 0)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("the error is %v, want it to say %q", err, test.says)
			}
			if !store.closed {
				t.Error("the store is open")
			}
			w.wantLinks()
			w.adjust = nil
			if got := w.addPort(w.start(), "a").IPs[0]; got != prefix("172.17.0.2/24") {
				t.Errorf("a port has %s then", got)
			}
		})
	}
}

// closing is a store that notes its end, which may fail.
type closing struct {
	kerneltest.Store
	closed bool
	err    error
}

func (s *closing) Close() error {
	s.closed = true
	return s.err
}

// pollerKernel has other pollers.
type pollerKernel struct {
	kerneltest.Kernel
	fallback []reactor.State // that are slower ones
	err      error
}

func (k pollerKernel) NewPoller(
	engine reactor.Engine, fallback func(reactor.State),
) (vswitch.Poller, error) {
	for _, s := range k.fallback {
		fallback(s)
	}
	p, err := k.Kernel.NewPoller(engine, fallback)
	return p, errors.Join(err, k.err)
}

// TestSlowerPoller is worth a warning, and one for all workers.
func TestSlowerPoller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.adjust = func(c *core) {
		c.config.Workers = 3
		c.kernel = pollerKernel{w.Kernel(), []reactor.State{
			{Engine: reactor.Ring, Why: errors.New("RLIMIT_MEMLOCK")},
			{Engine: reactor.Plain, Why: errors.New("seccomp")},
		}, nil}
	}
	w.start()
	w.wantLog("level=WARN", "no registered buffers", "io=ring", "RLIMIT_MEMLOCK")
	w.wantLog("level=WARN", "no io_uring", "io=plain", "seccomp")
}

// TestNew refuses what assemble's start refuses.
func TestNew(t *testing.T) {
	t.Parallel()
	pool, err := ipam.ParsePool("base=172.17.0.0/16,size=24")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	store := &closing{Store: w.Store(), err: errors.New("no disk")}
	c, err := New(Config{
		Pools: []ipam.Pool{pool, pool}, Log: slog.New(slog.NewTextHandler(lockedWriter{w}, nil)),
		Keeper: kerneltest.Keeper{Machine: w.Machine}, Kept: kerneltest.Keeper{Machine: w.Machine},
	}, store)
	if err == nil || c != nil || !store.closed {
		t.Errorf("got %v, %v; the store is closed: %t", c, err, store.closed)
	}
	w.wantLog("level=ERROR", "close the store", "no disk")
}

// TestCloseLeavesAll as it is for the next process: interfaces, rules of the firewall and state.
func TestCloseLeavesAll(t *testing.T) {
	t.Parallel()
	w := newWatchedWorld(t)
	c := w.world.start()
	w.furnish(c)
	links, records, rules := w.AllLinks(), w.State.Records(), w.Rules
	w.close(c, false)
	w.wantLinks(links...)
	if !reflect.DeepEqual(w.State.Records(), records) || !reflect.DeepEqual(w.Rules, rules) ||
		!w.RulesThere {
		t.Errorf("there is %+v, %+v", w.State.Records(), w.Rules)
	}
	if len(w.Reserved) > 0 {
		t.Errorf("reserved are %v", w.Reserved)
	}
	w.EndSupervisor()
	w.wantLinks(links...)
	_, err := c.AddPort(t.Context(), api.PortSpec{Name: "late", NetNS: "fresh"})
	w.wantError(err, api.Unavailable, "is stopping")
}

// TestCloseThatRemovesPorts leaves the segments, and nothing in the kernel.
func TestCloseThatRemovesPorts(t *testing.T) {
	t.Parallel()
	w := newWatchedWorld(t)
	c := w.world.start()
	w.furnish(c)
	_, err := c.AddPort(t.Context(), api.PortSpec{Name: "managed", Handover: true})
	w.wantNil(err)
	gone := w.addPort(c, "gone")
	w.RemoveNamespace("gone")
	c.deviceGone(c.allPorts[gone.ID].sw)
	w.close(c, true)
	w.wantLinks()
	if w.State.PortCount() != 0 || len(w.Kept) > 0 || w.RulesThere {
		t.Errorf("there are %d ports, kept %v, rules %t", w.State.PortCount(), w.Kept, w.RulesThere)
	}
	next := w.world.start()
	segments, err := next.Segments(t.Context())
	if err != nil || len(segments) != 3 {
		t.Errorf("the segments are %+v, %v", segments, err)
	}
	rules, err := next.Rules(t.Context(), "")
	if err != nil || len(rules) != 1 { // the one that names no port
		t.Errorf("the rules are %+v, %v", rules, err)
	}
	if entries, err := next.FDB(t.Context(), ""); err != nil ||
		strings.Contains(entriesOf(entries), "static") {
		t.Errorf("the entries are %+v, %v", entries, err)
	}
	if p := w.addPort(next, "a"); p.IPs[0] != prefix("172.17.0.2/24") {
		t.Errorf("a port has %v", p.IPs)
	}
}

func entriesOf(list []api.FDBEntry) string {
	var kinds []string
	for _, e := range list {
		kinds = append(kinds, string(e.Kind))
	}
	return strings.Join(kinds, " ")
}

// TestCloseThatCannotRemovePorts leaves them whole.
func TestCloseThatCannotRemovePorts(t *testing.T) {
	t.Parallel()
	w := newWatchedWorld(t)
	c := w.world.start()
	w.furnish(c)
	before, links := w.see(c), w.AllLinks()
	w.Plan(1, 0)
	w.close(c, true)
	w.Plan(0, 0)
	w.wantLog("level=ERROR", "cannot remove the ports, which stay as they are", kerneltest.ErrStep.Error())
	w.wantLinks(links...)
	if !w.RulesThere {
		t.Error("the firewall's rules are gone")
	}
	next := w.world.start()
	next.Settle()
	if now := w.see(next); !reflect.DeepEqual(now, before) {
		t.Errorf("there is\n%+v, where there was\n%+v", now, before)
	}
}

// TestProcessThatDiesWhileItRemovesPorts: the next one makes an end of what is left.
func TestProcessThatDiesWhileItRemovesPorts(t *testing.T) {
	t.Parallel()
	w := newWatchedWorld(t)
	c := w.world.start()
	w.furnish(c)
	open := w.State.PortCount()
	w.Plan(0, 0)
	w.close(c, true)
	steps := w.Taken()
	for i := range len(steps) - open { // the last ones are made in parallel, one for each port
		w := newWatchedWorld(t)
		c := w.world.start()
		w.furnish(c)
		ports := w.State.PortCount()
		w.Plan(0, i+1)
		dies(w.world, func() error {
			w.close(c, true)
			return nil
		})
		w.Plan(0, 0)
		w.die()
		w.wantNil(c.counters.close())
		next := w.world.start()
		next.Settle()
		wantWhole(t, w.world, next)
		if n := w.State.PortCount(); n != 0 && n != ports {
			t.Errorf("it died at %q, and there are %d ports of %d", steps[i], n, ports)
		}
	}
}

// stuckKernel has pollers that hang once they are told to.
type stuckKernel struct {
	kerneltest.Kernel
	stuck chan struct{} // closed: go on
}

type stuckPoller struct {
	vswitch.Poller
	stuck chan struct{}
}

func (k stuckKernel) NewPoller(
	engine reactor.Engine, fallback func(reactor.State),
) (vswitch.Poller, error) {
	p, err := k.Kernel.NewPoller(engine, fallback)
	return stuckPoller{p, k.stuck}, err
}

func (p stuckPoller) Wait(ready []uint32, timeout time.Duration) int {
	n := p.Poller.Wait(ready, timeout)
	<-p.stuck
	return n
}

// TestHealthy tells a worker that does nothing from one with nothing to do.
func TestHealthy(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.wantNil(c.Healthy(w.Context()))
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stuck := make(chan struct{}, 1000)
		for range 100 {
			stuck <- struct{}{}
		}
		w.adjust = func(c *core) { c.kernel = stuckKernel{w.Kernel(), stuck} }
		c := w.start()
		for len(stuck) > 0 {
			<-stuck
		}
		t.Cleanup(func() { close(stuck) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Healthy(ctx) // it may take the last place that is free
		if err == nil {
			err = c.Healthy(ctx)
		}
		if !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "a worker does nothing") {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestTasks are those for which the kernel has what they need.
func TestTasks(t *testing.T) {
	t.Parallel()
	names := func(c *Control) (list []string) {
		for _, task := range c.Tasks() {
			list = append(list, task.Name)
		}
		return list
	}
	w := newWorld(t)
	w.FailCall("watch ", errors.ErrUnsupported)
	w.adjust = func(c *core) { c.config.NAT = false }
	if got := names(w.start()); !reflect.DeepEqual(got, []string{"watch the mounts"}) {
		t.Errorf("without anything: %q", got)
	}
	all := []string{
		"watch the containers' interfaces", "watch the host links", "watch the mounts",
		"watch the nftables ruleset",
	}
	if got := names(newWorld(t).start()); !reflect.DeepEqual(got, all) {
		t.Errorf("with all: %q, want %q", got, all)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.adjust = func(c *core) { c.config.Version = "1.2.3" }
	v, err := w.start().Version(t.Context())
	if err != nil || v.Version != "1.2.3" || v.PID == 0 {
		t.Errorf("it is %+v, %v", v, err)
	}
}

// TestDefaultSegmentWithoutAHostLink is made all the same.
func TestDefaultSegmentWithoutAHostLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.FailCall("create vs-", &fs.PathError{Op: "open", Path: "/dev/net/tun", Err: fs.ErrNotExist})
	c := w.start()
	s, err := c.Segment(t.Context(), api.DefaultSegment)
	if err != nil || s.HostLink.State != api.PortDown ||
		!strings.Contains(s.HostLink.Reason, "/dev/net/tun") {
		t.Errorf("it is %+v, %v", s, err)
	}
	w.addPort(c, "a")
	w.wantPortShown(c, "a", "up")
	_, err = c.AddSegment(t.Context(), api.SegmentSpec{Name: "other"})
	w.wantError(err, api.Unsupported, "/dev/net/tun")
}
