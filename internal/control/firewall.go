package control

import (
	"errors"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/view"
	"vswitch/internal/host"
)

// firewall is what the host's kernel does for segments with a host link, by an nftables table.
type firewall struct {
	*core
	table   kernel.Ruleset // nil: the kernel has nothing of the kind
	problem string         // why containers reach the host and no farther
	retry   *time.Timer    // runs while what the kernel is to do is not done
}

// openNAT gets hold of what the host's kernel does for segments with a host link:
// forwarding, masquerade, the wall. Where it cannot be had, containers reach the
// host and no farther.
func (fw *firewall) openNAT() {
	if !fw.config.NAT {
		return
	}
	var err error
	fw.table, err = fw.kernel.OpenRuleset(fw.log, fw.config.SysctlDir)
	if err != nil {
		fw.noWayOut(err)
	}
}

// noWayOut notes why containers reach the host and no farther; nil: they do.
func (fw *firewall) noWayOut(err error) {
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

// beyondHost says why containers reach the host and no farther; empty: they do.
func (fw *firewall) beyondHost() string { return fw.way().Beyond() }

// way is the way from the host on, as it is.
func (fw *firewall) way() view.Way {
	w := view.Way{Problem: fw.problem}
	if fw.table != nil {
		w.Foreign = fw.table.Foreign
	}
	return w
}

// natConfig is what the host's kernel is to do.
func (fw *firewall) natConfig() host.Config {
	c := host.Config{Forwards: fw.forwards(), NoDrop: fw.config.ForwardNoDrop}
	for _, s := range fw.allSegments {
		if s.host == nil {
			continue
		}
		c.Segments = append(c.Segments, host.Segment{
			ID: s.record.ID, Link: s.host.name, Subnet: s.record.IPv4().Prefix, Gateway: s.record.IPv4().Gateway, Masquerade: true,
		})
	}
	return c
}

// applyNAT has the host's kernel do what the segments want now, or leaves it as it
// was. What fails is logged and shown at the host links, and tried again; the error
// is for who wants more than that. Where the kernel can do nothing of the kind, or
// is not to, there is none.
func (fw *firewall) applyNAT() error {
	if fw.table == nil || fw.closed {
		return nil
	}
	err := fw.table.Apply(fw.natConfig())
	fw.noWayOut(err)
	if err == nil || errors.Is(err, host.ErrMissing) {
		return nil
	}
	if fw.retry != nil {
		fw.retry.Stop()
	}
	fw.retry = time.AfterFunc(hostLinkRetry, func() {
		fw.lock()
		defer fw.unlockSoon()
		_ = fw.applyNAT()
	})
	return api.Internalf("%w", err)
}

// closeNAT leaves all as it is for the next start, or removes it.
func (fw *firewall) closeNAT(remove bool) {
	if fw.retry != nil {
		fw.retry.Stop()
	}
	if fw.table == nil {
		return
	}
	if remove {
		fw.logFailure("take back the way out", fw.table.Remove())
	}
	fw.logFailure("close the nftables table", fw.table.Close())
}
