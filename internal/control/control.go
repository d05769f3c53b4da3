package control

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/ipam"
	"vswitch/internal/reactor"
	"vswitch/internal/store"
	vswitch "vswitch/switch"
)

// Control is a running switch with what controls it. It implements [api.Backend]: each noun the
// part that is about it.
type Control struct {
	*core
	view.Reader // of the snapshot

	*pools
	*segments
	*ports
	*rules
	*entries
	*publications

	firewall   *firewall
	hostLinks  *hostLinks
	gateways   *gateways
	neighbours *neighbours
	devices    *devices
	links      *links
	restorer   *restorer

	pollers  []vswitch.Poller // of the workers, in their order
	slower   sync.Map         // the engines below what was to be expected that were logged
	stopping <-chan struct{}  // closed once the server takes no more requests
}

var (
	_ api.Backend = (*Control)(nil)
	_ api.Pools   = (*Control)(nil)
)

// New starts the switch with what the store holds, or else with the default
// segment alone. The store belongs to the Control, also when New fails. The caller
// must call Close.
func New(config Config, state store.Store) (*Control, error) {
	c := assemble(newCore(config, state))
	if err := c.start(); err != nil {
		c.Close(false)
		return nil, err
	}
	return c, nil
}

// assemble makes the nouns, each of those before it that it needs.
func assemble(core *core) *Control {
	c := &Control{core: core}
	c.Reader = view.Reader{Current: c.current, Switch: func() *vswitch.Switch { return c.sw }}
	c.pools = &pools{core: core}
	c.rules = &rules{core: core}
	c.entries = &entries{core: core}
	c.firewall = newFirewall(core)
	core.way = c.firewall.way
	c.gateways = newGateways(core)
	c.neighbours = newNeighbours(core)
	core.consumers = []consumer{c.firewall, c.neighbours, c.gateways}
	c.publications = newPublications(core, c.firewall)
	c.hostLinks = &hostLinks{core: core}
	c.links = &links{core: core, neighbours: c.neighbours, byLink: make(map[linkKey]*port)}
	c.devices = &devices{core: core, rules: c.rules, links: c.links}
	c.ports = &ports{
		core: core, pools: c.pools, rules: c.rules, publications: c.publications,
		neighbours: c.neighbours, devices: c.devices, links: c.links, hostLinks: c.hostLinks,
		retries: newRetries(),
	}
	c.links.ports = c.ports
	c.segments = &segments{
		core: core, pools: c.pools, rules: c.rules, hostLinks: c.hostLinks,
		gateways: c.gateways, ports: c.ports, devices: c.devices,
	}
	c.restorer = &restorer{
		core: core, pools: c.pools, entries: c.entries, segments: c.segments, ports: c.ports,
		publications: c.publications, neighbours: c.neighbours,
		devices: c.devices, links: c.links, hostLinks: c.hostLinks,
	}
	c.ports.restorer = c.restorer
	return c
}

func (c *Control) start() (err error) {
	config := c.config
	if c.ipam, err = ipam.New(config.Pools); err != nil {
		return err
	}
	if c.links.watcher, err = c.kernel.WatchLinks(); err != nil {
		c.log.Warn("changes to interfaces made in the containers will go unnoticed", "error", err)
	}
	if c.hostLinks.watcher, err = c.kernel.WatchHostLinks(); err != nil {
		c.log.Warn("changes to host links will go unnoticed", "error", err)
	}
	c.counters = openCounters(config)
	// A worker that spins holds its processor: the control side needs one too.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), config.Workers+1))
	c.sw, err = vswitch.New(vswitch.Options{
		NewPoller: c.newPoller, Workers: config.Workers, Poll: config.Poll, Spin: config.Spin,
		Held: true, Ageing: config.Ageing, Capacity: config.FDBSize, OnGone: c.deviceGone,
		OnLoop: c.loopFound, OnViolation: c.violated,
	})
	if err != nil {
		return err
	}
	if err := c.restore(); err != nil {
		return err
	}
	if _, err := c.findSegment(api.DefaultSegment); err == nil {
		return nil
	}
	_, err = c.AddSegment(context.Background(), api.SegmentSpec{Name: api.DefaultSegment})
	if err != nil {
		return fmt.Errorf("make the default segment: %w", err)
	}
	return nil
}

// restore has the switch carry the frames of what was kept and stored, and the firewall do its part.
func (c *Control) restore() error {
	c.mu.Lock()
	defer c.unlock()
	err := c.restorer.restore()
	c.publishSnapshot()
	c.sw.Release()
	if err != nil {
		return err
	}
	c.firewall.open()
	return nil
}

// newPoller makes the next worker's.
func (c *Control) newPoller() (vswitch.Poller, error) {
	p, err := c.kernel.NewPoller(c.config.Engine, c.fellBack)
	if err == nil {
		c.pollers = append(c.pollers, p)
	}
	return p, err
}

// fellBack logs, for the first worker of those that it happens to, that its engine is a slower one.
func (c *Control) fellBack(s reactor.State) {
	if _, said := c.slower.LoadOrStore(s.Engine, true); said {
		return
	}
	what := "no registered buffers: the kernel maps each frame's anew, which is slower"
	if s.Engine == reactor.Plain {
		what = "no io_uring: each frame takes system calls of its own, which is slower"
	}
	c.log.Warn(what, "io", s.Engine, "error", s.Why)
}

// Healthy returns nil once every worker has shown that it lives, be it by carrying frames,
// unless ctx ends before.
func (c *Control) Healthy(ctx context.Context) error {
	if err := c.sw.Alive(ctx); err != nil {
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
func (c *Control) Tasks() []Task {
	var tasks []Task
	if c.links.watcher != nil {
		tasks = append(tasks, Task{"watch the containers' interfaces", func(ctx context.Context) error {
			return c.links.watcher.Run(ctx, c.links.linkChanged)
		}})
	}
	if c.hostLinks.watcher != nil {
		tasks = append(tasks, Task{"watch the host links", func(ctx context.Context) error {
			return c.hostLinks.watcher.Run(ctx, c.hostLinks.hostChanged)
		}})
	}
	tasks = append(tasks, Task{"watch the mounts", func(ctx context.Context) error {
		return c.kernel.WatchMounts(ctx, c.mountsChanged)
	}})
	if c.config.NAT {
		tasks = append(tasks, Task{"watch the nftables ruleset", c.firewall.run})
	}
	return tasks
}

// Close stops the switch. The links stay, unless removePorts says that the ports are to be
// removed.
func (c *Control) Close(removePorts bool) {
	c.preparing.Lock()
	defer c.preparing.Unlock()
	c.mu.Lock()
	defer c.release()
	c.publishSnapshot()
	c.storeDue()
	c.closed = true
	c.neighbours.announcer.stop()
	for _, s := range c.allSegments {
		s.services.close()
	}
	if c.sw != nil {
		c.sw.Close()
	}
	if removePorts {
		if err := c.storeEnds(); err != nil {
			c.log.Error("cannot remove the ports, which stay as they are", "error", err)
			removePorts = false
		} else {
			c.removeLinks()
		}
	}
	for _, p := range c.allPorts {
		p.close()
	}
	if c.republishing != nil {
		c.republishing.Stop()
	}
	if c.retries.timer != nil {
		c.retries.timer.Stop()
	}
	c.devices.closing.Wait()
	clear(c.allPorts)
	for _, s := range c.allSegments {
		if s.host != nil {
			s.host.close()
		}
	}
	c.firewall.close(removePorts)
	if c.links.watcher != nil {
		_ = c.links.watcher.Close()
	}
	if c.hostLinks.watcher != nil {
		_ = c.hostLinks.watcher.Close()
	}
	if c.counters != nil {
		c.logFailure("close the counters", c.counters.close())
	}
	if err := c.store.Close(); err != nil {
		c.log.Error("close the store", "error", err)
	}
}

// storeEnds stores the end of all ports.
func (c *Control) storeEnds() error {
	var changes []model.Change
	for _, s := range c.allSegments {
		ports := c.portsOf(s)
		changes = append(changes, ends(s, s.rulesWithout(ports...), ports...)...)
	}
	return c.store.Apply(changes...)
}

// removeLinks removes the links of ports, whose end is stored, and of segments.
func (c *Control) removeLinks() {
	for _, s := range c.allSegments {
		if s.host != nil {
			c.logFailure("drop a kept descriptor", c.kept.drop(keptHostLink, s.record.ID))
			if s.host.device != nil {
				_ = s.host.device.SetPersist(false) // fails when the link is gone; Close ends it
			}
		}
	}
	var gone []goneDevice
	for _, p := range c.allPorts {
		c.devices.removeResolvConf(p)
		if p.lost() {
			c.logFailure("drop a kept descriptor", c.kept.drop(keptPort, p.record.ID))
		}
		gone = append(gone, c.devices.takeDevice(p)...)
	}
	c.devices.letGo(gone...)
	c.logFailure("drop kept descriptors", c.kept.sync())
}

// Version implements [api.Backend].
func (c *Control) Version(context.Context) (api.Version, error) {
	v := api.BuildVersion(c.config.Version)
	v.PID = os.Getpid()
	return v, nil
}
