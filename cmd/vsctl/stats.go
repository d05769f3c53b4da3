package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) stats() *cobra.Command {
	f := format{text: "table"}
	cmd := &cobra.Command{
		Use:     "stats [PORT]",
		GroupID: groupPorts,
		Short:   "Show what ports carried and dropped, and why",
		Long: `Show the frames and bytes of a port, or of all, and how many frames were dropped for
which reason. RX came from the container, TX went to it.
` + fmt.Sprintf(formatHelp, fields[api.Port]()) + `
The numbers are in .Counters: ` + fields[api.Counters]() + `.`,
		Example: `  vsctl stats
  vsctl stats container3
  vsctl stats --format '{{.Name}} {{.Counters.RxFrames}} {{json .Counters.Drops}}'`,
		Args:              want(0, 1, "at most one PORT"),
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
				{"DROPPED FOR", func(p api.Port) string { return reasons(p.Counters.Drops) }},
			})
		},
	}
	formatFlag(cmd, &f)
	return cmd
}

func (a *app) portsToCount(cmd *cobra.Command, args []string) ([]api.Port, error) {
	if len(args) == 0 {
		return a.client().Ports(cmd.Context(), "")
	}
	port, err := a.client().Port(cmd.Context(), args[0])
	return []api.Port{port}, err
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// reasons lists drops by reason, the most frequent first.
func reasons(drops map[string]uint64) string {
	names := slices.Sorted(maps.Keys(drops))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(drops[b], drops[a]) })
	var list []string
	for _, name := range names {
		if drops[name] > 0 {
			list = append(list, name+" "+decimal(drops[name]))
		}
	}
	return strings.Join(list, ", ")
}
