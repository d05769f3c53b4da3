package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) publish() *cobra.Command {
	return &cobra.Command{
		Use:     "publish PORT [HOSTIP:]HOSTPORT:PORT[/tcp|udp]...",
		GroupID: groupPorts,
		Short:   "Have ports of the host lead to a container",
		Long: `Have a port of the host lead to a port of a container, and print what is published. A
port may be a range, such as 8000-8010. It is reachable on all addresses of the host,
127.0.0.1 among them, or on HOSTIP alone, from outside, from the host and from
containers. Clients outside are seen with their own addresses.

Without HOSTPORT, as in 80 or 127.0.0.1::80, one is chosen that is free. A port of the
host that another program has is refused; no other program gets it while it is
published.

Packets to published ports pass the chain "user" of the nftables table "inet vswitch",
where you can put rules of your own.`,
		Example: `  vsctl publish web 8080:80
  vsctl publish web 127.0.0.1:8443:443 192.0.2.1:80:80
  vsctl publish dns 53:53/udp 53:53/tcp
  vsctl publish media 8000-8010:8000-8010/udp`,
		Args:              want(2, -1, "PORT and at least one [HOSTIP:]HOSTPORT:PORT[/tcp|udp]"),
		ValidArgsFunction: complete(a.portNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			specs, err := parseAll(args[1:], api.ParsePublish)
			if err != nil {
				return err
			}
			c := a.client()
			return a.eachDone(cmd, args[1:], func(text string) (string, error) {
				published, err := c.Publish(cmd.Context(), args[0], specs[text])
				return clean(published.String()), err
			})
		},
	}
}

func (a *app) unpublish() *cobra.Command {
	return &cobra.Command{
		Use:     "unpublish PORT [HOSTIP:]HOSTPORT[:PORT][/tcp|udp]...",
		GroupID: groupPorts,
		Short:   "End what publish began",
		Long: `Have ports of the host lead to a container no more, and print what was given for each.
TCP connections that are there go on. After a failure the others are ended all the same.`,
		Example: `  vsctl unpublish web 8080
  vsctl unpublish media 8000-8010:8000-8010/udp`,
		Args:              want(2, -1, "PORT and at least one [HOSTIP:]HOSTPORT[:PORT][/tcp|udp]"),
		ValidArgsFunction: completeOf(a.portNames, a.published),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := parseAll(args[1:], api.ParsePublished)
			if err != nil {
				return err
			}
			c := a.client()
			return a.each(cmd, args[1:], func(text string) error {
				_, err := c.Unpublish(cmd.Context(), args[0], keys[text])
				return err
			})
		},
	}
}

// parseAll reads all texts before anything is done with the first.
func parseAll[T any](texts []string, parse func(string) (T, error)) (map[string]T, error) {
	parsed := make(map[string]T, len(texts))
	for _, text := range texts {
		v, err := parse(text)
		if err != nil {
			return nil, usageError{err}
		}
		parsed[text] = v
	}
	return parsed, nil
}

func (a *app) listPublished() *cobra.Command {
	f := format{text: "table"}
	cmd := &cobra.Command{
		Use:     "list-published [SEGMENT]",
		GroupID: groupPorts,
		Short:   "List the published ports",
		Long: `List what the ports of a segment publish, or those of all. STATE is up, or says why
it cannot be reached.
` + fmt.Sprintf(formatHelp, fields[api.Published]()),
		Example: `  vsctl list-published
  vsctl list-published bridge --format '{{.Port}} {{.HostPorts}}'`,
		Args:              want(0, 1, "at most one SEGMENT"),
		ValidArgsFunction: complete(a.segmentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.client().Published(cmd.Context(), first(args))
			if err != nil {
				return err
			}
			return printList(cmd.OutOrStdout(), &f, list, []column[api.Published]{
				{"PORT", func(p api.Published) string { return p.Port }},
				{"SEGMENT", func(p api.Published) string { return p.Segment }},
				{"HOST", func(p api.Published) string { return p.HostIP.String() + ":" + p.HostPorts.String() }},
				{"TO", func(p api.Published) string { return p.IP.String() + ":" + p.Ports.String() }},
				{"PROTOCOL", func(p api.Published) string { return string(p.Protocol) }},
				{"STATE", func(p api.Published) string {
					if p.Reason != "" {
						return p.Reason
					}
					return string(api.PortUp)
				}},
			})
		},
	}
	formatFlag(cmd, &f)
	return cmd
}
