package control

import (
	"cmp"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/store"
	vswitch "vswitch/switch"
)

// core is what the nouns share: the lock under which one change is made at a time, the store, the
// switch, and what there is of segments, ports and pools.
type core struct {
	config   Config
	log      *slog.Logger
	lines    *lines // of log
	store    store.Store
	kernel   kernel.Kernel
	sw       *vswitch.Switch
	kept     *keptDevices
	counters *keptCounters
	way      func() view.Way // that containers have from the host on
	// consumers are what follows from a snapshot. They are told of changes in no other way.
	consumers []consumer

	snapshot atomic.Pointer[view.Snapshot]

	// preparing is held for reading from the plan of a change to its end, where the change does
	// its slow work without mu, and for writing by what ends the process. It is taken before mu.
	preparing sync.RWMutex

	mu          sync.Mutex // guards all below
	allSegments map[string]*segment
	allPorts    map[string]*port
	allPools    map[string]*pool
	places      map[*vswitch.Port]*port // ports by their places in the switch
	pending     map[string]*port        // that are planned and not committed yet, by their ids
	closed      bool

	unstored map[*port]struct{} // those whose records are to be stored soon
	storing  *time.Timer        // runs while there are any
	stored   time.Time          // when that was last done

	published    time.Time     // when the snapshot was made
	publishPause time.Duration // for how long it is valid at least, while events come
	publishing   *time.Timer   // runs when it is out of date
	afterwards   []func()      // are called once the lock is given back
}

// consumer makes something outside of the control plane what a snapshot wants it to be.
type consumer interface{ follow(now *view.Snapshot) }

func newCore(config Config, state store.Store) *core {
	if config.Kernel == nil {
		config.Kernel = kernel.System{}
	}
	if config.Rand == nil {
		config.Rand = rand.Reader
	}
	lines := newLines(config.Log.Handler())
	return &core{
		config: config, log: slog.New(lines), lines: lines, store: state, kernel: config.Kernel,
		kept:        newKeptDevices(config.Keeper, config.Kept),
		allSegments: make(map[string]*segment), allPorts: make(map[string]*port),
		allPools: make(map[string]*pool), pending: make(map[string]*port),
		places: make(map[*vswitch.Port]*port),
	}
}

func (c *core) checkPortName(name string) error {
	_, taken := c.store.State().PortNamed(name)
	for _, p := range c.pending {
		taken = taken || p.record.Name == name
	}
	if taken {
		return api.Conflictf("port %q already exists: choose another name", name)
	}
	return nil
}

func (c *core) findSegment(ref string) (*segment, error) {
	return resolve(c.allSegments, cmp.Or(ref, api.DefaultSegment), "segment", "list-segments")
}

func (c *core) findPort(ref string) (*port, error) {
	return resolve(c.allPorts, ref, "port", "list-ports")
}

// findPortOn finds a port of s.
func (c *core) findPortOn(s *segment, ref string) (*port, error) {
	p, err := c.findPort(ref)
	if err == nil && p.segment != s {
		return nil, api.Invalidf("port %q is on segment %q, not on %q: name a port of that segment",
			p.record.Name, p.segment.record.Name, s.record.Name)
	}
	return p, err
}

func (c *core) portsOf(s *segment) []*port {
	var list []*port
	for id := range c.store.State().PortIDsOf(s.record.ID) {
		if p := c.allPorts[id]; p != nil { // not while it is being added
			list = append(list, p)
		}
	}
	return list
}

// portAt returns the port that has that place in the switch; nil: none.
func (c *core) portAt(sw *vswitch.Port) *port {
	if p := c.places[sw]; p != nil && c.allPorts[p.record.ID] == p {
		return p
	}
	return nil
}

// segmentOver is the segment over a pool, or nil.
func (c *core) segmentOver(p *pool) *segment {
	for _, s := range c.allSegments {
		if s.pool == p {
			return s
		}
	}
	return nil
}

func (c *core) portIDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.allPorts))
	for id := range c.allPorts {
		ids = append(ids, id)
	}
	return ids
}

// storeAllPorts stores the records of all ports; the store writes those that have changed.
func (c *core) storeAllPorts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.storePorts("store", slices.Collect(maps.Values(c.allPorts)))
	}
}

// storePorts stores the records of ports in one transaction. Those that fail are logged.
func (c *core) storePorts(what string, ports []*port) {
	changes := make([]model.Change, len(ports))
	for i, p := range ports {
		changes[i] = model.PutPort(p.record)
	}
	err := c.store.Apply(changes...)
	if err == nil {
		return
	}
	if len(ports) == 1 {
		c.logFailure(what+" port "+ports[0].record.Name, err)
		return
	}
	// One of which a container has made what the store refuses must not keep the others.
	for _, p := range ports {
		c.storePorts(what, []*port{p})
	}
}

// logNotKept tells of a descriptor that was not kept, which costs the next process time and
// its device the frames of it.
func (c *core) logNotKept(device string, err error) {
	if err != nil {
		c.log.Warn("descriptor not kept for the next process, which will open the device anew",
			"interface", device, "error", err)
	}
}

// pendingOf returns how many ports are being added to s.
func (c *core) pendingOf(s *segment) (n int) {
	for _, p := range c.pending {
		if p.segment == s {
			n++
		}
	}
	return n
}

// logFailure notes that taking something back did not work: nothing can be done
// about it any more.
func (c *core) logFailure(what string, err error) {
	if err != nil && !errors.Is(err, vswitch.ErrClosed) {
		c.log.Error("cannot "+what, "error", err)
	}
}
