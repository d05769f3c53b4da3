package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"vswitch/internal/control"
	"vswitch/internal/daemon"
	"vswitch/internal/engine/docker"
)

// dockerFlags are those of the Docker drivers.
type dockerFlags struct {
	enabled bool
	socket  string
	host    string
}

func (d *dockerFlags) register(f *pflag.FlagSet) {
	f.BoolVar(&d.enabled, "docker", false, "serve Docker's network and IPAM drivers: docker network create -d vswitch")
	f.StringVar(&d.socket, "docker-socket", "/run/docker/plugins/vswitch.sock", "unix socket that Docker finds the drivers by; its name is theirs")
	f.StringVar(&d.host, "docker-host", "unix:///var/run/docker.sock", "the Docker engine that is asked for the names of networks and containers; empty asks nobody")
}

// check wants an engine on a unix socket, since nothing is encrypted.
func (d *dockerFlags) check() error {
	if path, ok := strings.CutPrefix(d.host, "unix://"); d.host != "" && (!ok || path == "") {
		return fmt.Errorf("--docker-host %q: give a unix socket, such as unix:///var/run/docker.sock", d.host)
	}
	return nil
}

// serve is what runs beside the daemon, as often as it fails.
func (d *dockerFlags) serve(l net.Listener, log *slog.Logger) func(context.Context, *control.Control) error {
	return func(ctx context.Context, backend *control.Control) error {
		shared, err := daemon.Relisten(l)
		if err != nil {
			return err
		}
		tasks, ctx := errgroup.WithContext(ctx)
		tasks.Go(func() error {
			return docker.New(docker.Options{Backend: backend, Pools: backend, Log: log}).Serve(ctx, shared)
		})
		if path := strings.TrimPrefix(d.host, "unix://"); path != "" {
			tasks.Go(func() error { return docker.NewNames(path, backend, log).Run(ctx) })
		}
		return tasks.Wait()
	}
}
