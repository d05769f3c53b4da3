package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"vswitch/api"
)

func (a *app) addPort() *cobra.Command {
	p := newPort{spec: api.PortSpec{Segment: api.DefaultSegment, IfName: api.DefaultIfName}}
	cmd := &cobra.Command{
		Use:     "add-port NAME (--netns NAME-or-PATH | --pid PID)",
		GroupID: groupPorts,
		Short:   "Attach a container and print the port's id",
		Long: `Attach a container to a segment and print the port's id.

The container's network namespace gets an interface with an address of the segment,
a MAC made from the address, and a default route to the segment's gateway. With
"--ip dhcp" it gets the MAC alone: address, route and the rest are for the container's
own DHCP client to fetch, such as that of a virtual machine.

--netns and --pid mean what they mean where vsctl runs, in a container too; what a restart
of vswitchd could not find again there is refused, as is the network namespace of vswitchd
itself, unless --allow-host-netns asks for it.

In the segment's DNS, at the gateway's address, the container has the port's name and
its --alias names, which it may share with others. --resolv-conf writes
/etc/netns/NAME/resolv.conf, which "ip netns exec" puts in the place of the host's.
` + policyHelp,
		Example: `  vsctl add-port container1 --netns c1
  vsctl add-port container3 --netns c3 --segment my_bridge
  vsctl add-port web --pid 4711 --ip 172.17.0.80 --ifname eth1 --no-default-route
  vsctl add-port db1 --netns c5 --alias db --resolv-conf
  vsctl add-port vm1 --netns c6 --ip dhcp
  vsctl add-port router --netns c4 --allow-address 10.8.0.0/24 --rate-in 100mbit
  vsctl add-port lb1 --netns c7 --allow-address 172.17.0.50 --allow-mac 00:00:5e:00:01:33`,
		Args:              want(1, 1, "one NAME"),
		ValidArgsFunction: complete(nothing),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := p.request(cmd.Flags(), args[0])
			if err != nil {
				return err
			}
			port, err := a.client().AddPort(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return printLine(cmd, port.ID)
		},
	}
	p.register(cmd)
	completeFlag(cmd, "segment", a.segmentNames)
	return cmd
}

// newPort is the flags of add-port.
type newPort struct {
	spec      api.PortSpec
	addresses addressFlags
	labels    labelFlag
	names     namesFlag
	policy    policyFlags
}

func (p *newPort) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(textFlag{&p.spec.Segment, "SEGMENT"}, "segment", "the segment to attach to")
	flags.Var(textFlag{&p.spec.NetNS, "NAME-or-PATH"}, "netns", "the container's namespace: its name as in \"ip netns list\", or a path")
	flags.IntVar(&p.spec.PID, "pid", 0, "a process in the container, `PID`")
	flags.BoolVar(&p.spec.AllowHostNetNS, "allow-host-netns", false, "attach vswitchd's own namespace, the host's, if --netns or --pid mean that")
	flags.Var(textFlag{&p.spec.IfName, "NAME"}, "ifname", "the interface's name in the container")
	p.addresses.register(flags)
	flags.BoolVar(&p.spec.NoDefaultRoute, "no-default-route", false, "leave the container's routes alone")
	flags.Var(&p.names, "alias", "a name beside the port's in the segment's DNS; may be repeated")
	flags.BoolVar(&p.spec.ResolvConf, "resolv-conf", false, "write the namespace's resolv.conf, which names the gateway; needs the name of a namespace")
	flags.Var(&p.labels, "label", "a label to set; may be repeated")
	p.policy.register(cmd)
}

// request returns what the flags ask for, or a usage error.
func (p *newPort) request(flags *pflag.FlagSet, name string) (api.PortSpec, error) {
	spec := p.spec
	switch netns, pid := flags.Changed("netns"), flags.Changed("pid"); {
	case netns && pid:
		return spec, usagef("--netns and --pid exclude each other: give one of them")
	case !netns && !pid:
		return spec, usagef("no namespace to attach: give --netns or --pid")
	}
	if strings.Contains(spec.NetNS, "/") && !filepath.IsAbs(spec.NetNS) {
		path, err := filepath.Abs(spec.NetNS)
		if err != nil {
			return spec, fmt.Errorf("--netns %s: %w", spec.NetNS, err)
		}
		spec.NetNS = path
	}
	spec.Name, spec.Labels, spec.Aliases = name, p.labels.values(), p.names
	if err := p.addresses.into(&spec); err != nil {
		return spec, err
	}
	return spec, p.policy.into(&spec)
}

// addressFlags are the flags that say which addresses a port gets.
type addressFlags struct{ ip, mac string }

func (a *addressFlags) register(flags *pflag.FlagSet) {
	flags.Var(textFlag{&a.ip, "IP|dhcp"}, "ip", "the container's address; dhcp has it fetch the next free one (default the next free one)")
	flags.Var(textFlag{&a.mac, "MAC"}, "mac", "the container's MAC (default 02:42 and the address, or a random one if that is in use)")
}

func (a *addressFlags) into(spec *api.PortSpec) error {
	if err := read(a.ip, api.ParsePortIP, &spec.IP); err != nil {
		return err
	}
	return read(a.mac, api.ParseMAC, &spec.MAC)
}

func (a *app) delPort() *cobra.Command {
	return &cobra.Command{
		Use:     "del-port NAME...",
		GroupID: groupPorts,
		Short:   "Detach containers",
		Long: `Detach containers and print the name of each port that went.

The interface goes from the container and its address is free again. After a failure
the other ports are deleted all the same.`,
		Example:           `  vsctl del-port container1 container2`,
		Args:              want(1, -1, "at least one NAME"),
		ValidArgsFunction: completeEach(a.portNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			return a.each(cmd, args, func(name string) error {
				_, err := c.DeletePort(cmd.Context(), name)
				return err
			})
		},
	}
}

func (a *app) setPort() *cobra.Command {
	change := portChange{labels: labelFlag{removable: true}}
	cmd := &cobra.Command{
		Use:     "set-port NAME",
		GroupID: groupPorts,
		Short:   "Change a port",
		Long: `Change a port: its names, its address, its MAC, its labels, whether it carries frames, and
what it may do.

--ip gives the port another address of its segment's subnet, and its interface as well. Names,
published ports and neighbours follow; connections of the old address end. The MAC stays. A
DHCP client gets the address when it asks next, and can send nothing until then.

--mac gives the port another MAC. With security strict or mac, frames from a MAC that the
container has given its interface by itself are dropped until --mac names that MAC; with
security off the port follows its interface.
` + policyHelp + `

What --alias, --allow-address, --allow-mac and --allow-protocol name takes the place of
all those before; "none" is none.
A limit of 0 is the default again, and a rate of "none" is no bound.`,
		Example: `  vsctl set-port container1 --down
  vsctl set-port container1 --rename web --label tier=front --label old-
  vsctl set-port container1 --alias web --alias www
  vsctl set-port container1 --ip 172.17.0.80
  vsctl set-port container1 --mac 02:42:ac:11:00:99
  vsctl set-port container1 --isolated=false --rate-out none
  vsctl set-port container1 --allow-protocol ptp --allow-protocol 0x88b5`,
		Args:              want(1, 1, "one NAME"),
		ValidArgsFunction: complete(a.portNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			update, err := change.update(cmd.Flags())
			if err != nil {
				return err
			}
			_, err = a.client().UpdatePort(cmd.Context(), args[0], update)
			return err
		},
	}
	change.register(cmd)
	return cmd
}

// portChange is the flags of set-port.
type portChange struct {
	rename   string
	ip, mac  string
	up, down bool
	labels   labelFlag
	names    namesFlag
	policy   policyFlags
}

func (c *portChange) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(textFlag{&c.rename, "NEW"}, "rename", "the port's new name")
	flags.Var(textFlag{&c.ip, "IP"}, "ip", "the port's new address")
	flags.Var(textFlag{&c.mac, "MAC"}, "mac", "the port's new MAC")
	flags.Var(&c.names, "alias", "a name beside the port's in the segment's DNS; may be repeated")
	flags.BoolVar(&c.up, "up", false, "let the port carry frames")
	flags.BoolVar(&c.down, "down", false, "stop the port's frames")
	flags.Var(&c.labels, "label", "a label to set, or with a trailing '-' to remove; may be repeated")
	c.policy.register(cmd)
}

// update returns what the flags that were given change, or a usage error.
func (c *portChange) update(flags *pflag.FlagSet) (api.PortUpdate, error) {
	update := api.PortUpdate{Labels: c.labels.labels}
	given(flags, "rename", &update.Name, &c.rename)
	if flags.Changed("ip") {
		update.IP = new(netip.Addr)
		parse := func(s string) (netip.Addr, error) { return api.ParseAddr("ip", s) }
		if err := read(c.ip, parse, update.IP); err != nil {
			return update, err
		}
	}
	if flags.Changed("mac") {
		update.MAC = new(api.MAC)
		if err := read(c.mac, api.ParseMAC, update.MAC); err != nil {
			return update, err
		}
	}
	switch {
	case c.up && c.down:
		return update, usagef("--up and --down exclude each other: give one of them")
	case c.up:
		update.Up = &c.up
	case c.down:
		update.Up = new(false)
	}
	c.names.change(flags, &update)
	policy, err := c.policy.change(flags, &update)
	if err != nil {
		return update, err
	}
	if !policy && update.Name == nil && update.IP == nil && update.MAC == nil && update.Up == nil &&
		len(update.Labels) == 0 && update.Aliases == nil {
		return update, usagef("nothing to change: give --rename, --alias, --ip, --mac, --up, --down, " +
			"--label or what the port may do")
	}
	return update, nil
}

func (a *app) listPorts() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:     "list-ports [SEGMENT]",
		GroupID: groupPorts,
		Short:   "List the ports",
		Long:    "List the ports of a segment, or all, in order of creation.\n" + fmt.Sprintf(formatHelp, fields[api.Port]()),
		Example: `  vsctl list-ports
  vsctl list-ports my_bridge --format '{{.Name}} {{join .IPs ","}}'
  vsctl list-ports --format json | jq -r '.[] | select(.state != "up") | .name'`,
		Args:              want(0, 1, "at most one SEGMENT"),
		ValidArgsFunction: complete(a.segmentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.check(); err != nil {
				return err
			}
			list, err := a.client().Ports(cmd.Context(), first(args))
			if err != nil {
				return err
			}
			return printObjects(cmd.OutOrStdout(), &l, list, func(p api.Port) string { return p.ID }, []column[api.Port]{
				{"PORT ID", func(p api.Port) string { return l.id(p.ID) }},
				{"NAME", func(p api.Port) string { return p.Name }},
				{"SEGMENT", func(p api.Port) string { return p.Segment }},
				{"IP", addresses},
				{"MAC", func(p api.Port) string { return p.MAC.String() }},
				{"NETNS", func(p api.Port) string { return p.NetNS }},
				{"IFNAME", func(p api.Port) string { return p.IfName }},
				{"STATE", func(p api.Port) string { return string(p.State) }},
			})
		},
	}
	l.register(cmd)
	return cmd
}

// addresses lists a port's addresses with their prefix lengths.
func addresses(p api.Port) string {
	list := make([]string, len(p.IPs))
	for i, ip := range p.IPs {
		list[i] = ip.String()
	}
	return strings.Join(list, ",")
}
