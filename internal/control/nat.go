package control

import (
	"errors"
	"time"

	"vswitch/api"
	"vswitch/internal/control/view"
	"vswitch/internal/host"
)

// openNAT gets hold of what the host's kernel does for segments with a host link:
// forwarding, masquerade, the wall. Where it cannot be had, containers reach the
// host and no farther.
func (d *Control) openNAT() {
	if !d.config.NAT {
		return
	}
	var err error
	d.table, err = host.Open(host.Options{Log: d.log, SysctlDir: d.config.SysctlDir})
	if err != nil {
		d.noWayOut(err)
	}
}

// noWayOut notes why containers reach the host and no farther; nil: they do.
func (d *Control) noWayOut(err error) {
	was := d.natProblem
	d.natProblem = ""
	if err != nil {
		d.natProblem = "no way out beyond the host: " + err.Error()
	}
	if d.natProblem != "" && d.natProblem != was {
		d.log.Warn("containers reach the host and no farther", "error", err)
	}
}

// beyondHost says why containers reach the host and no farther; empty: they do.
func (d *Control) beyondHost() string { return d.way().Beyond() }

// way is the way from the host on, as it is.
func (d *Control) way() view.Way {
	w := view.Way{Problem: d.natProblem}
	if d.table != nil {
		w.Foreign = d.table.Foreign
	}
	return w
}

// natConfig is what the host's kernel is to do.
func (d *Control) natConfig() host.Config {
	c := host.Config{Forwards: d.forwards()}
	for _, s := range d.segments {
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
func (d *Control) applyNAT() error {
	if d.table == nil || d.closed {
		return nil
	}
	err := d.table.Apply(d.natConfig())
	d.noWayOut(err)
	if err == nil || errors.Is(err, host.ErrMissing) {
		return nil
	}
	if d.natRetry != nil {
		d.natRetry.Stop()
	}
	d.natRetry = time.AfterFunc(hostLinkRetry, func() {
		d.lock()
		defer d.unlockSoon()
		_ = d.applyNAT()
	})
	return api.Internalf("%w", err)
}

// closeNAT leaves all as it is for the next start, or takes it away if ports are removed
// as well.
func (d *Control) closeNAT() {
	if d.natRetry != nil {
		d.natRetry.Stop()
	}
	if d.table == nil {
		return
	}
	if d.removes {
		d.logFailure("take back the way out", d.table.Remove())
	}
	d.logFailure("close the nftables table", d.table.Close())
}
