package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) stats() *cobra.Command {
	f := format{text: "table"}
	cmd := &cobra.Command{
		Use:     "stats [PORT | HOST-LINK]",
		GroupID: groupPorts,
		Short:   "Show what ports carried and dropped, and why",
		Long: `Show the frames and bytes of a port, or of all ports, and how many frames were dropped
for which reason. If an option of set-port lets such frames pass, it is shown beside the
reason, for one of the last frames. RX came from the container, TX went to it. The host
links of the segments come last; their RX came from the host. Counters began at SINCE:
they survive an upgrade, the end of the process that forwards frames and, under systemd,
a restart; any other start of vswitchd sets them to zero.

The page docs/troubleshooting.md says what each reason means and what to do about it.
` + fmt.Sprintf(formatHelp, fields[api.Port]()) + `
The numbers are in .Counters: ` + fields[api.Counters]() + `.`,
		Example: `  vsctl stats
  vsctl stats container3
  vsctl stats --format '{{.Name}} {{.Counters.RxFrames}} {{json .Counters.Drops}}'`,
		Args:              want(0, 1, "at most one PORT or HOST-LINK"),
		ValidArgsFunction: complete(a.portNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.portsToCount(cmd, args)
			if err != nil {
				return err
			}
			return printList(cmd.OutOrStdout(), &f, list, []column[api.Port]{
				{"PORT", func(p api.Port) string { return p.Name }},
				{"RX FRAMES", func(p api.Port) string { return decimal(p.Counters.RxFrames) }},
				{"RX BYTES", func(p api.Port) string { return decimal(p.Counters.RxBytes) }},
				{"TX FRAMES", func(p api.Port) string { return decimal(p.Counters.TxFrames) }},
				{"TX BYTES", func(p api.Port) string { return decimal(p.Counters.TxBytes) }},
				{"DROPS", func(p api.Port) string { return decimal(p.Counters.Dropped()) }},
				{"DROPPED FOR", func(p api.Port) string { return reasons(p.Counters.Drops, p.Hints) }},
				{"SINCE", func(p api.Port) string { return since(p.Counters.Since) }},
			})
		},
	}
	formatFlag(cmd, &f)
	return cmd
}

func (a *app) portsToCount(cmd *cobra.Command, args []string) ([]api.Port, error) {
	ctx, c := cmd.Context(), a.client()
	if len(args) == 0 {
		ports, err := c.Ports(ctx, "")
		if err != nil {
			return nil, err
		}
		segments, err := c.Segments(ctx)
		return append(ports, hostPorts(segments)...), err
	}
	port, err := c.Port(ctx, args[0])
	if api.KindOf(err) != api.NotFound {
		return []api.Port{port}, err
	}
	if segments, err := c.Segments(ctx); err == nil {
		for _, p := range hostPorts(segments) {
			if p.Name == args[0] {
				return []api.Port{p}, nil
			}
		}
	}
	return nil, err
}

// hostPorts shows the segments' host links as ports.
func hostPorts(segments []api.Segment) []api.Port {
	var list []api.Port
	for _, s := range segments {
		if l := s.HostLink; l.Name != "" {
			list = append(list, api.Port{
				Name: l.Name, Segment: s.Name, SegmentID: s.ID, IPs: []netip.Prefix{}, Gateway: s.Gateway, IfName: l.Name, MTU: s.MTU,
				Kind: api.PortHost, State: l.State, Reason: l.Reason, Created: s.Created, Counters: l.Counters,
			})
		}
	}
	return list
}

// since is when counters began; empty for a vswitchd that does not say it.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// reasons lists drops by reason, the most frequent first, with what lets such frames pass.
func reasons(drops map[string]uint64, hints map[string]string) string {
	names := slices.Sorted(maps.Keys(drops))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(drops[b], drops[a]) })
	var list []string
	for _, name := range names {
		if drops[name] == 0 {
			continue
		}
		text := name + " " + decimal(drops[name])
		if hints[name] != "" {
			text += " (" + hints[name] + ")"
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}
