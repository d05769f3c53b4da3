package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// listen opens a socket that hears of each nftables transaction.
func (t *Table) listen() (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(t.ns.Fd()), Groups: 0})
	if err != nil {
		return nil, err
	}
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		conn.Close()
		return nil, err
	}
	_ = conn.SetReadBuffer(1 << 20) // else the default must do
	return conn, nil
}

// reopen returns the socket that hears of changes, opened anew if it had failed.
func (t *Table) reopen() (conn *netlink.Conn, anew bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.changes != nil {
		return t.changes, false, nil
	}
	if t.changes, err = t.listen(); err != nil {
		t.changes = nil
		return nil, false, fmt.Errorf("watch the nftables ruleset: %w", err)
	}
	return t.changes, true, nil
}

// Run puts the table back whenever others have changed or removed it, and looks at the rules of
// others at first and when those have changed, until ctx ends or the table is closed, and returns
// nil then. Against somebody who keeps removing the table there is a bound: see paceBurst. After an
// error it may be called again: it opens the socket anew and begins with a look at what was missed.
func (t *Table) Run(ctx context.Context) error {
	conn, anew, err := t.reopen()
	if err != nil || conn == nil {
		return err
	}
	if anew {
		note(t.changed)
	}
	note(t.foreign)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // ends a Receive under way
	defer stop()
	tasks, running := errgroup.WithContext(ctx)
	tasks.Go(func() error {
		defer cancel()
		return t.hear(ctx, conn)
	})
	tasks.Go(func() error {
		t.keep(running)
		return nil
	})
	tasks.Go(func() error {
		t.keepInspecting(running)
		return nil
	})
	return tasks.Wait()
}

// hear notes after each transaction whose rules it may have changed. What was changed is not
// followed: events can be lost, and what matters is what is there now.
func (t *Table) hear(ctx context.Context, conn *netlink.Conn) error {
	for {
		messages, err := conn.Receive()
		missed := errors.Is(err, unix.ENOBUFS)
		failed := err != nil && !missed && !errors.Is(err, unix.EINTR)
		switch {
		case t.ended(ctx, failed):
			return nil
		case failed:
			conn.Close()
			return fmt.Errorf("watch the nftables ruleset: %w", err)
		}
		ours, others := t.concerns(messages)
		if ours || missed {
			note(t.changed)
		}
		if others || missed {
			note(t.foreign)
		}
	}
}

// headerSize is that of struct nfgenmsg (include/uapi/linux/netfilter/nfnetlink.h).
const headerSize = 4

// concerns reports whether messages tell of a change of our table, other than by its editor, and
// of the tables, chains or rules of others. Elements of sets decide nothing that we want to know of
// others.
func (t *Table) concerns(messages []netlink.Message) (ours, others bool) {
	editor := t.editorPort.Load()
	for _, m := range messages {
		kind := m.Header.Type & 0xff // the rest is the subsystem, which is NFNL_SUBSYS_NFTABLES
		if kind == unix.NFT_MSG_NEWGEN || len(m.Data) < headerSize ||
			editor != 0 && m.Header.PID == editor {
			continue
		}
		switch {
		case m.Data[0] == byte(t.table.Family) && tableOf(m) == t.table.Name:
			ours = true
		case kind <= unix.NFT_MSG_DELRULE:
			others = true
		}
	}
	return ours, others
}

// tableOf returns the name of the table that a message is about: the first attribute of all kinds
// (include/uapi/linux/netfilter/nf_tables.h).
func tableOf(m netlink.Message) string {
	attributes, err := netlink.NewAttributeDecoder(m.Data[headerSize:])
	if err != nil {
		return ""
	}
	for attributes.Next() {
		if attributes.Type() == unix.NFTA_TABLE_NAME {
			return attributes.String()
		}
	}
	return ""
}

// ended says whether Run is to end. A socket that has failed is forgotten.
func (t *Table) ended(ctx context.Context, failed bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if failed {
		t.changes = nil
	}
	return ctx.Err() != nil || t.closed
}

// note fills a channel unless it is full.
func note(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

// settle is how long the ruleset is left alone after a change before it is looked
// at, and rest how long after a look that has found nothing: there are machines on
// which it changes all the time.
const (
	settle = 50 * time.Millisecond
	rest   = 200 * time.Millisecond
)

// foreignDelay is how long after a change the rules of others are looked at, which may
// be many. A firewall that is loaded anew is complete by then.
const foreignDelay = 2 * time.Second

// keep looks at the table whenever it may have changed, until ctx ends.
func (t *Table) keep(ctx context.Context) {
	pace := newPace()
	for await(ctx, t.changed) {
		if !pause(ctx, settle) { // whoever is at it may not be done
			return
		}
		wait := rest
		switch done, err := t.repair(); {
		case err != nil:
			t.log.Error("nftables table not put back", "table", t.table.Name, "error", err)
			note(t.changed)
			wait = paceInterval
		case done:
			wait = pace.Reserve().Delay()
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// keepInspecting looks at the rules of others at once and whenever they have changed, until ctx
// ends.
func (t *Table) keepInspecting(ctx context.Context) {
	delay := time.Duration(0)
	for await(ctx, t.foreign) && pause(ctx, delay) {
		select {
		case <-t.foreign: // the look sees what has changed meanwhile too
		default:
		}
		if t.inUse() {
			t.inspect()
		}
		delay = foreignDelay
	}
}

// inUse reports whether there is a table to be in the way of.
func (t *Table) inUse() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.applied && !t.closed
}

// await waits for a note, and reports whether it came before the end of ctx.
func await(ctx context.Context, changed <-chan struct{}) bool {
	select {
	case <-changed:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// pause waits for d, and reports whether ctx has not ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// repair puts the table back if it is not as we have left it. Changes that we make do not wait
// for the look, which takes as long as there are elements; one that is made meanwhile makes the
// look void.
func (t *Table) repair() (done bool, err error) {
	for range attempts {
		version, want, wanted := t.expected()
		if !wanted || t.unchanged(want) {
			return false, nil
		}
		t.mu.Lock()
		if t.version == version {
			defer t.mu.Unlock()
			return t.putBack(want)
		}
		t.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || !t.applied || t.unchanged(t.left) {
		return false, nil
	}
	return t.putBack(t.left)
}

// expected returns what the table should be, if there is to be one, and which of our changes has
// left it so.
func (t *Table) expected() (version uint64, want snapshot, wanted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.version, t.left, t.applied && !t.closed
}

// unchanged reports whether the table in the kernel is as want says.
func (t *Table) unchanged(want snapshot) bool {
	var found snapshot
	err := t.talk(func(s *session) (err error) {
		found, _, err = s.look()
		return err
	})
	// An error is that of a table which goes away while we look.
	return err == nil && found.objects == want.objects && found.content.equal(want.content)
}

func (t *Table) putBack(want snapshot) (done bool, err error) {
	if t.closed {
		return false, nil
	}
	t.intact = false
	if err := t.build(want.content); err != nil {
		return false, err
	}
	t.log.Warn("nftables table was changed by others: put back", "table", t.table.Name)
	return true, nil
}

// Repairs are bounded: paceBurst at once, then one per paceInterval, so that two programs
// that both insist do not keep the machine busy.
const (
	paceBurst    = 10
	paceInterval = 5 * time.Second
)

func newPace() *rate.Limiter { return rate.NewLimiter(rate.Every(paceInterval), paceBurst) }
