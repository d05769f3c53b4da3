package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"vswitch/api"
	"vswitch/internal/control"
	"vswitch/internal/daemon"
	"vswitch/internal/supervise"
)

// What the supervising process and the one that carries frames call the listeners.
const (
	apiListener    = "api"
	dockerListener = "docker"
)

// watchdog is how long the process that carries frames may not answer before it is
// replaced. It is long enough for a machine that was suspended or is overloaded.
const watchdog = 20 * time.Second

// errReported ends the supervising process after the other one has told why.
var errReported = errors.New("reported")

// supervise is what the process does that a user starts: it holds the descriptors,
// and has a child carry the frames.
func (o *options) supervise(c *cobra.Command, config daemon.Config, inherited *supervise.Child) error {
	// The socket first: whoever has it is the one daemon.
	listener, err := api.Listen(config.Socket)
	if err != nil {
		return fmt.Errorf("--socket: %w", err)
	}
	defer listener.Close()
	file, err := fileOf(listener)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := o.restoreState(config); err != nil {
		return err
	}
	files := map[string]*os.File{apiListener: file}
	if o.docker.enabled {
		listener, err := api.Listen(o.docker.socket)
		if err != nil {
			return fmt.Errorf("--docker-socket: %w", err)
		}
		defer listener.Close()
		if files[dockerListener], err = fileOf(listener); err != nil {
			return err
		}
		defer files[dockerListener].Close()
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	upgrade := make(chan struct{})
	go forward(c.Context(), hangups, upgrade)
	err = supervise.Run(c.Context(), supervise.Options{
		Args: o.arguments, Files: files, Stored: inherited.Files, Notify: inherited.Notify,
		Upgrade: upgrade, Log: config.Log, Watchdog: watchdog,
	})
	if exit, ok := errors.AsType[*supervise.ExitError](err); ok && exit.Code > 0 {
		return errReported
	}
	return err
}

// fileOf is a copy of a listener's descriptor, to hand on.
func fileOf(l net.Listener) (*os.File, error) {
	file, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return nil, fmt.Errorf("hand on the socket %s: %w", l.Addr(), err)
	}
	return file, nil
}

// forward passes signals on until ctx ends.
func forward(ctx context.Context, from <-chan os.Signal, to chan<- struct{}) {
	for {
		select {
		case <-from:
		case <-ctx.Done():
			return
		}
		select {
		case to <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// restoreState puts a backup in place, as --restore asks.
func (o *options) restoreState(config daemon.Config) error {
	if o.restore == "" {
		return nil
	}
	if err := daemon.RestoreState(o.restore, config.StateDir); err != nil {
		return fmt.Errorf("--restore %s: %w", o.restore, err)
	}
	config.Log.Info("state restored", "from", o.restore)
	return nil
}

// carry is what the child does: it is the switch.
func (o *options) carry(ctx context.Context, config daemon.Config, child *supervise.Child) error {
	defer child.Close()
	// The one who started us decides when to stop; a terminal's signals are for him.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
	if err := child.Control.AwaitTurn(ctx); err != nil {
		return err
	}
	var err error
	if config.Listener, err = inheritedListener(child.Files, apiListener); err != nil {
		return err
	}
	if o.docker.enabled {
		listener, err := inheritedListener(child.Files, dockerListener)
		if err != nil {
			return err
		}
		defer listener.Close()
		config.Beside = append(config.Beside, o.docker.serve(listener, config.Log))
	}
	config.Keeper, config.Kept = child.Notify, child.Files
	config.Replaced = child.Control.Replaced()
	config.Upgrade = func(ctx context.Context, spec api.UpgradeSpec) error {
		id, _ := strconv.ParseUint(spec.ID, 16, 64) // checked before; 0 of none
		return child.Control.Upgrade(ctx, supervise.UpgradeRequest{
			ID: id, Binary: spec.Binary, Trusted: !api.CallerIsRoot(ctx),
		})
	}
	config.Upgrades = func() ([]api.Upgrade, bool) { return upgrades(child.Control.Upgrades()) }
	return daemon.Run(ctx, config, func(d *control.Control) {
		if err := child.Notify.Ready(""); err != nil {
			config.Log.Error("cannot tell that the switch is ready", "error", err)
		}
		go beat(ctx, config, child.Notify, d)
	})
}

// upgrades are what the supervising process tells, in the API's terms.
func upgrades(all []supervise.Upgrade, told bool) ([]api.Upgrade, bool) {
	list := make([]api.Upgrade, len(all))
	for i, u := range all {
		list[i] = api.Upgrade{
			ID: fmt.Sprintf("%016x", u.ID), Binary: u.Binary, State: string(u.State), Reason: u.Reason,
		}
	}
	return list, told
}

func inheritedListener(files *supervise.Files, name string) (net.Listener, error) {
	fds := files.Take(name)
	if len(fds) == 0 {
		return nil, errors.New("the supervising process has handed over no socket: start vswitchd itself")
	}
	file := os.NewFile(uintptr(fds[0]), name)
	defer file.Close()
	return api.Inherit(file)
}

// beat tells the supervisor that the workers live, until ctx ends.
func beat(ctx context.Context, config daemon.Config, notify *supervise.Notifier, d *control.Control) {
	interval := notify.WatchdogInterval()
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := d.Healthy(ctx)
		if err == nil {
			err = notify.Watchdog()
		}
		if err != nil && ctx.Err() == nil {
			config.Log.Error("cannot tell that the switch lives", "error", err)
		}
	}
}
