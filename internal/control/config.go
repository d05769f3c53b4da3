package control

import (
	"context"
	"io"
	"log/slog"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/ipam"
	"vswitch/internal/reactor"
	vswitch "vswitch/switch"
)

// Config is how a [Control] works.
type Config struct {
	Poll    vswitch.PollMode
	Spin    time.Duration
	Workers int
	Engine  reactor.Engine // what the workers do their I/O by
	Ageing  time.Duration
	FDBSize int
	Pools   []ipam.Pool
	Version string
	Log     *slog.Logger
	Kernel  kernel.Kernel // nil: that of the process
	Rand    io.Reader     // of which ids are made, 32 bytes each; nil: the kernel's

	LostPortTTL   time.Duration
	ResolvConf    string // the file that names the host's resolvers
	NAT           bool   // have the host's kernel forward and masquerade
	ForwardNoDrop bool   // between the host's other networks too, see [host.Config]
	SysctlDir     string // where the host's links are set up and forwarding is enabled
	NoOffload     bool   // of the devices of ports, where neither port nor segment says
	IPv6LinkLocal bool   // leave the containers' interfaces the IPv6 of their kernels

	Kept   Kept   // descriptors kept for us
	Keeper Keeper // keeps descriptors for the next process

	// What a supervising process gives. Each may be zero.
	Upgrade  func(ctx context.Context, spec api.UpgradeSpec) error // returns only when it failed
	Upgrades func() (list []api.Upgrade, told bool)
	Replaced <-chan struct{} // closed when the next process wants our place
}

// Keeper holds descriptors under names for the process that comes after this one.
// Sync returns once all that was asked for is done.
type Keeper interface {
	Keep(name string, fd int) error
	Drop(name string) error
	Sync(ctx context.Context) error
}

// Kept are the descriptors that a Keeper held for this process, by name. What Take
// returns is the caller's.
type Kept interface {
	Names() []string
	Take(name string) []int
}
