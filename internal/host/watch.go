package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
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

// Run puts the table back whenever others have changed or removed it, until ctx
// ends or the table is closed, and returns nil then. Against somebody who keeps
// removing it there is a bound: see [pace]. After an error it may be called again:
// it opens the socket anew and begins with a look at what was missed.
func (t *Table) Run(ctx context.Context) error {
	conn, anew, err := t.reopen()
	if err != nil || conn == nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed, failed := make(chan struct{}, 1), make(chan error, 1)
	if anew {
		note(changed)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // ends a Receive under way
	defer stop()
	go func() { failed <- t.hear(ctx, conn, changed) }()
	return t.follow(changed, failed)
}

// follow looks at the ruleset whenever changed says so, until failed has how that ended.
func (t *Table) follow(changed chan struct{}, failed <-chan error) error {
	pace := newPace(time.Now())
	var others <-chan time.Time // when to look at the rules of others; nil: nothing is new
	for {
		select {
		case err := <-failed:
			return err
		case <-others:
			others = nil
			t.lookAtOthers()
			continue
		case <-changed:
		}
		if others == nil {
			others = time.After(othersDelay)
		}
		select {
		case err := <-failed:
			return err
		case <-time.After(settle): // whoever is at it may not be done
		}
		wait := rest
		switch done, err := t.repair(); {
		case err != nil:
			t.log.Error("nftables table not put back", "table", t.table.Name, "error", err)
			note(changed)
			wait = paceInterval
		case done:
			wait = pace.next(time.Now())
		}
		select {
		case err := <-failed:
			return err
		case <-time.After(wait):
		}
	}
}

// settle is how long the ruleset is left alone after a change before it is looked
// at, and rest how long after a look that has found nothing: there are machines on
// which it changes all the time.
const (
	settle = 50 * time.Millisecond
	rest   = 200 * time.Millisecond
)

// othersDelay is how long after a change the rules of others are looked at, which may
// be many.
const othersDelay = 2 * time.Second

func (t *Table) lookAtOthers() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed && t.applied != nil {
		t.warn()
	}
}

// hear fills changed after each transaction. Which one it was is not looked at:
// events can be lost, and what matters is what is there now.
func (t *Table) hear(ctx context.Context, conn *netlink.Conn, changed chan<- struct{}) error {
	for {
		_, err := conn.Receive()
		failed := err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR)
		switch {
		case t.ended(ctx, failed):
			return nil
		case failed:
			conn.Close()
			return fmt.Errorf("watch the nftables ruleset: %w", err)
		}
		note(changed)
	}
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

// note fills changed unless it is full.
func note(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

// repair puts the table back if it is not as Apply has left it.
func (t *Table) repair() (done bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.applied == nil {
		return false, nil
	}
	// An error is that of a table which goes away while we look.
	if now, err := t.fingerprint(); err == nil && now == t.seen {
		return false, nil
	}
	if err := t.replace(*t.applied); err != nil {
		return false, err
	}
	t.log.Warn("nftables table was changed by others: put back", "table", t.table.Name)
	return true, nil
}

// pace bounds repairs: some at once, then one per interval, so that two programs
// that both insist do not keep the machine busy. It is a bucket of tokens.
type pace struct {
	tokens float64
	last   time.Time
}

const (
	paceBurst    = 10
	paceInterval = 5 * time.Second
)

func newPace(now time.Time) *pace { return &pace{tokens: paceBurst, last: now} }

// next counts a repair made now and says how long to wait before another one.
func (p *pace) next(now time.Time) time.Duration {
	p.tokens = min(paceBurst, p.tokens+float64(now.Sub(p.last))/float64(paceInterval)) - 1
	p.last = now
	if p.tokens >= 0 {
		return 0
	}
	return time.Duration(-p.tokens * float64(paceInterval))
}
