package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vswitch/api"
)

func (a *app) allow() *cobra.Command {
	return a.addRule(&cobra.Command{
		Use:   "allow SEGMENT",
		Short: "Let frames pass between ports of a segment",
		Long: `Add a rule that lets frames pass from some ports of a segment to others, and print
its id. It is of use before a rule that denies more.
` + ruleHelp,
		Example: `  vsctl allow bridge --from web --to db --protocol tcp --port 5432 --at 1`,
	}, api.RuleAllow)
}

func (a *app) deny() *cobra.Command {
	return a.addRule(&cobra.Command{
		Use:   "deny SEGMENT",
		Short: "Drop frames between ports of a segment",
		Long: `Add a rule that drops frames from some ports of a segment to others, and print its
id.
` + ruleHelp,
		Example: `  vsctl deny bridge --to db
  vsctl deny bridge --from tier=front --to tier=back --protocol tcp --port 8000-8080`,
	}, api.RuleDeny)
}

const ruleHelp = `
The first rule that matches a frame decides; where none does the frame passes. Rules
keep no state: answers are frames of their own. ARP and neighbour discovery always
pass, and frames from and to the gateway are no rule's business.

--from and --to take a port, KEY=VALUE for all ports with that label, now or later, or
any. A rule that names a port goes with it. The rule is in force when the command
returns.`

// addRule completes a command that adds a rule.
func (a *app) addRule(cmd *cobra.Command, action api.RuleAction) *cobra.Command {
	spec, ports := api.RuleSpec{Action: action}, ""
	cmd.GroupID = groupRules
	cmd.Args = want(1, 1, "one SEGMENT")
	cmd.ValidArgsFunction = complete(a.segmentNames)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := read(ports, api.ParsePorts, &spec.Ports); err != nil {
			return err
		}
		rule, err := a.client().AddRule(cmd.Context(), args[0], spec)
		if err != nil {
			return err
		}
		return printLine(cmd, rule.ID)
	}
	flags := cmd.Flags()
	flags.Var((*endFlag)(&spec.From), "from", "the ports that frames come from (default any)")
	flags.Var((*endFlag)(&spec.To), "to", "the ports that frames go to (default any)")
	flags.Var(textFlag{(*string)(&spec.Protocol), "tcp|udp|icmp|any"}, "protocol", "the frames' protocol (default any)")
	flags.Var(textFlag{&ports, "N[-M]"}, "port", "the destination port of TCP or UDP, or a range (default all)")
	flags.IntVar(&spec.Position, "at", 0, "put the rule at this `POSITION`, 1 for the first (default behind all others)")
	completeFlag(cmd, "from", a.portNames)
	completeFlag(cmd, "to", a.portNames)
	completeFlag(cmd, "protocol", func(*cobra.Command) []string {
		return []string{
			string(api.ProtocolTCP), string(api.ProtocolUDP), string(api.ProtocolICMP), string(api.ProtocolAny),
		}
	})
	return cmd
}

// endFlag is an end of a rule.
type endFlag api.RuleEnd

// String, Set and Type implement [pflag.Value]. Nothing stands for the default.
func (e *endFlag) String() string {
	if *e == (endFlag{}) {
		return ""
	}
	return api.RuleEnd(*e).String()
}

// Type names the value in the help.
func (e *endFlag) Type() string { return "PORT|K=V|any" }

// Set tells labels from ports: no port's name has a '='.
func (e *endFlag) Set(s string) error {
	var text string
	if err := (textFlag{text: &text}).Set(s); err != nil {
		return err
	}
	switch {
	case text == "any":
		*e = endFlag{}
	case strings.Contains(text, "="):
		*e = endFlag{Label: text}
	default:
		*e = endFlag{Port: text}
	}
	return nil
}

func (a *app) delRule() *cobra.Command {
	return &cobra.Command{
		Use:     "del-rule SEGMENT ID...",
		GroupID: groupRules,
		Short:   "Delete rules",
		Long: `Delete rules of a segment, by id or the beginning of an id, and print what was given
for each that went. After a failure the other rules are deleted all the same.`,
		Example:           `  vsctl del-rule bridge 6b86b273ff34`,
		Args:              want(2, -1, "SEGMENT and at least one ID"),
		ValidArgsFunction: completeOf(a.segmentNames, a.ruleIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			return a.each(cmd, args[1:], func(id string) error {
				_, err := c.DeleteRule(cmd.Context(), args[0], id)
				return err
			})
		},
	}
}

func (a *app) listRules() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:     "list-rules [SEGMENT]",
		GroupID: groupRules,
		Short:   "List the rules",
		Long: `List the rules of a segment, or of all, in the order in which they are looked at. HITS
is how many frames a rule has decided on since SINCE: hits survive an upgrade, the end of
the process that carries frames and, under systemd, a restart; any other start of vswitchd
begins anew.
` + fmt.Sprintf(formatHelp, fields[api.Rule]()),
		Example: `  vsctl list-rules
  vsctl list-rules bridge --format '{{.Action}} {{.From}} {{.To}} {{.Hits}}'
  vsctl del-rule bridge $(vsctl list-rules bridge -q)`,
		Args:              want(0, 1, "at most one SEGMENT"),
		ValidArgsFunction: complete(a.segmentNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.check(); err != nil {
				return err
			}
			list, err := a.client().Rules(cmd.Context(), first(args))
			if err != nil {
				return err
			}
			return printObjects(cmd.OutOrStdout(), &l, list, func(r api.Rule) string { return r.ID }, []column[api.Rule]{
				{"RULE ID", func(r api.Rule) string { return l.id(r.ID) }},
				{"SEGMENT", func(r api.Rule) string { return r.Segment }},
				{"AT", func(r api.Rule) string { return strconv.Itoa(r.Position) }},
				{"ACTION", func(r api.Rule) string { return string(r.Action) }},
				{"FROM", func(r api.Rule) string { return r.From.String() }},
				{"TO", func(r api.Rule) string { return r.To.String() }},
				{"PROTOCOL", func(r api.Rule) string { return string(r.Protocol) }},
				{"PORT", func(r api.Rule) string { return r.Ports }},
				{"HITS", func(r api.Rule) string { return decimal(r.Hits) }},
				{"SINCE", func(r api.Rule) string { return since(r.Since) }},
			})
		},
	}
	l.register(cmd)
	return cmd
}
