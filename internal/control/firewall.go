package control

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/cenkalti/backoff/v5"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/view"
	"vswitch/internal/host"
)

// firewall has the host's kernel do what each snapshot wants of it, by an nftables table: forward,
// masquerade, isolate the segments, and lead published ports to containers. What fails is logged,
// shown at the host links, and tried again. Until then containers reach the host and no farther.
type firewall struct {
	*core
	table   kernel.Ruleset // nil: it is not open yet, or not to be used
	opened  chan struct{}  // closed once it is open
	problem string         // why containers reach the host and no farther; empty: they do

	applied *view.Firewall // what the kernel does; nil: not known
	failed  *view.Firewall // what the kernel could not do, until that is tried again; nil: nothing
	flows   []host.Forward // by which clients may have flows; nil: nothing was applied yet

	retry  *time.Timer // runs while something is to be tried again
	pauses *backoff.ExponentialBackOff
}

func newFirewall(c *core) *firewall {
	return &firewall{core: c, opened: make(chan struct{}), pauses: newPauses()}
}

// open opens the table, if the configuration has one, for the snapshots to come.
func (fw *firewall) open() {
	if fw.config.NAT {
		fw.adopt(fw.kernel.OpenRuleset(fw.log, fw.config.SysctlDir))
	}
}

// adopt follows that the table was opened, or that this has failed.
func (fw *firewall) adopt(table kernel.Ruleset, err error) {
	if err != nil {
		fw.setNATError(err)
		fw.tryAgain(fw.reopen)
		return
	}
	fw.table = table
	close(fw.opened)
}

// reopen opens the table once more. The lock is taken when that is done.
func (fw *firewall) reopen() {
	table, err := fw.kernel.OpenRuleset(fw.log, fw.config.SysctlDir)
	fw.lock()
	defer fw.unlockSoon()
	fw.retry = nil
	switch {
	case !fw.closed:
		fw.adopt(table, err)
	case err == nil:
		fw.logFailure("close the nftables table", table.Close())
	}
}

// run puts the table back when others have changed it, from when there is one until ctx ends.
func (fw *firewall) run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-fw.opened:
		return fw.table.Run(ctx)
	}
}

// setNATError notes why containers reach the host and no farther; nil: they do.
func (fw *firewall) setNATError(err error) {
	was := fw.problem
	fw.problem = ""
	if err != nil {
		fw.problem = "no way out beyond the host: " + err.Error()
	}
	switch {
	case fw.problem == was:
	case err != nil:
		fw.log.Warn("containers reach the host and no farther", "error", err)
	default:
		fw.log.Info("containers reach beyond the host again")
	}
}

// way is the way from the host on, as it is.
func (fw *firewall) way() view.Way {
	w := view.Way{Problem: fw.problem}
	if fw.table != nil {
		w.Foreign = fw.table.Foreign
	}
	return w
}

// follow has the kernel do what the snapshot wants. What has failed is not tried again before its
// time, unless something else is wanted by then.
func (fw *firewall) follow(now *view.Snapshot) {
	if fw.table == nil || fw.closed {
		return
	}
	want := now.Firewall()
	if fw.failed != nil && fw.failed.Equal(want) {
		return
	}
	err := fw.apply(want)
	fw.setNATError(err)
	if err != nil {
		fw.failed = want
		fw.tryAgain(func() {
			fw.lock()
			defer fw.unlockSoon()
			fw.failed, fw.retry = nil, nil
		})
		return
	}
	fw.failed = nil
	fw.stop()
	fw.pauses.Reset()
}

// try has the kernel do what a snapshot wants that is not published yet, for a change that is
// refused when that fails: the next snapshot, without the change, has it taken back. Where the
// kernel can do nothing of the kind, or is not to, there is no error.
func (fw *firewall) try(next *view.Snapshot) error {
	if fw.table == nil || fw.closed {
		return nil
	}
	if err := fw.apply(next.Firewall()); err != nil && !errors.Is(err, host.ErrMissing) {
		return api.Internalf("%w", err)
	}
	return nil
}

// apply has the kernel do what is wanted, unless it does already. An error says that it does what
// it did.
func (fw *firewall) apply(want *view.Firewall) error {
	if fw.applied != nil && fw.applied.Equal(want) {
		return nil
	}
	fw.applied = nil
	config := want.Config
	config.NoDrop = fw.config.ForwardNoDrop
	if err := fw.table.Apply(config); err != nil {
		return err
	}
	fw.applied = want
	fw.forgetFlows(want.Config.Forwards)
	return nil
}

// tryAgain calls f after a pause, which is longer each time, unless something is to be tried again
// already.
func (fw *firewall) tryAgain(f func()) {
	if fw.retry == nil {
		fw.retry = time.AfterFunc(fw.pauses.NextBackOff(), f)
	}
}

// stop has nothing tried again.
func (fw *firewall) stop() {
	if fw.retry != nil {
		fw.retry.Stop()
		fw.retry = nil
	}
}

// flow is by what clients send datagrams to a container.
type flow struct {
	at          netip.Addr // the host's
	first, last uint16     // ports of the host
}

// forgetFlows has the kernel forget, once the lock is given back, the flows of datagrams that were
// led in another way before these forwards came into force. Connections of TCP end by themselves.
// What the process before had in force goes on.
func (fw *firewall) forgetFlows(forwards []host.Forward) {
	before := fw.flows
	fw.flows = append([]host.Forward{}, forwards...)
	if before == nil {
		return
	}
	old := make(map[host.Forward]bool, len(before))
	for _, f := range before {
		old[f] = true
	}
	changed := make(map[flow]bool)
	for _, f := range forwards {
		if !old[f] {
			changed[flowOf(f)] = f.Protocol == host.UDP
		}
		delete(old, f)
	}
	for f := range old {
		changed[flowOf(f)] = f.Protocol == host.UDP
	}
	for f, udp := range changed {
		if udp {
			fw.afterwards = append(fw.afterwards, func() { fw.forget(f) })
		}
	}
}

func flowOf(f host.Forward) flow {
	return flow{f.HostIP, f.HostPort, f.HostPort + uint16(max(f.Count, 1)-1)}
}

// forget looks through all that the kernel tracks.
func (fw *firewall) forget(f flow) {
	if err := fw.kernel.ForgetUDP(f.at, f.first, f.last); err != nil {
		fw.log.Warn("datagrams of clients that have sent some before may go the old way",
			"error", err)
	}
}

// close leaves all as it is for the next start, or removes it.
func (fw *firewall) close(remove bool) {
	fw.stop()
	if fw.table == nil {
		return
	}
	if remove {
		fw.logFailure("take back the way out", fw.table.Remove())
	}
	fw.logFailure("close the nftables table", fw.table.Close())
}
