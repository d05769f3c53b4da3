package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) show() *cobra.Command {
	return &cobra.Command{
		Use:               "show",
		GroupID:           groupSwitch,
		Short:             "Show the whole switch as a tree",
		Long:              "Show the whole switch as a tree: its segments, and under each its ports.",
		Example:           `  vsctl show`,
		Args:              want(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			v, err := c.Version(cmd.Context())
			if err != nil {
				return err
			}
			segments, err := c.Segments(cmd.Context())
			if err != nil {
				return err
			}
			ports, err := c.Ports(cmd.Context(), "")
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(tree(v, segments, ports))
			return err
		},
	}
}

// tree has the layout of "ovs-vsctl show".
func tree(v api.Version, segments []api.Segment, ports []api.Port) []byte {
	var out bytes.Buffer
	line := func(indent int, key, value string) {
		if value != "" {
			fmt.Fprintf(&out, "%*s%s%s\n", indent*4, "", key, clean(value))
		}
	}
	line(0, "vswitchd ", v.Version)
	bySegment := map[string][]api.Port{}
	for _, p := range ports {
		bySegment[p.SegmentID] = append(bySegment[p.SegmentID], p)
	}
	for _, s := range segments {
		line(1, "Segment ", s.Name)
		line(2, "subnet: ", s.Subnet.String())
		line(2, "gateway: ", s.Gateway)
		for _, name := range slices.Sorted(maps.Keys(s.AuxAddresses)) {
			line(2, "aux address: ", name+"="+s.AuxAddresses[name].String())
		}
		if s.Internal {
			line(2, "internal: ", "true")
		} else if s.Uplink == api.UplinkNone {
			line(2, "uplink: ", string(s.Uplink))
		}
		if s.HostLink.Name != "" {
			line(2, "Host link ", s.HostLink.Name)
			line(3, "state: ", string(s.HostLink.State))
			line(3, "reason: ", s.HostLink.Reason)
		}
		for _, p := range bySegment[s.ID] {
			line(2, "Port ", p.Name)
			line(3, "address: ", addresses(p))
			line(3, "mac: ", p.MAC.String())
			line(3, "netns: ", p.NetNS)
			line(3, "ifname: ", p.IfName)
			line(3, "state: ", string(p.State))
			line(3, "reason: ", p.Reason)
			if p.Security != api.SecurityStrict {
				line(3, "security: ", string(p.Security))
			}
			if p.Isolated {
				line(3, "isolated: ", "true")
			}
			line(3, "allowed: ", allowances(p))
			for _, published := range p.Published {
				line(3, "published: ", published)
			}
		}
	}
	return out.Bytes()
}
