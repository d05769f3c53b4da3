package main

import (
	"time"

	"github.com/spf13/cobra"

	"vswitch/api"
)

// completionTimeout keeps a shell responsive when the daemon is not.
const completionTimeout = 2 * time.Second

// completer offers what an argument or flag can be.
type completer func(cmd *cobra.Command) []string

// nothing is for arguments that only the user knows, such as a new name.
func nothing(*cobra.Command) []string { return nil }

func (a *app) segmentNames(cmd *cobra.Command) []string {
	c := api.NewClient(a.socket, min(a.timeout, completionTimeout))
	defer c.Close()
	list, _ := c.Segments(cmd.Context()) // without a daemon there is nothing to offer
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = clean(s.Name)
	}
	return names
}

func (a *app) portNames(cmd *cobra.Command) []string {
	c := api.NewClient(a.socket, min(a.timeout, completionTimeout))
	defer c.Close()
	list, _ := c.Ports(cmd.Context(), "")
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = clean(p.Name)
	}
	return names
}

func (a *app) ruleIDs(cmd *cobra.Command, segment string) []string {
	c := api.NewClient(a.socket, min(a.timeout, completionTimeout))
	defer c.Close()
	list, _ := c.Rules(cmd.Context(), segment)
	ids := make([]string, len(list))
	for i, r := range list {
		ids[i] = clean(shortID(r.ID))
	}
	return ids
}

// poolIDs are those of pools that may be freed.
func (a *app) poolIDs(cmd *cobra.Command) []string {
	c := api.NewClient(a.socket, min(a.timeout, completionTimeout))
	defer c.Close()
	list, _ := c.Pools(cmd.Context())
	var ids []string
	for _, p := range list {
		if p.Segment == "" {
			ids = append(ids, clean(shortID(p.ID)))
		}
	}
	return ids
}

// complete offers the i-th argument by the i-th completer.
func complete(by ...completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(by) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return by[len(args)](cmd), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeEach offers every argument by the same completer.
func completeEach(by completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return by(cmd), cobra.ShellCompDirectiveNoFileComp
	}
}

func completeFlag(cmd *cobra.Command, flag string, by completer) {
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc(flag, completeEach(by))
}
