package main

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) listPools() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:     "list-pools",
		GroupID: groupTables,
		Short:   "List the subnets that Docker's IPAM has taken",
		Long: `List the subnets that "docker network create --ipam-driver vswitch" has taken, in order
of creation, with how many addresses are leased. SEGMENT is the one over it: none for a
network of another driver, or when the network has never come to be.
` + fmt.Sprintf(formatHelp, fields[api.Pool]()),
		Example: `  vsctl list-pools
  vsctl list-pools --format '{{.Subnet}} {{.Leases}}'`,
		Args:              want(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.check(); err != nil {
				return err
			}
			list, err := a.client().Pools(cmd.Context())
			if err != nil {
				return err
			}
			return printObjects(cmd.OutOrStdout(), &l, list, func(p api.Pool) string { return p.ID }, []column[api.Pool]{
				{"POOL ID", func(p api.Pool) string { return l.id(p.ID) }},
				{"SUBNET", func(p api.Pool) string { return p.Subnet.String() }},
				{"GATEWAY", func(p api.Pool) string {
					if !p.Gateway.IsValid() {
						return ""
					}
					return p.Gateway.String()
				}},
				{"LEASES", func(p api.Pool) string { return strconv.Itoa(p.Leases) }},
				{"SEGMENT", func(p api.Pool) string { return cmp.Or(p.Segment, "-") }},
			})
		},
	}
	l.register(cmd)
	return cmd
}

func (a *app) delPool() *cobra.Command {
	return &cobra.Command{
		Use:     "del-pool POOL...",
		GroupID: groupTables,
		Short:   "Free subnets that Docker knows of no more",
		Long: `Free subnets that Docker has taken and knows of no more, as when it was killed while it
created a network, and print what was given for each. POOL is an id of list-pools or the
beginning of one.

A pool under a segment is refused. One without may be a network of another driver, which
"docker network inspect" tells: its addresses would be given out again.
After a failure the other pools are freed all the same.`,
		Example:           `  vsctl del-pool 5fb1286b07ba`,
		Args:              want(1, -1, "at least one POOL"),
		ValidArgsFunction: completeEach(a.poolIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			return a.each(cmd, args, func(id string) error {
				_, err := c.ReclaimPool(cmd.Context(), id)
				return err
			})
		},
	}
}
