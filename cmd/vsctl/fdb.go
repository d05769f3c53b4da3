package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) addFDB() *cobra.Command {
	return &cobra.Command{
		Use:     "add-fdb SEGMENT MAC PORT",
		GroupID: groupTables,
		Short:   "Add a static entry to the forwarding table",
		Long: `Add a static entry to the forwarding table: frames for MAC go to PORT. It takes the
place of what was learned for MAC, and neither ages nor moves.`,
		Example:           `  vsctl add-fdb bridge 02:00:00:00:00:01 container1`,
		Args:              want(3, 3, "SEGMENT MAC PORT"),
		ValidArgsFunction: complete(a.segmentNames, nothing, a.portNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			mac, err := api.ParseMAC(args[1])
			if err != nil {
				return err
			}
			_, err = a.client().AddFDB(cmd.Context(), args[0], api.FDBSpec{MAC: mac, Port: args[2]})
			return err
		},
	}
}

func (a *app) delFDB() *cobra.Command {
	return &cobra.Command{
		Use:     "del-fdb SEGMENT MAC",
		GroupID: groupTables,
		Short:   "Remove an entry of the forwarding table",
		Long: `Remove the entry of MAC from the forwarding table, dynamic or static. One of kind own
cannot be removed: it is the MAC of a port or of the gateway, and goes with it.`,
		Example:           `  vsctl del-fdb bridge 02:00:00:00:00:01`,
		Args:              want(2, 2, "SEGMENT MAC"),
		ValidArgsFunction: complete(a.segmentNames, nothing),
		RunE: func(cmd *cobra.Command, args []string) error {
			mac, err := api.ParseMAC(args[1])
			if err != nil {
				return err
			}
			_, err = a.client().DeleteFDB(cmd.Context(), args[0], mac)
			return err
		},
	}
}

func (a *app) flushFDB() *cobra.Command {
	var flush api.FDBFlush
	cmd := &cobra.Command{
		Use:     "flush-fdb SEGMENT",
		GroupID: groupTables,
		Short:   "Forget the learned entries of a segment",
		Long: `Forget the learned entries of a segment, of kind dynamic, or only those behind one port.
Entries of kind own and static stay.`,
		Example: `  vsctl flush-fdb bridge
  vsctl flush-fdb bridge --port container1`,
		Args:              want(1, 1, "one SEGMENT"),
		ValidArgsFunction: complete(a.segmentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := a.client().FlushFDB(cmd.Context(), args[0], flush)
			return err
		},
	}
	cmd.Flags().Var(textFlag{&flush.Port, "PORT"}, "port", "only entries behind this port")
	completeFlag(cmd, "port", a.portNames)
	return cmd
}

func (a *app) listFDB() *cobra.Command {
	f := format{text: "table"}
	cmd := &cobra.Command{
		Use:     "list-fdb [SEGMENT]",
		GroupID: groupTables,
		Short:   "List the forwarding table",
		Long: `List the forwarding table of a segment, or of all: which MAC is behind which port.

An entry's kind is one of these:
  dynamic  learned from traffic; it ages, moves with the host, and can be flushed
  own      the MAC of a port or of the gateway; it stays while the port exists
  static   added by add-fdb; it stays until del-fdb or del-port
` + fmt.Sprintf(formatHelp, fields[api.FDBEntry]()),
		Example: `  vsctl list-fdb
  vsctl list-fdb bridge --format json`,
		Args:              want(0, 1, "at most one SEGMENT"),
		ValidArgsFunction: complete(a.segmentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.client().FDB(cmd.Context(), first(args))
			if err != nil {
				return err
			}
			return printList(cmd.OutOrStdout(), &f, list, []column[api.FDBEntry]{
				{"SEGMENT", func(e api.FDBEntry) string { return e.Segment }},
				{"MAC", func(e api.FDBEntry) string { return e.MAC.String() }},
				{"PORT", func(e api.FDBEntry) string { return e.Port }},
				{"KIND", func(e api.FDBEntry) string { return string(e.Kind) }},
				{"AGE", age},
			})
		},
	}
	formatFlag(cmd, &f)
	return cmd
}

// age is in seconds; only a dynamic entry has one.
func age(e api.FDBEntry) string {
	if e.Kind != api.Dynamic {
		return ""
	}
	return strconv.Itoa(e.AgeSeconds) + "s"
}
