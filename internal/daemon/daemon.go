package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"vswitch/api"
	"vswitch/internal/control"
	"vswitch/internal/store"
)

// stopTimeout bounds how long requests under way may take at the end.
const stopTimeout = 500 * time.Millisecond

// Run serves until ctx ends or the daemon is replaced, and returns nil then. Ports stay
// as they are in their namespaces for the next start, unless ctx has ended and the
// configuration has them removed then. ready is called once requests are answered.
func Run(ctx context.Context, c Config, ready func(*control.Control)) error {
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
	state, err := store.Open(c.StateDir, store.Options{OnAnew: func(path string) {
		c.Log.Warn("state file written anew: it was removed or moved away", "file", path)
	}})
	if err != nil {
		return err
	}
	backend, err := control.New(c.Config, state)
	if err != nil {
		return err
	}
	removePorts := false
	defer func() { backend.Close(removePorts) }()
	tasks, running := errgroup.WithContext(ctx)
	d := &daemon{config: c, log: backend.Log(), backend: backend, tasks: tasks}
	d.serve(running, metrics)
	ready(backend) // before the log says so, for readers act on it
	c.Log.Info("ready", "version", c.Version, "socket", c.Socket, "workers", c.Workers)
	backend.Settle()
	err = tasks.Wait()
	c.Log.Info("stopping")
	removePorts = c.StopRemovesPorts && ctx.Err() != nil
	if errors.Is(err, errReplaced) {
		err = nil
	}
	return err
}

// daemon is what runs.
type daemon struct {
	config  Config
	log     *slog.Logger
	backend *control.Control
	tasks   *errgroup.Group
}

// errReplaced ends a daemon whose place the next process wants.
var errReplaced = errors.New("replaced")

// awaitSuccessor ends the daemon when it is replaced.
func (d *daemon) awaitSuccessor(ctx context.Context) error {
	select {
	case <-d.config.Replaced:
		return errReplaced
	case <-ctx.Done():
		return nil
	}
}

// serve starts what runs until ctx ends.
func (d *daemon) serve(ctx context.Context, metrics net.Listener) {
	server := api.NewServer(d.backend, d.log)
	d.backend.StopsWith(server.Stopping())
	d.startTask(ctx, "API", func(context.Context) error {
		listener, err := Relisten(d.config.Listener)
		if err != nil {
			return err
		}
		return server.Serve(listener)
	})
	d.tasks.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			d.log.Warn("requests cut off", "error", err)
		}
		return nil
	})
	if metrics != nil {
		d.serveMetrics(ctx, metrics, server)
	}
	for _, beside := range d.config.Beside {
		d.startTask(ctx, "beside the daemon", func(ctx context.Context) error {
			return beside(ctx, d.backend)
		})
	}
	for _, t := range d.backend.Tasks() {
		d.startTask(ctx, t.Name, t.Run)
	}
	d.tasks.Go(func() error { return d.awaitSuccessor(ctx) })
}

// startTask runs a [task] beside the others.
func (d *daemon) startTask(ctx context.Context, name string, run func(context.Context) error) {
	d.tasks.Go(func() error {
		task{name, run}.keep(ctx, d.log)
		return nil
	})
}
