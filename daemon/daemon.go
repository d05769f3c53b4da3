package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vswitch/api"
	"vswitch/gateway"
	"vswitch/ipam"
	"vswitch/store"
	vswitch "vswitch/switch"
)

// Daemon is a running switch with its control side. It implements [api.Backend].
type Daemon struct {
	config Config
	log    *slog.Logger
	sw     *vswitch.Switch
	ipam   *ipam.Allocator
	pools  *gateway.Prefixes // subnets of all segments
	store  store.Store

	mu       sync.Mutex // one change at a time; guards all below
	segments map[string]*segment
	ports    map[string]*port
}

// New starts the switch and makes the default segment. The caller must call
// Close, which Run does.
func New(c Config) (*Daemon, error) {
	pools, err := ipam.New(c.Pools)
	if err != nil {
		return nil, err
	}
	d := &Daemon{
		config: c, log: c.Log, ipam: pools, pools: new(gateway.Prefixes), store: store.Discard{},
		segments: make(map[string]*segment), ports: make(map[string]*port),
	}
	// A worker that spins holds its processor: the control side needs one too.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), c.Workers+1))
	d.sw, err = vswitch.New(vswitch.Options{
		NewPoller: func() (vswitch.Poller, error) { return newPoller(c.Log) }, Workers: c.Workers, Poll: c.Poll, Spin: c.Spin,
		Ageing: c.Ageing, Capacity: c.FDBSize, OnGone: d.deviceGone,
	})
	if err != nil {
		return nil, err
	}
	if _, err := d.AddSegment(context.Background(), api.SegmentSpec{Name: api.DefaultSegment}); err != nil {
		d.Close()
		return nil, fmt.Errorf("make the default segment: %w", err)
	}
	return d, nil
}

// stopTimeout bounds how long requests under way may take at the end.
const stopTimeout = 500 * time.Millisecond

// Run serves until ctx ends, then removes the ports' links and returns nil. ready
// is called once requests are answered.
func Run(ctx context.Context, c Config, ready func()) error {
	// The socket first: whoever has it is the one daemon.
	listener, err := api.Listen(c.Socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	metrics, err := listenMetrics(c.MetricsListen)
	if err != nil {
		return err
	}
	if metrics != nil {
		defer metrics.Close()
	}
	d, err := New(c)
	if err != nil {
		return err
	}
	defer d.Close()
	tasks, ctx := errgroup.WithContext(ctx)
	server := api.NewServer(d, c.Log)
	tasks.Go(func() error { return server.Serve(listener) })
	tasks.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			c.Log.Warn("requests cut off", "error", err)
		}
		return nil
	})
	if metrics != nil {
		d.serveMetrics(ctx, tasks, metrics)
	}
	c.Log.Info("ready", "version", c.Version, "socket", c.Socket, "workers", c.Workers)
	ready()
	err = tasks.Wait()
	c.Log.Info("stopping")
	return err
}

// Close removes all ports and stops the switch. Links go with their devices.
func (d *Daemon) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sw.Close()
	var closing sync.WaitGroup
	for _, p := range d.ports {
		closing.Go(func() { p.closeDevice(d.log) })
	}
	closing.Wait()
	clear(d.ports)
	if err := d.store.Close(); err != nil {
		d.log.Error("close the store", "error", err)
	}
}

// Version implements [api.Backend].
func (d *Daemon) Version(context.Context) (api.Version, error) {
	return api.BuildVersion(d.config.Version), nil
}
