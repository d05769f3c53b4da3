package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vswitch/api"
	"vswitch/internal/control"
	"vswitch/internal/control/model"
	"vswitch/internal/gateway"
	"vswitch/internal/gateway/dns"
	"vswitch/internal/host"
	"vswitch/internal/ipam"
	"vswitch/internal/netns"
	"vswitch/internal/reactor"
	"vswitch/internal/store"
	vswitch "vswitch/switch"
)

// Daemon is a running switch with its control side. It implements [api.Backend].
type Daemon struct {
	config    Config
	log       *slog.Logger
	lines     *lines // of log
	sw        *vswitch.Switch
	ipam      *ipam.Allocator
	pools     *gateway.Prefixes // subnets of all segments
	store     store.Store
	reactors  []*reactor.Reactor // of the workers, in their order
	links     *netns.Watcher
	hosts     *netns.Watcher // of the daemon's own namespace
	table     *host.Table    // nil: the kernel has nothing of the kind
	forwarder *dns.Forwarder // to the host's resolvers
	kept      *keptDevices
	counters  *keptCounters
	announcer announcer
	stopping  <-chan struct{} // closed once the server takes no more requests
	removes   bool            // set by Run: Close is to remove what there is for containers and segments

	control.Reader // of the snapshot

	snapshot atomic.Pointer[control.Snapshot]

	mu       sync.Mutex // one change at a time; guards all below
	segments map[string]*segment
	ports    map[string]*port
	byLink   map[linkKey]*port // ports whose links are watched
	closed   bool

	published    time.Time     // when the snapshot was made
	publishPause time.Duration // for how long it is valid at least, while events come
	publishing   *time.Timer   // runs when it is out of date

	natProblem string      // why containers reach the host and no farther
	natRetry   *time.Timer // runs while what the kernel is to do is not done

	republishing *time.Timer // runs while published ports are to be tried again

	leasePools map[string]*pool // also guarded by mu

	neighboursWarned bool // the kernel's neighbour table is too small, and the log has said so

	closing sync.WaitGroup // devices whose ports are gone
}

// New starts the switch with what the store holds, or else with the default
// segment alone. The store belongs to the daemon, also when New fails. The caller
// must call Close, which Run does.
func New(c Config, state store.Store) (*Daemon, error) {
	lines := newLines(c.Log.Handler())
	d := &Daemon{
		config: c, log: slog.New(lines), lines: lines, pools: new(gateway.Prefixes), store: state,
		forwarder: dns.NewForwarder(dns.NewHostServers(c.ResolvConf).List),
		kept:      newKeptDevices(c.Keeper, c.Kept),
		segments:  make(map[string]*segment), ports: make(map[string]*port), byLink: make(map[linkKey]*port),
		leasePools: make(map[string]*pool),
	}
	d.Reader = control.Reader{Current: d.current, Switch: func() *vswitch.Switch { return d.sw }}
	d.announcer.send = d.sendAnnouncement
	if err := d.start(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Daemon) start() (err error) {
	c := d.config
	if d.ipam, err = ipam.New(c.Pools); err != nil {
		return err
	}
	if d.links, err = netns.NewWatcher(); err != nil {
		c.Log.Warn("changes to interfaces made in the containers will go unnoticed", "error", err)
	}
	if d.hosts, err = netns.NewHostWatcher(); err != nil {
		c.Log.Warn("changes to host links will go unnoticed", "error", err)
	}
	d.counters = openCounters(c)
	// A worker that spins holds its processor: the control side needs one too.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), c.Workers+1))
	d.sw, err = vswitch.New(vswitch.Options{
		NewPoller: d.newReactor, Workers: c.Workers, Poll: c.Poll, Spin: c.Spin,
		Held: true, Ageing: c.Ageing, Capacity: c.FDBSize, OnGone: d.deviceGone,
		OnLoop: d.loopFound, OnViolation: d.violated,
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	err = d.restore()
	d.sw.Release()
	if err == nil {
		d.openNAT()
		_ = d.applyNAT() // which tells what is wrong
	}
	d.unlock()
	if err != nil {
		return err
	}
	if _, err := d.findSegment(api.DefaultSegment); err == nil {
		return nil
	}
	if _, err := d.AddSegment(context.Background(), api.SegmentSpec{Name: api.DefaultSegment}); err != nil {
		return fmt.Errorf("make the default segment: %w", err)
	}
	return nil
}

// newReactor makes the next worker's.
func (d *Daemon) newReactor() (vswitch.Poller, error) {
	r, err := reactor.New(reactor.Options{Batch: vswitch.BatchFrames, OnFallback: func(why error) {
		d.log.Warn("no io_uring: each frame takes system calls of its own, which is slower", "error", why)
	}})
	if err != nil {
		return nil, err
	}
	d.reactors = append(d.reactors, r)
	return r, nil
}

// stopTimeout bounds how long requests under way may take at the end.
const stopTimeout = 500 * time.Millisecond

// Run serves until ctx ends or the daemon is replaced, and returns nil then. Ports stay
// as they are in their namespaces for the next start, unless ctx has ended and the
// configuration has them removed then. ready is called once requests are answered.
func Run(ctx context.Context, c Config, ready func(*Daemon)) error {
	// The socket first: whoever has it is the one daemon.
	if c.Listener == nil {
		listener, err := api.Listen(c.Socket)
		if err != nil {
			return err
		}
		c.Listener = listener
	}
	defer c.Listener.Close()
	metrics, err := listenMetrics(c.MetricsListen)
	if err != nil {
		return err
	}
	if metrics != nil {
		defer metrics.Close()
	}
	state, err := store.Open(c.StateDir, store.Options{})
	if err != nil {
		return err
	}
	d, err := New(c, state)
	if err != nil {
		return err
	}
	defer d.Close()
	tasks, running := errgroup.WithContext(ctx)
	d.serve(running, tasks, metrics)
	ready(d) // before the log says so, for readers act on it
	c.Log.Info("ready", "version", c.Version, "socket", c.Socket, "workers", c.Workers)
	d.settle()
	err = tasks.Wait()
	c.Log.Info("stopping")
	d.removes = c.StopRemovesPorts && ctx.Err() != nil
	if errors.Is(err, errReplaced) {
		err = nil
	}
	return err
}

// errReplaced ends a daemon whose place the next process wants.
var errReplaced = errors.New("replaced")

// awaitSuccessor ends the daemon when it is replaced.
func (d *Daemon) awaitSuccessor(ctx context.Context) error {
	select {
	case <-d.config.Replaced:
		return errReplaced
	case <-ctx.Done():
		return nil
	}
}

// serve starts what runs until ctx ends.
func (d *Daemon) serve(ctx context.Context, tasks *errgroup.Group, metrics net.Listener) {
	server := api.NewServer(d, d.log)
	d.stopping = server.Stopping()
	d.startTask(ctx, tasks, "API", func(context.Context) error {
		listener, err := Relisten(d.config.Listener)
		if err != nil {
			return err
		}
		return server.Serve(listener)
	})
	tasks.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			d.log.Warn("requests cut off", "error", err)
		}
		return nil
	})
	if metrics != nil {
		d.serveMetrics(ctx, tasks, metrics, server)
	}
	for _, beside := range d.config.Beside {
		d.startTask(ctx, tasks, "beside the daemon", func(ctx context.Context) error {
			return beside(ctx, d)
		})
	}
	d.watchers(ctx, tasks)
	if d.table != nil {
		d.startTask(ctx, tasks, "watch the nftables ruleset", d.table.Run)
	}
	tasks.Go(func() error { return d.awaitSuccessor(ctx) })
}

// startTask runs a [task] beside the others.
func (d *Daemon) startTask(
	ctx context.Context, tasks *errgroup.Group, name string, run func(context.Context) error,
) {
	tasks.Go(func() error {
		task{name, run}.keep(ctx, d.log)
		return nil
	})
}

// Healthy returns nil once every worker has shown that it lives, be it by carrying frames,
// unless ctx ends before.
func (d *Daemon) Healthy(ctx context.Context) error {
	if err := d.sw.Alive(ctx); err != nil {
		return fmt.Errorf("a worker does nothing: %w", err)
	}
	return nil
}

// Close stops the switch. The links stay, unless [Run] was told to stop and the
// configuration has them removed then.
func (d *Daemon) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.publishSnapshot()
	d.closed = true
	d.announcer.stop()
	for _, s := range d.segments {
		s.services.close()
	}
	if d.sw != nil {
		d.sw.Close()
	}
	if d.removes {
		if err := d.storeEnds(); err != nil {
			d.log.Error("cannot remove the ports, which stay as they are", "error", err)
			d.removes = false
		} else {
			d.removeLinks()
		}
	}
	for _, p := range d.ports {
		if p.expiry != nil {
			p.expiry.Stop()
		}
		for _, q := range p.published {
			q.close()
		}
		p.link.stop()
		if !p.lost() {
			_ = p.device.Close()
		}
	}
	if d.republishing != nil {
		d.republishing.Stop()
	}
	d.closing.Wait()
	clear(d.ports)
	for _, s := range d.segments {
		if s.host != nil {
			s.host.close()
		}
	}
	d.closeNAT()
	if d.links != nil {
		_ = d.links.Close()
	}
	if d.hosts != nil {
		_ = d.hosts.Close()
	}
	if d.counters != nil {
		d.logFailure("close the counters", d.counters.close())
	}
	if err := d.store.Close(); err != nil {
		d.log.Error("close the store", "error", err)
	}
}

// storeEnds stores the end of all ports.
func (d *Daemon) storeEnds() error {
	var changes []model.Change
	for _, s := range d.segments {
		ports := d.portsOf(s)
		changes = append(changes, ends(s, s.rulesWithout(ports...), ports...)...)
	}
	return d.store.Apply(changes...)
}

// removeLinks removes the ports, whose end is stored, with their links, all at once: the
// kernel takes its time over each.
func (d *Daemon) removeLinks() {
	for _, p := range d.ports {
		d.removeResolvConf(p)
		if !p.lost() {
			_ = p.device.SetPersist(false) // fails when the link is gone
		}
		d.logFailure("drop a kept descriptor", d.kept.drop(keptPort, p.record.ID))
	}
	for _, s := range d.segments {
		if s.host != nil {
			d.logFailure("drop a kept descriptor", d.kept.drop(keptHostLink, s.record.ID))
		}
	}
	d.logFailure("drop kept descriptors", d.kept.sync())
	var closing sync.WaitGroup
	for _, s := range d.segments {
		if s.host != nil && s.host.device != nil {
			_ = s.host.device.SetPersist(false) // fails when the link is gone; Close ends it
		}
	}
	for _, p := range d.ports {
		if !p.lost() {
			closing.Go(func() { d.closeDevice(p, p.device) })
		}
	}
	closing.Wait()
}

// Version implements [api.Backend].
func (d *Daemon) Version(context.Context) (api.Version, error) {
	v := api.BuildVersion(d.config.Version)
	v.PID = os.Getpid()
	return v, nil
}
