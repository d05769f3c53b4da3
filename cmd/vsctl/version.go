package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		GroupID:           groupSwitch,
		Short:             "Print the versions of vsctl and vswitchd",
		Long:              "Print the versions of vsctl and, when it can be reached, of vswitchd.",
		Example:           `  vsctl version`,
		Args:              want(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := printVersion(cmd, "Client", api.BuildVersion(version)); err != nil {
				return err
			}
			server, err := a.client().Version(cmd.Context())
			if err != nil {
				return err
			}
			return printVersion(cmd, "Server", server)
		},
	}
}

func printVersion(cmd *cobra.Command, who string, v api.Version) error {
	revision := v.Revision
	if revision == "" {
		revision = "unknown"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s:\n Version:    %s\n API:        %s\n Go version: %s\n Revision:   %s\n",
		who, clean(v.Version), clean(v.API), clean(v.GoVersion), clean(revision))
	return err
}
