package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vswitch/api"
	"vswitch/internal/wellformed"
)

const (
	defaultSocket  = "/run/vswitch/vswitchd.sock"
	socketVariable = "VSWITCH_SOCKET"
	defaultTimeout = 30 * time.Second
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// Groups of commands in the help.
const (
	groupSegments = "segments"
	groupPorts    = "ports"
	groupRules    = "rules"
	groupTables   = "tables"
	groupSwitch   = "switch"
)

// app is what one run of vsctl shares between its commands.
type app struct {
	socket  string
	timeout time.Duration
	stderr  io.Writer
	running bool // flags and arguments were right, and the command has begun
}

// usageError is wrong usage that a command itself finds.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errReported ends a command that has told of its failures already.
var errReported = errors.New("reported")

// run is vsctl without its process: it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := &app{stderr: stderr}
	root := a.rootCommand(cmp.Or(getenv(socketVariable), defaultSocket))
	root.SetArgs(append([]string{}, args...)) // never nil, for which cobra takes the process's
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	addCompletion(root)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[usageError](err); ok || !a.running {
		a.complain(cmd, fmt.Errorf("%s: see \"%s --help\"", oneLine(err.Error()), cmd.CommandPath()))
		return exitUsage
	}
	if !errors.Is(err, errReported) {
		a.complain(cmd, err)
	}
	return exitFailure
}

func (a *app) rootCommand(socket string) *cobra.Command {
	root := &cobra.Command{
		Use:   "vsctl",
		Short: "Steer the virtual switch vswitchd",
		Long: `vsctl steers vswitchd, a virtual switch that connects containers in user space.

Containers are attached as ports to segments. Containers of one segment reach each
other; those of different segments do not. Segments and ports are named by name, by
id or by the beginning of an id.

The exit status is 0, 1 for a failure and 2 for wrong usage.`,
		Example: `  vsctl add-segment my_bridge
  vsctl add-port container1 --netns c1
  vsctl add-port container3 --netns c3 --segment my_bridge
  vsctl list-ports`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.timeout <= 0 {
				return fmt.Errorf("--timeout %v: want more than nothing, such as 30s", a.timeout)
			}
			a.running = true
			return nil
		},
	}
	flags := root.PersistentFlags()
	a.socket = socket
	flags.Var(textFlag{&a.socket, "PATH"}, "socket", "the daemon's socket; the default is taken from $"+socketVariable)
	flags.DurationVar(&a.timeout, "timeout", defaultTimeout, "how long to wait for each of the daemon's answers")
	root.AddGroup(
		&cobra.Group{ID: groupSegments, Title: "Segments:"},
		&cobra.Group{ID: groupPorts, Title: "Ports:"},
		&cobra.Group{ID: groupRules, Title: "Rules:"},
		&cobra.Group{ID: groupTables, Title: "Tables:"},
		&cobra.Group{ID: groupSwitch, Title: "The switch:"},
	)
	root.AddCommand(
		a.addSegment(), a.setSegment(), a.delSegment(), a.listSegments(), a.inspect(),
		a.addPort(), a.delPort(), a.setPort(), a.listPorts(), a.stats(),
		a.publish(), a.unpublish(), a.listPublished(),
		a.allow(), a.deny(), a.delRule(), a.listRules(),
		a.addFDB(), a.delFDB(), a.flushFDB(), a.listFDB(), a.listARP(),
		a.listPools(), a.delPool(),
		a.show(), a.upgrade(), a.backup(), a.version(),
	)
	root.SetHelpCommand(helpCommand(root))
	return root
}

// addCompletion adds cobra's command, except that an unknown shell is an error
// instead of a call for help. The root's output must be set: cobra keeps it.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// helpCommand is cobra's, except that an unknown command is an error.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, _, err := root.Find(args)
			if err != nil {
				return usageError{err}
			}
			return cmd.Help()
		},
	}
}

func (a *app) client() *api.Client { return api.NewSocketClient(a.socket, a.timeout) }

// complain writes the one line of an error.
func (a *app) complain(cmd *cobra.Command, err error) {
	prefix := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name())
	if prefix != "" {
		prefix = strings.TrimPrefix(prefix, " ") + ": "
	}
	text := err.Error()
	if cmd.Context().Err() != nil {
		text = "interrupted"
	} else if e, ok := errors.AsType[*api.UnreachableError](err); ok {
		prefix, text = "", text+": "+remedy(e)
	}
	fmt.Fprintf(a.stderr, "%s: %s%s\n", cmd.Root().Name(), prefix, oneLine(text))
}

func remedy(e *api.UnreachableError) string {
	if errors.Is(e, fs.ErrPermission) {
		return "run vsctl as root or as a member of the socket's group"
	}
	return `start it with "vswitchd" or name its socket with --socket`
}

// oneLine makes one readable line of what cobra or a daemon may say in several.
func oneLine(s string) string {
	s = strings.Replace(s, "\n\nDid you mean this?\n\t", ", did you mean ", 1)
	return clean(strings.Join(strings.Fields(s), " "))
}

// clean keeps text from outside from steering the terminal.
func clean(s string) string { return wellformed.Clean(s) }

// want checks the number of arguments; max < 0 is any number. what names them. None is
// empty, as of a script's unset variable, which would mean another thing or all of them.
func want(min, max int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) >= min && (max < 0 || len(args) <= max) {
			if i := slices.Index(args, ""); i >= 0 {
				return fmt.Errorf("argument %d is empty: want %s", i+1, what)
			}
			return nil
		}
		if what == "" {
			return fmt.Errorf("want no arguments, got %q", args)
		}
		if len(args) == 0 {
			return fmt.Errorf("want %s, got no arguments", what)
		}
		return fmt.Errorf("want %s, got %q", what, args)
	}
}

// hopeless says whether further calls would fail for the same reason.
func hopeless(cmd *cobra.Command, err error) bool {
	_, unreachable := errors.AsType[*api.UnreachableError](err)
	return unreachable || cmd.Context().Err() != nil
}

// each calls f for every name, goes on after a failure and prints the names that
// succeeded, as docker does.
func (a *app) each(cmd *cobra.Command, names []string, f func(name string) error) error {
	return a.eachDone(cmd, names, func(name string) (string, error) { return name, f(name) })
}

// eachDone is each for what is known by another name when it is done.
func (a *app) eachDone(cmd *cobra.Command, names []string, f func(name string) (done string, err error)) error {
	failed := false
	for _, name := range names {
		done, err := f(name)
		if err != nil {
			if hopeless(cmd, err) {
				return err
			}
			a.complain(cmd, err)
			failed = true
			continue
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), done); err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}
