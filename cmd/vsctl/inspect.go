package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) inspect() *cobra.Command {
	f := format{text: "json"}
	cmd := &cobra.Command{
		Use:     "inspect SEGMENT...",
		GroupID: groupSegments,
		Short:   `Describe segments in the shape of "docker network inspect"`,
		Long: `Describe segments as one JSON array in the shape of "docker network inspect", with
the containers filled in. Segments that do not exist are reported, and the others
described all the same.
` + fmt.Sprintf(formatHelp, fields[api.Inspect]()),
		Example: `  vsctl inspect bridge
  vsctl inspect bridge --format '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{"\n"}}{{end}}'`,
		Args:              want(1, -1, "at least one SEGMENT"),
		ValidArgsFunction: completeEach(a.segmentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.text == "table" {
				return usagef("inspect has no table: use --format json or a Go template")
			}
			c := a.client()
			var (
				found  []api.Inspect
				failed bool
			)
			for _, ref := range args {
				in, err := c.Inspect(cmd.Context(), ref)
				if hopeless(cmd, err) {
					return err
				}
				if err != nil {
					a.complain(cmd, err)
					failed = true
					continue
				}
				found = append(found, in)
			}
			if err := printList(cmd.OutOrStdout(), &f, found, nil); err != nil {
				return err
			}
			if failed {
				return errReported
			}
			return nil
		},
	}
	cmd.Flags().Var(&f, "format", "json or a Go `TEMPLATE`")
	completeFlag(cmd, "format", func(*cobra.Command) []string { return []string{"json"} })
	return cmd
}
