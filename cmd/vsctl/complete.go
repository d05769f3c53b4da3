package main

import (
	"slices"
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

// completionClient does not wait long. Without a daemon its lists are empty, and there
// is nothing to offer.
func (a *app) completionClient() *api.Client {
	return api.NewSocketClient(a.socket, min(a.timeout, completionTimeout))
}

func (a *app) segmentNames(cmd *cobra.Command) []string {
	list, _ := a.completionClient().Segments(cmd.Context())
	return texts(list, func(s api.Segment) string { return s.Name })
}

func (a *app) portNames(cmd *cobra.Command) []string {
	list, _ := a.completionClient().Ports(cmd.Context(), "")
	return texts(list, func(p api.Port) string { return p.Name })
}

// ruleIDs are those of a segment's rules.
func (a *app) ruleIDs(cmd *cobra.Command, segment string) []string {
	list, _ := a.completionClient().Rules(cmd.Context(), segment)
	return texts(list, func(r api.Rule) string { return shortID(r.ID) })
}

// published is what a port publishes.
func (a *app) published(cmd *cobra.Command, port string) []string {
	list, _ := a.completionClient().Published(cmd.Context(), "")
	list = slices.DeleteFunc(list, func(p api.Published) bool { return p.Port != port })
	return texts(list, api.Published.String)
}

// poolIDs are those of pools that may be freed.
func (a *app) poolIDs(cmd *cobra.Command) []string {
	list, _ := a.completionClient().Pools(cmd.Context())
	list = slices.DeleteFunc(list, func(p api.Pool) bool { return p.Segment != "" })
	return texts(list, func(p api.Pool) string { return shortID(p.ID) })
}

func texts[T any](list []T, text func(T) string) []string {
	var all []string
	for _, v := range list {
		all = append(all, clean(text(v)))
	}
	return all
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

// completeOf offers the first argument by one completer, and the others by what there
// is of the first.
func completeOf(first completer, others func(cmd *cobra.Command, of string) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return first(cmd), cobra.ShellCompDirectiveNoFileComp
		}
		return others(cmd, args[0]), cobra.ShellCompDirectiveNoFileComp
	}
}

func completeFlag(cmd *cobra.Command, flag string, by completer) {
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc(flag, completeEach(by))
}
