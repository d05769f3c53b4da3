package control

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/gateway"
	"vswitch/internal/gateway/dns"
	"vswitch/internal/host"
	"vswitch/internal/ipam"
	"vswitch/internal/netns"
	"vswitch/internal/reactor"
	"vswitch/internal/store"
	vswitch "vswitch/switch"
)

// Control is a running switch with what controls it. It implements [api.Backend].
type Control struct {
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
	removes   bool            // Close is to remove what there is for containers and segments

	view.Reader // of the snapshot

	snapshot atomic.Pointer[view.Snapshot]

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
// segment alone. The store belongs to the Control, also when New fails. The caller
// must call Close.
func New(c Config, state store.Store) (*Control, error) {
	lines := newLines(c.Log.Handler())
	d := &Control{
		config: c, log: slog.New(lines), lines: lines, pools: new(gateway.Prefixes), store: state,
		forwarder: dns.NewForwarder(dns.NewHostServers(c.ResolvConf).List),
		kept:      newKeptDevices(c.Keeper, c.Kept),
		segments:  make(map[string]*segment), ports: make(map[string]*port), byLink: make(map[linkKey]*port),
		leasePools: make(map[string]*pool),
	}
	d.Reader = view.Reader{Current: d.current, Switch: func() *vswitch.Switch { return d.sw }}
	d.announcer.send = d.sendAnnouncement
	if err := d.start(); err != nil {
		d.Close(false)
		return nil, err
	}
	return d, nil
}

func (d *Control) start() (err error) {
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
func (d *Control) newReactor() (vswitch.Poller, error) {
	r, err := reactor.New(reactor.Options{Batch: vswitch.BatchFrames, OnFallback: func(why error) {
		d.log.Warn("no io_uring: each frame takes system calls of its own, which is slower", "error", why)
	}})
	if err != nil {
		return nil, err
	}
	d.reactors = append(d.reactors, r)
	return r, nil
}

// Healthy returns nil once every worker has shown that it lives, be it by carrying frames,
// unless ctx ends before.
func (d *Control) Healthy(ctx context.Context) error {
	if err := d.sw.Alive(ctx); err != nil {
		return fmt.Errorf("a worker does nothing: %w", err)
	}
	return nil
}

// Task is long-lived work without which frames are forwarded all the same.
type Task struct {
	Name string
	// Run returns nil when ctx has ended, or when nothing is left to do. It may be called again
	// after an error, and then makes up for what it has missed.
	Run func(ctx context.Context) error
}

// Tasks returns the work that has the Control follow what becomes of links, namespaces and rules.
func (d *Control) Tasks() []Task {
	var tasks []Task
	if d.links != nil {
		tasks = append(tasks, Task{"watch the containers' interfaces", func(ctx context.Context) error {
			return d.links.Run(ctx, d.linkChanged)
		}})
	}
	if d.hosts != nil {
		tasks = append(tasks, Task{"watch the host links", func(ctx context.Context) error {
			return d.hosts.Run(ctx, d.hostChanged)
		}})
	}
	tasks = append(tasks, Task{"watch the mounts", func(ctx context.Context) error {
		return netns.WatchMounts(ctx, d.mountsChanged)
	}})
	if d.table != nil {
		tasks = append(tasks, Task{"watch the nftables ruleset", d.table.Run})
	}
	return tasks
}

// Close stops the switch. The links stay, unless removePorts says that the ports are to be
// removed.
func (d *Control) Close(removePorts bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.removes = removePorts
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
func (d *Control) storeEnds() error {
	var changes []model.Change
	for _, s := range d.segments {
		ports := d.portsOf(s)
		changes = append(changes, ends(s, s.rulesWithout(ports...), ports...)...)
	}
	return d.store.Apply(changes...)
}

// removeLinks removes the ports, whose end is stored, with their links, all at once: the
// kernel takes its time over each.
func (d *Control) removeLinks() {
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
func (d *Control) Version(context.Context) (api.Version, error) {
	v := api.BuildVersion(d.config.Version)
	v.PID = os.Getpid()
	return v, nil
}
