package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"

	"vswitch/api"
)

// upgradeTimeout is what --timeout is for upgrade by default: longer than vswitchd lets a program
// take to come up, then to be ready, and the one before to be ready again after that.
const upgradeTimeout = 2 * time.Minute

func (a *app) upgrade() *cobra.Command {
	return &cobra.Command{
		Use:     "upgrade [BINARY]",
		GroupID: groupSwitch,
		Short:   "Replace the running vswitchd by another program",
		Long: `upgrade has vswitchd's supervising process start BINARY, or vswitchd as it is on
disk now, and hand all ports over to it once it is up; frames wait for some
milliseconds meanwhile. When it does not come up, or ends or hangs before it is
ready, the program before goes on and the command fails with the reason. It waits
for that for up to 2 minutes, unless --timeout says otherwise.

vswitchd runs as root. From a user who is not root it takes only a BINARY that is
a vswitchd, belongs to root, as do all directories above it, and is writable by
nobody else.`,
		Example: `  vsctl upgrade
  vsctl upgrade /opt/vswitch/vswitchd`,
		Args:              want(0, 1, "at most one BINARY"),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: func(cmd *cobra.Command, args []string) error {
			var spec api.UpgradeSpec
			if len(args) > 0 {
				var err error
				if spec.Binary, err = filepath.Abs(args[0]); err != nil {
					return err
				}
			}
			if !cmd.Flags().Changed("timeout") {
				a.timeout = upgradeTimeout
			}
			client := a.client()
			before, err := client.Version(cmd.Context())
			if err != nil {
				return err
			}
			told, err := a.replaceDaemon(cmd.Context(), client, spec)
			if err != nil {
				return err
			}
			after, err := client.Version(cmd.Context())
			if err != nil {
				return err
			}
			if after.PID == before.PID {
				return fmt.Errorf("vswitchd %s still runs as process %d: see its log", clean(before.Version), before.PID)
			}
			if !told && after.Version == before.Version {
				a.complain(cmd, errors.New("this vswitchd does not tell whether it went back to the program before: "+
					"see its log, and restart it as a whole to have later upgrades tell"))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "vswitchd %s (process %d) replaced by %s (process %d)\n",
				clean(before.Version), before.PID, clean(after.Version), after.PID)
			return err
		},
	}
}

// replaceDaemon has the daemon replaced and waits for what comes of it. It is false where
// the daemon does not tell that: then another process serves at least, if there was no error.
func (a *app) replaceDaemon(
	ctx context.Context, client *api.Client, spec api.UpgradeSpec,
) (told bool, err error) {
	switch _, err := client.Upgrades(ctx); {
	case err == nil:
		spec.ID = api.NewUpgradeID()
	case !tellsNothing(err):
		return false, err
	default: // nor does it know of ids
		return false, client.Upgrade(ctx, spec)
	}
	// The process that is asked may end before it answers, and the upgrade goes on.
	asked := client.Upgrade(ctx, spec)
	if asked != nil && !cutOff(ctx, asked) {
		return true, asked
	}
	outcome, err := a.awaitOutcome(ctx, client, spec.ID)
	switch {
	case errors.Is(err, errUpgradeUnknown) && asked != nil:
		return true, asked
	case tellsNothing(err): // by the new program, which is of an older version
		return true, nil
	case err != nil:
		return true, fmt.Errorf("not known what came of the upgrade: %w", err)
	case outcome.State != api.UpgradeFailed:
		return true, nil
	}
	goesOn := ""
	if now, err := client.Version(ctx); err == nil {
		goesOn = fmt.Sprintf(" as process %d", now.PID)
	}
	return true, fmt.Errorf("not upgraded: %s: the program before goes on%s", clean(outcome.Reason), goesOn)
}

var (
	errUpgradeUnknown = errors.New("vswitchd was restarted as a whole meanwhile: see its log")
	errUnderWay       = errors.New("it is still under way: see the log of vswitchd")
)

// awaitOutcome asks what came of an upgrade, whichever process answers, until that is known.
func (a *app) awaitOutcome(
	ctx context.Context, client *api.Client, id string,
) (api.Upgrade, error) {
	return backoff.Retry(ctx, func() (api.Upgrade, error) {
		list, err := client.Upgrades(ctx)
		if err != nil && !cutOff(ctx, err) {
			return api.Upgrade{}, backoff.Permanent(err)
		}
		if err != nil {
			return api.Upgrade{}, err
		}
		i := slices.IndexFunc(list, func(u api.Upgrade) bool { return u.ID == id })
		switch {
		case i < 0:
			return api.Upgrade{}, backoff.Permanent(errUpgradeUnknown)
		case list[i].State == api.UpgradeUnderWay:
			return api.Upgrade{}, errUnderWay
		}
		return list[i], nil
	}, backoff.WithMaxElapsedTime(a.timeout), backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 10 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 500 * time.Millisecond,
	}))
}

// tellsNothing says whether err is that of a daemon, or of a process that supervises it, which does
// not tell what comes of upgrades.
func tellsNothing(err error) bool {
	return api.KindOf(err) == api.NotFound || api.KindOf(err) == api.Unsupported
}

// cutOff says whether err is that of a process which ended before it had answered, while its
// socket is still there.
func cutOff(ctx context.Context, err error) bool {
	_, unreachable := errors.AsType[*api.UnreachableError](err)
	return api.KindOf(err) == api.Unavailable && !unreachable &&
		!errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
}
