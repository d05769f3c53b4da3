package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) listARP() *cobra.Command {
	f := format{text: "table"}
	cmd := &cobra.Command{
		Use:     "list-arp [SEGMENT]",
		GroupID: groupTables,
		Short:   "List the addresses that the switch answers ARP for",
		Long: `List the addresses of a segment, or of all, that the switch answers ARP for: the
gateway's, and a port's while the port is up and its interface has the address.
` + fmt.Sprintf(formatHelp, fields[api.Binding]()),
		Example: `  vsctl list-arp bridge
  vsctl list-arp --format '{{.IP}} {{.MAC}}'`,
		Args:              want(0, 1, "at most one SEGMENT"),
		ValidArgsFunction: complete(a.segmentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.client().ARP(cmd.Context(), first(args))
			if err != nil {
				return err
			}
			return printList(cmd.OutOrStdout(), &f, list, []column[api.Binding]{
				{"SEGMENT", func(b api.Binding) string { return b.Segment }},
				{"IP", func(b api.Binding) string { return b.IP.String() }},
				{"MAC", func(b api.Binding) string { return b.MAC.String() }},
				{"PORT", func(b api.Binding) string { return b.Port }},
				{"KIND", func(b api.Binding) string { return string(b.Kind) }},
			})
		},
	}
	formatFlag(cmd, &f)
	return cmd
}
