package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"vswitch/internal/control"
	"vswitch/internal/host"
	"vswitch/internal/ipam"
	"vswitch/internal/reactor"
	vswitch "vswitch/switch"
)

// Flags is the configuration as the user writes it.
type Flags struct {
	Socket        string
	StateDir      string
	Poll          string
	Spin          time.Duration
	Workers       int
	IO            string
	Ageing        time.Duration
	FDBSize       int
	MetricsListen string
	Pools         []string // base=CIDR,size=N
	LostPortTTL   time.Duration
	ResolvConf    string // the file that names the host's resolvers
	NAT           bool   // have the host's kernel forward and masquerade
	ForwardNoDrop bool   // between the host's other networks too
	SysctlDir     string // where the host's links are set up and forwarding is enabled
	// StopRemovesPorts has the devices removed when the daemon is stopped, not left for
	// the next start.
	StopRemovesPorts bool
	IPv6LinkLocal    bool // leave the containers' interfaces the IPv6 of their kernels
	Offload          string
}

// DefaultFlags is the configuration of a user who says nothing.
func DefaultFlags() Flags {
	return Flags{
		Socket:   "/run/vswitch/vswitchd.sock",
		StateDir: "/var/lib/vswitch",
		Poll:     "adaptive",
		IO:       reactor.Auto.String(),
		Spin:     vswitch.DefaultSpin,
		Ageing:   vswitch.DefaultAgeing,
		FDBSize:  vswitch.DefaultCapacity,

		LostPortTTL: 10 * time.Minute,
		ResolvConf:  "/etc/resolv.conf",
		NAT:         true,
		Offload:     "on",
		SysctlDir:   host.DefaultSysctlDir,
	}
}

// Config is the configuration once it has been checked.
type Config struct {
	control.Config

	Socket        string
	StateDir      string
	MetricsListen string
	// StopRemovesPorts has the devices removed when the daemon is stopped, not left for
	// the next start.
	StopRemovesPorts bool

	// Beside run beside the daemon until ctx ends. One that returns an error is run again.
	Beside []func(ctx context.Context, backend *control.Control) error

	// What a supervising process gives. Each may be zero.
	Listener net.Listener // for requests, instead of Socket
}

// pollModes are the values of --poll.
var pollModes = map[string]vswitch.PollMode{
	"adaptive": vswitch.PollAdaptive,
	"busy":     vswitch.PollBusy,
	"sleep":    vswitch.PollSleep,
}

// Bounds of what a user may ask for.
const (
	maxSpin    = 10 * time.Millisecond
	maxAgeing  = 1_000_000 * time.Second // IEEE 802.1Q-2022 §8.8.3
	maxFDBSize = 1 << 24
)

// Check turns what the user wrote into a configuration.
func (f Flags) Check() (Config, error) {
	mode, ok := pollModes[f.Poll]
	engine, err := reactor.ParseEngine(f.IO)
	switch {
	case err != nil:
		return Config{}, fmt.Errorf("--io %w", err)
	case !ok:
		return Config{}, fmt.Errorf("--poll %q is unknown: give adaptive, busy or sleep", f.Poll)
	}
	if err := f.checkBounds(); err != nil {
		return Config{}, err
	}
	if _, err := os.Stat(filepath.Join(f.SysctlDir, "net/ipv4")); err != nil {
		return Config{}, fmt.Errorf("--sysctl-dir %q: %w: give where the kernel's settings are, which have net/ipv4, such as %s", f.SysctlDir, err, host.DefaultSysctlDir)
	}
	c := Config{
		Socket: f.Socket, StateDir: f.StateDir, MetricsListen: f.MetricsListen,
		StopRemovesPorts: f.StopRemovesPorts,
		Config: control.Config{
			Poll: mode, Spin: f.Spin, Workers: f.Workers, Engine: engine, Ageing: f.Ageing, FDBSize: f.FDBSize,
			Pools: ipam.DefaultPools(), LostPortTTL: f.LostPortTTL, ResolvConf: f.ResolvConf,
			NAT: f.NAT, ForwardNoDrop: f.ForwardNoDrop, SysctlDir: f.SysctlDir, IPv6LinkLocal: f.IPv6LinkLocal,
			NoOffload: f.Offload == "off",
		},
	}
	if c.Workers == 0 {
		c.Workers = defaultWorkers(runtime.NumCPU())
	}
	if c.Spin == 0 && mode == vswitch.PollAdaptive {
		c.Poll = vswitch.PollSleep
	}
	if len(f.Pools) > 0 {
		c.Pools = nil
	}
	for _, s := range f.Pools {
		pool, err := ipam.ParsePool(s)
		if err != nil {
			return Config{}, fmt.Errorf("--default-address-pool: %w", err)
		}
		if err := control.CheckOffered(pool.Base); err != nil {
			return Config{}, fmt.Errorf("--default-address-pool: address pool %q: %w", s, err)
		}
		c.Pools = append(c.Pools, pool)
	}
	return c, nil
}

// checkBounds says which value is none that the flag takes.
func (f Flags) checkBounds() error {
	switch {
	case f.Workers < 0 || f.Workers > runtime.NumCPU():
		return fmt.Errorf("--workers %d is out of range: give 1 to %d (the CPUs here), or 0 for the default", f.Workers, runtime.NumCPU())
	case f.Spin < 0 || f.Spin > maxSpin:
		return fmt.Errorf("--spin %s is out of range: give 0s to %s", f.Spin, maxSpin)
	case f.Ageing < time.Second || f.Ageing > maxAgeing:
		return fmt.Errorf("--ageing %s is out of range: give 1s to %s", f.Ageing, maxAgeing)
	case f.FDBSize < 1 || f.FDBSize > maxFDBSize:
		return fmt.Errorf("--fdb-size %d is out of range: give 1 to %d addresses", f.FDBSize, maxFDBSize)
	case f.Offload != "on" && f.Offload != "off":
		return fmt.Errorf("--offload %q is unknown: give on or off", f.Offload)
	case f.LostPortTTL < 0:
		return fmt.Errorf("--lost-port-ttl %s is out of range: give 0s or more", f.LostPortTTL)
	}
	return nil
}

// defaultWorkers leaves most of the CPUs to the containers, whose traffic it is.
func defaultWorkers(cpus int) int { return max(1, min(cpus/4, 8)) }
