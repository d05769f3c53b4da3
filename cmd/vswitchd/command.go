package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"vswitch/api"
	"vswitch/internal/daemon"
	"vswitch/internal/supervise"
)

// usageError is wrong usage: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitStatus(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// options are the flags that are not the daemon's own.
type options struct {
	flags     daemon.Flags
	config    string
	logLevel  string
	logFormat string
	restore   string
	docker    dockerFlags
	arguments []string // the process's own, for the one that it starts
}

func command() *cobra.Command {
	_, c := newCommand()
	return c
}

// newCommand is the command with the options that its flags set.
func newCommand() (*options, *cobra.Command) {
	o := &options{flags: daemon.DefaultFlags(), arguments: os.Args[1:]}
	c := &cobra.Command{
		Use:   "vswitchd",
		Short: "User-space virtual switch for containers",
		Long: `vswitchd connects containers without the kernel's bridge: it puts a TAP device
into each container's network namespace and carries frames between them in user
space. Containers on one segment reach each other; across segments they do not.

It runs in the foreground until SIGTERM or SIGINT, and needs root (CAP_NET_ADMIN
and CAP_SYS_ADMIN). vsctl steers it over the socket. Ports stay when it stops, and
work again when it has started: what is wanted of them is kept in --state-dir.

A second process carries the frames. When it dies it is replaced at once, without
harm to connections; SIGHUP, or vsctl upgrade, replaces it by the program that is
on disk then.`,
		Example: `  vswitchd &
  vswitchd --poll busy --workers 2
  vswitchd --default-address-pool base=10.10.0.0/16,size=24
  vswitchd --config /etc/vswitch/vswitchd.toml`,
		Version:       api.BuildVersion(version).Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q: vswitchd takes flags only, see vswitchd --help", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see vswitchd --help", err)}
	})
	o.register(c)
	return o, c
}

func (o *options) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.flags.Socket, "socket", o.flags.Socket, "unix socket that vsctl talks to")
	f.StringVar(&o.flags.StateDir, "state-dir", o.flags.StateDir, "directory for the state that outlives the daemon")
	f.StringVar(&o.config, "config", "", "TOML file with flags as keys, e.g. poll = \"busy\"; flags given on the command line win")
	f.StringVar(&o.flags.Poll, "poll", o.flags.Poll, "what a worker does when no frame waits: adaptive (spin, then sleep), busy or sleep")
	f.DurationVar(&o.flags.Spin, "spin", o.flags.Spin, "how long adaptive polling goes on after the last frame")
	f.IntVar(&o.flags.Workers, "workers", o.flags.Workers, "threads that carry frames; 0 is a quarter of the CPUs, but 1 at least and 8 at most")
	f.StringVar(&o.flags.IO, "io", o.flags.IO, "how frames are read and written: auto, plain (a system call for each), ring (several in one, by io_uring) or ring-fixed (and from registered buffers)")
	f.DurationVar(&o.flags.Ageing, "ageing", o.flags.Ageing, "how long a learned address is kept without a frame from it")
	f.IntVar(&o.flags.FDBSize, "fdb-size", o.flags.FDBSize, "how many addresses may be learned")
	f.StringArrayVar(&o.flags.Pools, "default-address-pool", nil, "base=CIDR,size=N: where automatic subnets are cut from; may be repeated (default Docker's pools)")
	f.StringVar(&o.flags.MetricsListen, "metrics-listen", "", "ADDRESS:PORT that answers GET /metrics for Prometheus; off loopback, containers too read the names and counters of all segments")
	f.DurationVar(&o.flags.LostPortTTL, "lost-port-ttl", o.flags.LostPortTTL, "how long a port whose namespace is gone keeps its name and address")
	f.StringVar(&o.flags.ResolvConf, "resolv-conf", o.flags.ResolvConf, "the `FILE` that names the resolvers to forward containers' questions to, as in resolv.conf(5)")
	f.BoolVar(&o.flags.StopRemovesPorts, "stop-removes-ports", false, "remove all ports, host links and nftables rules when stopped, instead of leaving them for the next start")
	f.StringVar(&o.flags.Offload, "offload", o.flags.Offload,
		"whether containers leave checksums and the cutting of TCP and UDP to the switch and the "+
			"receivers, on or off, where neither port nor segment says")
	f.BoolVar(&o.flags.IPv6LinkLocal, "ipv6-link-local", false,
		"leave IPv6 enabled on containers' interfaces, which reach each other by "+
			"link-local addresses then, instead of disabling it there as Docker does")
	f.BoolVar(&o.flags.NAT, "nat", o.flags.NAT, "have the kernel forward and masquerade what leaves segments with a host link; false leaves its rules alone")
	f.BoolVar(&o.flags.ForwardNoDrop, "ip-forward-no-drop", false,
		"where the kernel forwarded nothing before --nat had it forward, let it forward between the "+
			"host's other networks too, instead of dropping that")
	f.StringVar(&o.flags.SysctlDir, "sysctl-dir", o.flags.SysctlDir, "where the kernel's settings are, in a container whose /proc/sys is read-only")
	o.docker.register(f)
	f.StringVar(&o.restore, "restore", "", "begin with the state in this `FILE` of vsctl backup; there must be none yet")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
}

func (o *options) run(c *cobra.Command) error {
	if err := applyConfig(c, o.config); err != nil {
		return err
	}
	config, err := o.flags.Check()
	if err != nil {
		return usageError{err}
	}
	if config.Log, err = newLogger(c.ErrOrStderr(), o.logLevel, o.logFormat); err != nil {
		return usageError{err}
	}
	if err := o.docker.check(); err != nil {
		return usageError{err}
	}
	config.Version = c.Version
	inherited, err := supervise.Inherited()
	if err != nil {
		return err
	}
	if inherited.Supervised {
		return o.carry(c.Context(), config, inherited)
	}
	return o.supervise(c, config, inherited)
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is unknown: give debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format %q is unknown: give text or json", format)
}
