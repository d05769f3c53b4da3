package main

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"vswitch/api"
)

// segmentFlags are the flags of add-segment, as they were written.
type segmentFlags struct {
	spec   api.SegmentSpec // what needs no parsing
	labels labelFlag
	aux    auxFlag

	subnet, gateway, ipRange string
}

func (f *segmentFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(textFlag{&f.subnet, "CIDR"}, "subnet", "the segment's network (default the next free pool)")
	flags.Var(textFlag{&f.gateway, "IP"}, "gateway", "the gateway's address (default the subnet's first)")
	flags.Var(textFlag{&f.ipRange, "CIDR"}, "ip-range", "part of the subnet that addresses are taken from (default all of it)")
	flags.Var(&f.aux, "aux-address", "an address of the subnet that no port is given; may be repeated")
	flags.BoolVar(&f.spec.Internal, "internal", false, "give the segment no way out")
	flags.Var(textFlag{(*string)(&f.spec.Uplink), "host|none"}, "uplink", "the way out, host or none (default host; none with --internal)")
	flags.IntVar(&f.spec.MTU, "mtu", 0, "largest packet in bytes, `N` of 68 to 65521 (default the daemon's)")
	flags.Var(&f.labels, "label", "a label to set; may be repeated")
	registerOffload(cmd, &f.spec.Offload, "as vswitchd --offload says")
	completeFlag(cmd, "uplink", func(*cobra.Command) []string { return []string{string(api.UplinkHost), string(api.UplinkNone)} })
}

// read returns the spec of the segment of that name.
func (f *segmentFlags) read(name string) (spec api.SegmentSpec, err error) {
	spec = f.spec
	spec.Name, spec.Labels = name, f.labels.values()
	if err := read(f.subnet, named("subnet", api.ParsePrefix), &spec.Subnet); err != nil {
		return spec, err
	}
	if err := read(f.gateway, named("gateway", api.ParseAddr), &spec.Gateway); err != nil {
		return spec, err
	}
	if err := read(f.ipRange, named("ip range", api.ParsePrefix), &spec.IPRange); err != nil {
		return spec, err
	}
	spec.AuxAddresses, err = f.aux.addresses()
	return spec, err
}

func (a *app) addSegment() *cobra.Command {
	var flags segmentFlags
	cmd := &cobra.Command{
		Use:     "add-segment NAME",
		GroupID: groupSegments,
		Short:   "Create a segment and print its id",
		Long: `Create a segment, a network of its own, and print its id.

Without --subnet it takes the next free pool, such as 172.18.0.0/16; the gateway is
the subnet's first address unless --gateway names another. A /31 has room for the
gateway and one port; a /32, with --internal, for one port and no gateway.

--aux-address keeps an address of the subnet for something else, which no port is given;
--allow-address of add-port lets one use it. DefaultGatewayIPv4=ADDRESS is where the
ports' default route leads, instead of the gateway.

The host has the gateway's address, on an interface of its own: it reaches the
containers, they reach it, and it is their way out. With --uplink none, or
--internal, they have none.
` + offloadHelp,
		Example: `  vsctl add-segment my_bridge
  vsctl add-segment lab --subnet 10.1.0.0/24 --ip-range 10.1.0.128/25 --label team=net
  vsctl add-segment dmz --subnet 10.2.0.0/24 --aux-address DefaultGatewayIPv4=10.2.0.254`,
		Args:              want(1, 1, "one NAME"),
		ValidArgsFunction: complete(nothing),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := flags.read(args[0])
			if err != nil {
				return err
			}
			segment, err := a.client().AddSegment(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return printLine(cmd, segment.ID)
		},
	}
	flags.register(cmd)
	return cmd
}

func (a *app) setSegment() *cobra.Command {
	var (
		rename, subnet string
		offload        api.Offload
		labels         = labelFlag{removable: true}
	)
	cmd := &cobra.Command{
		Use:     "set-segment NAME",
		GroupID: groupSegments,
		Short:   "Change a segment",
		Long: `Change a segment: its name, its labels, its subnet, or what its ports have of offloads.

The default segment keeps its name. Only a segment without ports takes another subnet,
which may be a larger or smaller one around or in the old; its gateway becomes the first
address of that.
` + offloadHelp,
		Example: `  vsctl set-segment my_bridge --rename lab
  vsctl set-segment voice --offload off
  vsctl set-segment bridge --subnet 10.1.0.0/24
  vsctl set-segment lab --label team=net --label old-`,
		Args:              want(1, 1, "one NAME"),
		ValidArgsFunction: complete(a.segmentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			update := api.SegmentUpdate{Labels: labels.labels}
			if cmd.Flags().Changed("rename") {
				update.Name = &rename
			}
			if cmd.Flags().Changed("subnet") {
				update.Subnet = new(netip.Prefix)
				if err := read(subnet, named("subnet", api.ParsePrefix), update.Subnet); err != nil {
					return err
				}
			}
			given(cmd.Flags(), "offload", &update.Offload, &offload)
			if update.Name == nil && update.Subnet == nil && len(update.Labels) == 0 && update.Offload == nil {
				return usagef("nothing to change: give --rename, --subnet, --label or --offload")
			}
			_, err := a.client().UpdateSegment(cmd.Context(), args[0], update)
			return err
		},
	}
	cmd.Flags().Var(textFlag{&rename, "NEW"}, "rename", "the segment's new name")
	cmd.Flags().Var(textFlag{&subnet, "CIDR"}, "subnet", "another network for the segment")
	cmd.Flags().Var(&labels, "label", "a label to set, or with a trailing '-' to remove; may be repeated")
	registerOffload(cmd, &offload, "as vswitchd --offload says")
	return cmd
}

func (a *app) delSegment() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "del-segment NAME...",
		GroupID: groupSegments,
		Short:   "Delete segments",
		Long: `Delete segments and print the name of each that went.

A segment with ports on it is refused, unless --force, which deletes its ports too.
After a failure the other segments are deleted all the same.`,
		Example: `  vsctl del-segment my_bridge
  vsctl del-segment --force lab1 lab2`,
		Args:              want(1, -1, "at least one NAME"),
		ValidArgsFunction: completeEach(a.segmentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			return a.each(cmd, args, func(name string) error {
				_, err := c.DeleteSegment(cmd.Context(), name, force)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "delete the segment's ports with it")
	return cmd
}

func (a *app) listSegments() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:     "list-segments",
		GroupID: groupSegments,
		Short:   "List the segments",
		Long:    "List the segments in order of creation.\n" + fmt.Sprintf(formatHelp, fields[api.Segment]()),
		Example: `  vsctl list-segments
  vsctl list-segments --format '{{.Name}} {{.Subnet}}'
  vsctl list-segments -q --no-trunc`,
		Args:              want(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.check(); err != nil {
				return err
			}
			list, err := a.client().Segments(cmd.Context())
			if err != nil {
				return err
			}
			return printObjects(cmd.OutOrStdout(), &l, list, func(s api.Segment) string { return s.ID }, []column[api.Segment]{
				{"SEGMENT ID", func(s api.Segment) string { return l.id(s.ID) }},
				{"NAME", func(s api.Segment) string { return s.Name }},
				{"DRIVER", func(s api.Segment) string { return s.Driver }},
				{"SCOPE", func(s api.Segment) string { return s.Scope }},
				{"SUBNET", func(s api.Segment) string { return s.Subnet.String() }},
				{"PORTS", func(s api.Segment) string { return strconv.Itoa(s.Ports) }},
			})
		},
	}
	l.register(cmd)
	return cmd
}

func printLine(cmd *cobra.Command, s string) error {
	_, err := fmt.Fprintln(cmd.OutOrStdout(), clean(s))
	return err
}

// first is a command's optional argument.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
