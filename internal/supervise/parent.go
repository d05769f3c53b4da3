package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Run starts the child and keeps it running until ctx ends; then it asks the
// child to end by SIGTERM and returns nil once it has. A child that dies, in
// whatever way, is started again with all its files and all descriptors that it
// had kept: at once the first time, after growing pauses of 10 seconds at most
// while it keeps dying, and at once again after it has been ready for half a second.
//
// Run gives up only on a child that ends by itself before any has ever been ready:
// its configuration is wrong, and starting it again would not help. Then, and when
// the child fails to stop as it was asked to, the error is an [*ExitError]. A
// child's exit status has no meaning beyond that: a Go program that panics exits
// with 2 as well.
//
// Run waits for all that it started: no process, goroutine or descriptor is left.
// If the parent is killed, the kernel kills its child.
func Run(ctx context.Context, options Options) error {
	if options.Stored != nil {
		defer options.Stored.Close()
	}
	options, err := options.withDefaults()
	if err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	p := &parent{
		options: options,
		log:     options.Log,
		delays:  newDelays(),
		inbox:   make(chan func()),
		done:    make(chan struct{}),
	}
	defer p.store.close()
	if err := p.fill(); err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	if p.binary, err = openBinary(options.Binary); err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	defer func() { p.binary.close() }() // the one of the end
	if p.listener, err = listen(); err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	p.tasks.Go(p.receive)
	p.begin()
	p.loop(ctx)
	close(p.done)
	p.listener.close()
	p.tasks.Wait()
	return p.result
}

// parent is the state of [Run]. Goroutines that wait for something post functions
// to its inbox; its loop runs them one after another, and so all below needs no
// lock.
type parent struct {
	options  Options
	log      *slog.Logger
	listener *listener
	inbox    chan func()
	done     chan struct{} // closed when the loop has ended
	tasks    sync.WaitGroup

	store   store
	active  *worker     // does the work; nil between two of them
	binary  *binary     // what is started when the active child has died
	delays  *delays     // before that
	restart *time.Timer // runs while there is a delay

	next     *worker // comes up to replace the active child; nil mostly
	request  request // why it does, until it is ready or dead
	previous *binary // what the active child has replaced, until it is ready
	history  history // what came of upgrades

	proven   bool // a child has been ready
	status   string
	stopping bool
	finished bool
	result   error
}

// fill puts what there is from the start into the store.
func (p *parent) fill() error {
	for _, name := range slices.Sorted(maps.Keys(p.options.Files)) {
		fd, err := duplicate(p.options.Files[name])
		if err != nil {
			return fmt.Errorf("duplicate the descriptor of file %q: %w", name, err)
		}
		if _, err := p.store.add(name, fd); err != nil {
			return err
		}
	}
	if p.options.Stored == nil {
		return nil
	}
	for _, name := range p.options.Stored.Names() {
		for _, fd := range p.options.Stored.Take(name) {
			if _, err := p.store.add(name, fd); err != nil {
				p.log.Error("cannot hold an inherited descriptor", "error", err)
			}
		}
	}
	return nil
}

// post has f run by the loop; false: the loop has ended.
func (p *parent) post(f func()) bool {
	select {
	case p.inbox <- f:
		return true
	case <-p.done:
		return false
	}
}

// loop ends when there is no child any more and none shall be.
func (p *parent) loop(ctx context.Context) {
	cancelled, upgrade := ctx.Done(), p.options.Upgrade
	var beat <-chan time.Time
	if interval := p.options.Notify.WatchdogInterval(); interval > 0 {
		t := time.NewTicker(interval/2 + 1)
		defer t.Stop()
		beat = t.C
	}
	for !p.finished {
		select {
		case f := <-p.inbox:
			f()
		case <-cancelled:
			cancelled = nil
			p.stop(nil)
		case _, open := <-upgrade:
			if !open {
				upgrade = nil
				continue
			}
			p.upgrade(request{})
		case <-beat:
			p.tell(p.options.Notify.Watchdog())
		}
	}
}

// begin starts a child that replaces nobody.
func (p *parent) begin() {
	if p.active != nil || p.stopping {
		return // came too late
	}
	w, err := p.launch(p.binary, starting)
	if err != nil && !p.proven {
		p.stop(err)
		return
	}
	if err != nil {
		p.log.Error("cannot start the child", "error", err)
		p.beginAfter(p.delays.next(0))
		return
	}
	p.active = w
	w.within(p.options.StartTimeout, "was not ready")
}

func (p *parent) beginAfter(d time.Duration) {
	if d == 0 {
		p.begin()
		return
	}
	p.restart = time.AfterFunc(d, func() { p.post(p.begin) })
}

// cancelRestart stops a restart that is due later.
func (p *parent) cancelRestart() {
	if p.restart != nil {
		p.restart.Stop()
	}
}

// ended decides what follows the end of a child.
func (p *parent) ended(w *worker) {
	w.close()
	failure := w.failure()
	if w == p.next {
		p.next = nil
		p.failUpgrade(w.binary, failure)
		p.conclude()
		return
	}
	p.active = nil
	switch {
	case p.stopping:
		if failure != nil && p.result == nil {
			p.result = fmt.Errorf("stop the child: %w", failure)
		}
		p.conclude()
	case p.next != nil && p.next.phase == waiting:
		if failure != nil {
			p.log.Warn("the child that is replaced did not end well", "pid", w.process.Pid, "reason", failure)
		}
		p.takeTurn()
	case !p.proven && !w.killedByOthers():
		p.stop(fmt.Errorf("the child has failed before it was ready: %w", failure))
	case p.previous != nil:
		p.rollBack(w, failure)
	case w.phase == stopping: // made room for another, which has died since
		p.begin()
	default:
		p.revive(w, failure)
	}
}

// revive starts another child for one that has died.
func (p *parent) revive(w *worker, failure error) {
	var lived time.Duration
	if w.phase == ready {
		lived = time.Since(w.readyAt)
	}
	delay := p.delays.next(lived)
	p.log.Error("child died", "pid", w.process.Pid, "reason", failure, "restart_in", delay)
	p.tell(p.options.Notify.Status(fmt.Sprintf("Restarting in %v: the child has died: %v", delay, failure)))
	p.beginAfter(delay)
}

// stop has all children end, and then the loop.
func (p *parent) stop(why error) {
	if p.stopping {
		return
	}
	p.stopping, p.result = true, why
	p.tell(p.options.Notify.Stopping())
	p.cancelRestart()
	if p.next != nil {
		p.next.kill(errStopping)
	}
	if p.active != nil {
		p.active.stop(p.options.StopTimeout)
	}
	p.conclude()
}

func (p *parent) conclude() {
	p.finished = p.stopping && p.active == nil && p.next == nil
	if p.finished && p.previous != nil {
		p.previous.close()
	}
}
