package peer

import (
	"context"
	"errors"

	"vswitch/bench/load"
	"vswitch/test/lab"
)

// relayPeer is two TAP devices and a loop that passes frames between them: the
// floor under any user-space switch. It runs in a process of its own.
type relayPeer struct{ poll string }

func (p relayPeer) Name() string { return "relay-" + p.poll }

func (p relayPeer) Limits() Limits {
	return Limits{Ports: 2, Segments: 1, Fixed: true, Open: true, Single: true, Unrated: true}
}

func (p relayPeer) Available(*Lab) error { return wantTUN() }

func (p relayPeer) Start(_ context.Context, l *Lab, _ Needs) (Fabric, error) {
	return &relayFabric{lab: l, poll: p.poll}, nil
}

type relayFabric struct {
	lab       *Lab
	poll      string
	endpoints []load.Endpoint
	process   *lab.Process
}

// Attach starts the relay once both its endpoints are known.
func (f *relayFabric) Attach(ctx context.Context, endpoints ...load.Endpoint) error {
	f.endpoints = append(f.endpoints, endpoints...)
	switch {
	case len(f.endpoints) > 2:
		return errors.New("a relay has two endpoints")
	case len(f.endpoints) < 2:
		return nil
	}
	var err error
	f.process, err = f.lab.StartHelper(ctx, f.lab.Host(), load.HelperRelay, load.RelayTask{
		Host: f.lab.Host(), Poll: f.poll, Endpoints: [2]load.Endpoint(f.endpoints),
	})
	return err
}

func (f *relayFabric) Detach(context.Context, load.Endpoint) error {
	return errors.New("a relay's endpoints stay as long as it runs")
}

func (f *relayFabric) Processes() []int {
	if f.process == nil {
		return nil
	}
	return []int{f.process.Pid()}
}

func (f *relayFabric) Close() error {
	if f.process == nil {
		return nil
	}
	if err := f.process.Err(); err != nil {
		return err
	}
	return f.process.Stop()
}
