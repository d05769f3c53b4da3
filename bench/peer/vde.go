package peer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"vswitch/bench/load"
	"vswitch/test/lab"
)

// vde is VDE: a user-space switch that each TAP device is connected to by a process
// of its own.
type vde struct{}

// vdePorts keeps the number of processes in bounds.
const vdePorts = 64

func (vde) Name() string { return "vde" }

func (vde) Limits() Limits {
	return Limits{Ports: vdePorts, Segments: 1, Fixed: true, Open: true, Single: true, Unrated: true}
}

func (vde) Available(*Lab) error {
	if err := wantPrograms("vde2", "vde_switch", "vde_plug2tap"); err != nil {
		return err
	}
	return wantTUN()
}

func (vde) Start(ctx context.Context, l *Lab, _ Needs) (Fabric, error) {
	path, err := FindProgram("vde_switch")
	if err != nil {
		return nil, err
	}
	f := &vdeFabric{lab: l, socket: filepath.Join(l.Dir(), "vde")}
	f.daemon, err = l.Start(l.Host(), nil, path,
		"--sock", f.socket, "--numports", fmt.Sprint(vdePorts+1))
	if err != nil {
		return nil, err
	}
	err = Poll(ctx, "vde_switch to listen", func() (bool, error) {
		return exists(filepath.Join(f.socket, "ctl")), f.daemon.Err()
	})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

type vdeFabric struct {
	lab    *Lab
	socket string
	daemon *lab.Process
	plugs  []*lab.Process
}

func (f *vdeFabric) Attach(ctx context.Context, endpoints ...load.Endpoint) error {
	path, err := FindProgram("vde_plug2tap")
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		tapName := fmt.Sprintf("tap%d", len(f.plugs))
		plug, err := f.lab.Start(f.lab.Host(), nil, path, "--sock", f.socket, tapName)
		if err != nil {
			return err
		}
		f.plugs = append(f.plugs, plug)
		err = Poll(ctx, "vde_plug2tap to make its device", func() (bool, error) {
			there, err := linkExists(f.lab.Host(), tapName)
			return there, errors.Join(err, plug.Err())
		})
		if err != nil {
			return err
		}
		if err := adopt(f.lab.Host(), tapName, e); err != nil {
			return fmt.Errorf("move port to %s: %w", e.Namespace, err)
		}
	}
	return nil
}

func (f *vdeFabric) Detach(context.Context, load.Endpoint) error {
	return errors.New("endpoints of vde stay as long as it runs")
}

func (f *vdeFabric) Processes() []int {
	pids := []int{f.daemon.Pid()}
	for _, p := range f.plugs {
		pids = append(pids, p.Pid())
	}
	return pids
}

func (f *vdeFabric) Close() error {
	var err error
	for _, p := range f.plugs {
		err = errors.Join(err, p.Err(), p.Stop())
	}
	return errors.Join(err, f.daemon.Err(), f.daemon.Stop())
}
