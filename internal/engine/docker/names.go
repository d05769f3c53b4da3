package docker

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"vswitch/api"
)

// Names brings the names that a Docker engine has for networks and containers to
// their segments and ports, and networks' labels, which the driver protocol does not
// tell. It also removes ports that have lost their container and that the engine no
// longer knows, as after a crash of dockerd. Without an engine everything works, but
// under names made of ids.
type Names struct {
	engine  *engine
	backend api.Backend
	log     *slog.Logger
}

// NewNames asks the engine on a unix socket.
func NewNames(socket string, backend api.Backend, log *slog.Logger) *Names {
	return &Names{engine: newEngine(socket), backend: api.Checked(backend), log: log}
}

// gather is how long changes are gathered before names are looked up.
const gather = 200 * time.Millisecond

// Run follows the engine until ctx ends, and returns nil then. An engine that does
// not answer is asked again, ever less often.
func (n *Names) Run(ctx context.Context) error {
	defer n.engine.close()
	wait := &backoff.ExponentialBackOff{InitialInterval: 500 * time.Millisecond, Multiplier: 2, MaxInterval: 15 * time.Second}
	for ctx.Err() == nil {
		err := n.follow(ctx, wait.Reset)
		n.log.Debug("names are not learnt from Docker for now", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait.NextBackOff()):
		}
	}
	return nil
}

// follow learns names with each change, until the engine or ctx ends.
func (n *Names) follow(ctx context.Context, connected func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- n.engine.events(ctx, func() {
			select {
			case changes <- struct{}{}:
			default: // one is waiting already
			}
		})
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-changes:
			connected()
		}
		select {
		case <-ctx.Done():
		case <-time.After(gather):
		}
		if err := n.learn(ctx); err != nil {
			cancel()
			<-ended //nolint:errcheck // it tells that it was cancelled
			return err
		}
	}
}

// learn looks up all names once.
func (n *Names) learn(ctx context.Context) error {
	segments, err := n.backend.Segments(ctx)
	if err != nil {
		return err
	}
	networks, err := n.engine.networks(ctx)
	if err != nil {
		return err
	}
	for _, network := range networks {
		i := slices.IndexFunc(segments, func(s api.Segment) bool { return s.ID == network.ID })
		if i < 0 {
			continue
		}
		n.nameSegment(ctx, segments[i], network)
		if err := n.namePorts(ctx, network); err != nil {
			return err
		}
	}
	return nil
}

// nameSegment gives a segment the network's name, unless -o vswitch.name has given
// it one, and the network's labels.
func (n *Names) nameSegment(ctx context.Context, s api.Segment, network network) {
	name := validName(network.Name)
	if s.Name != name && s.Labels[optionName] == "" {
		_, err := n.backend.UpdateSegment(ctx, s.ID, api.SegmentUpdate{Name: &name})
		n.note("segment keeps its name", s.Name, name, err)
	}
	for key, value := range network.Labels {
		if s.Labels[key] == value || slices.Contains(knownOptions, key) {
			continue
		}
		// One at a time: a label that a segment cannot have must not keep the others away.
		_, err := n.backend.UpdateSegment(ctx, s.ID, api.SegmentUpdate{Labels: map[string]*string{key: &value}})
		n.note("segment goes without a label", s.Name, key, err)
	}
}

// namePorts gives the network's ports their containers' names.
func (n *Names) namePorts(ctx context.Context, of network) error {
	ports, err := n.backend.Ports(ctx, of.ID)
	if api.KindOf(err) == api.NotFound || len(ports) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	told, err := n.engine.network(ctx, of.ID)
	if err != nil {
		return err
	}
	names := make(map[string]string, len(told.Containers))
	for _, container := range told.Containers {
		names[container.EndpointID] = container.Name
	}
	for _, p := range ports {
		if p.Device == "" {
			continue // not one of Docker's
		}
		if container, known := names[p.ID]; known {
			n.namePort(ctx, p, container, of.Name)
		} else if p.State == api.PortLost {
			_, err := n.backend.DeletePort(ctx, p.ID)
			n.note("lost port stays", p.Name, "", err)
		}
	}
	return nil
}

// namePort gives a port its container's name or, where another port has that, as on
// a container's second network, the name with the network's.
func (n *Names) namePort(ctx context.Context, p api.Port, container, network string) {
	plain, full := validName(container), validName(container+"."+network)
	if p.Name == plain || p.Name == full {
		return
	}
	_, err := n.backend.UpdatePort(ctx, p.ID, api.PortUpdate{Name: &plain})
	if api.KindOf(err) == api.Conflict {
		_, err = n.backend.UpdatePort(ctx, p.ID, api.PortUpdate{Name: &full})
	}
	n.note("port keeps its name", p.Name, plain, err)
}

// note tells of a name that could not be given; it may work another time.
func (n *Names) note(what, of, wanted string, err error) {
	if err != nil && api.KindOf(err) != api.NotFound {
		n.log.Debug(what, "name", of, "wanted", wanted, "error", err)
	}
}
