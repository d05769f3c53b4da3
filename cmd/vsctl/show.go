package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vswitch/api"
)

// overview is the whole switch, for --format.
type overview struct {
	Version  string        `json:"version"`
	Workers  []api.Worker  `json:"workers"`
	Segments []api.Segment `json:"segments"`
	Ports    []api.Port    `json:"ports"`
}

func (a *app) show() *cobra.Command {
	f := format{text: "table"}
	cmd := &cobra.Command{
		Use:     "show",
		GroupID: groupSwitch,
		Short:   "Show the whole switch as a tree",
		Long: `Show the whole switch as a tree: its workers, and what they read and write frames
by; its segments, and under each its ports.

--format json prints one object. Any other format is a Go template for that; its fields
are ` + fields[overview]() + `.`,
		Example:           `  vsctl show`,
		Args:              want(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.overview(cmd.Context())
			if err != nil {
				return err
			}
			return printOverview(cmd.OutOrStdout(), &f, all)
		},
	}
	formatFlag(cmd, &f)
	return cmd
}

// overview asks for the whole switch.
func (a *app) overview(ctx context.Context) (all overview, err error) {
	c := a.client()
	v, err := c.Version(ctx)
	if err != nil {
		return all, err
	}
	all.Version = v.Version
	if all.Workers, err = c.Workers(ctx); err != nil {
		return all, err
	}
	if all.Segments, err = c.Segments(ctx); err != nil {
		return all, err
	}
	all.Ports, err = c.Ports(ctx, "")
	return all, err
}

// printOverview prints the whole switch as f says. Nothing is printed unless all can be.
func printOverview(w io.Writer, f *format, all overview) error {
	var out bytes.Buffer
	switch {
	case f.template != nil:
		if err := executeEach(&out, f.template, []overview{all}); err != nil {
			return err
		}
	case f.text == "json":
		b, err := marshal(all, "    ")
		if err != nil {
			return err
		}
		out.Write(b)
	default:
		out.Write(tree(all))
	}
	_, err := w.Write(out.Bytes())
	return err
}

// tree has the layout of "ovs-vsctl show".
func tree(all overview) []byte {
	var out bytes.Buffer
	line := func(indent int, key, value string) {
		if value != "" {
			fmt.Fprintf(&out, "%*s%s%s\n", indent*4, "", key, clean(value))
		}
	}
	line(0, "vswitchd ", all.Version)
	for _, w := range all.Workers {
		line(1, "Worker ", strconv.Itoa(w.Worker))
		line(2, "io: ", w.IO)
		line(2, "features: ", strings.Join(w.Features, ", "))
		line(2, "reason: ", w.Reason)
	}
	bySegment := map[string][]api.Port{}
	for _, p := range all.Ports {
		bySegment[p.SegmentID] = append(bySegment[p.SegmentID], p)
	}
	for _, s := range all.Segments {
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
		line(2, "offload: ", string(s.Offload))
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
			line(3, "offload: ", string(p.Offload))
			line(3, "allowed: ", allowances(p))
			for _, published := range p.Published {
				line(3, "published: ", published)
			}
		}
	}
	return out.Bytes()
}
