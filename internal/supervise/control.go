package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
)

var (
	errUnsupervised = errors.New("this process has no supervisor: start it by one, or restart it instead")
	errCannotTrust  = errors.New("the supervisor is of a version before and takes any program, so only root may ask it: ask as root, or have it restarted")
	errOrphaned     = errors.New("the supervisor is gone")
)

// Control is the child's end of its socket to the supervisor. A process without a
// supervisor has one as well: its turn has always come and it cannot be upgraded.
//
// One goroutine reads the socket; it ends when the supervisor dies or the [Child]
// is closed. Another one waits for the signal to make room and for the first one's
// end. The methods are safe for use by several goroutines.
type Control struct {
	conn     *net.UnixConn // nil: no supervisor
	files    *Files        // kept up to date until the turn comes
	standby  bool
	turn     chan struct{} // closed when the turn comes
	orphaned chan struct{} // closed when the supervisor is gone
	replaced chan struct{} // closed when a successor is up
	ended    chan struct{} // closed when the reader has ended
	tasks    sync.WaitGroup

	mu      sync.Mutex
	pending map[uint64]chan error // upgrades that have not been refused yet
	past    history
	told    bool // past is what the supervisor tells
}

// UpgradeRequest says to what a process shall be upgraded.
type UpgradeRequest struct {
	// ID tells the upgrade from others in [Control.Upgrades]; 0: one is chosen.
	ID uint64
	// Binary is the path of the program; empty: what stands now where this program came from.
	Binary string
	// Trusted has the supervisor refuse a program that anyone but root can have put there or
	// can change, and one that is not built from the package of this one.
	Trusted bool
}

// newControl takes the socket out of files.
func newControl(e environment, files *Files) (*Control, error) {
	c := &Control{
		files:    files,
		standby:  e.standby,
		turn:     make(chan struct{}),
		orphaned: make(chan struct{}),
		replaced: make(chan struct{}),
		ended:    make(chan struct{}),
		pending:  make(map[uint64]chan error),
		past:     e.past,
		told:     e.tellsPast,
	}
	if !e.supervised {
		return c, nil
	}
	fds := files.Take(controlName)
	if len(fds) != 1 {
		closeAll(fds)
		return nil, fmt.Errorf("%d descriptors are named %q: want one", len(fds), controlName)
	}
	conn, err := openSocket(fds[0])
	if err != nil {
		return nil, err
	}
	c.conn = conn
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, makeRoom)
	c.tasks.Go(c.read)
	c.tasks.Go(func() { c.awaitSuccessor(signals) })
	return c, nil
}

// AwaitTurn returns at once in a process that replaces nobody. In one that was
// started to replace another it says that this process has come up so far, and
// returns when the other has ended; before that, leave inherited descriptors
// alone, and hold nothing of which there can only be one. Meanwhile the other may
// have kept and dropped descriptors: [Child.Files] is brought up to date, except
// for what was taken from it before.
//
// It fails when ctx ends or the supervisor is gone.
func (c *Control) AwaitTurn(ctx context.Context) error {
	if !c.standby {
		return nil
	}
	err := writePacket(c.conn, packet{verb: verbStandby, fd: -1})
	if err == nil {
		select {
		case <-c.turn:
			return nil
		case <-c.orphaned:
			err = errOrphaned
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return fmt.Errorf("wait for the turn to replace the running process: %w", err)
}

// Upgrade asks the supervisor to replace this process as r says. It returns only
// when that has failed, with the reason, and then this process goes on undisturbed;
// otherwise [Control.Replaced] is closed once its successor is up. When ctx ends
// first, as it well may by that, the upgrade goes on. The successor may still fail
// before it is ready: then this process's program is started again, whose
// [Control.Upgrades] says so.
func (c *Control) Upgrade(ctx context.Context, r UpgradeRequest) error {
	if c.conn == nil {
		return fmt.Errorf("upgrade: %w", errUnsupervised)
	}
	verb := verbUpgrade
	if r.Trusted {
		verb = verbUpgradeTrusted
		if _, told := c.Upgrades(); !told { // it would not know the verb
			return fmt.Errorf("upgrade: %w", errCannotTrust)
		}
	}
	if r.Binary != "" {
		path, err := filepath.Abs(r.Binary)
		if err != nil {
			return fmt.Errorf("upgrade to %q: %w", r.Binary, err)
		}
		r.Binary = path
	}
	for r.ID == 0 {
		r.ID = rand.Uint64()
	}
	refused := c.expect(r)
	defer c.forget(r.ID)
	err := writePacket(c.conn, packet{verb: verb, number: r.ID, text: r.Binary, fd: -1})
	if err == nil {
		select {
		case err = <-refused:
		case <-c.orphaned:
			err = errOrphaned
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return fmt.Errorf("upgrade: %w", err)
}

// Upgrades are the last upgrades that this process and those before it have asked for, the
// newest last. It is false where the supervisor does not tell: there is none, or it is of a
// version before.
func (c *Control) Upgrades() ([]Upgrade, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.past), c.told
}

// Replaced is closed when a successor is up and waits for this process to end. Unlike
// after SIGTERM, which is to stop, all is to be left as the successor needs it. It is
// never closed in a process without a supervisor.
func (c *Control) Replaced() <-chan struct{} { return c.replaced }

func (c *Control) awaitSuccessor(signals chan os.Signal) {
	defer signal.Stop(signals)
	select {
	case <-signals:
		close(c.replaced)
	case <-c.ended:
	}
}

// expect makes a place where the answer to a new question will arrive.
func (c *Control) expect(r UpgradeRequest) <-chan error {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := make(chan error, 1)
	c.pending[r.ID] = answer
	c.past.put(Upgrade{ID: r.ID, Binary: r.Binary, State: UpgradeUnderWay})
	return answer
}

func (c *Control) forget(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, number)
}

// answer hands the reason of a refusal to whoever waits for it.
func (c *Control) answer(number uint64, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past.end(number, UpgradeFailed, reason)
	if waiting, ok := c.pending[number]; ok {
		delete(c.pending, number)
		waiting <- errors.New(reason)
	}
}

// succeeded records that this process has taken its place by an upgrade for good.
func (c *Control) succeeded(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past.end(number, UpgradeSucceeded, "")
}

// read handles what the supervisor says. The socket's end, by the supervisor's
// death or by close, unblocks it.
func (c *Control) read() {
	defer close(c.ended)
	for {
		p, err := readPacket(c.conn)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			close(c.orphaned)
			return
		}
		c.handle(p)
	}
}

func (c *Control) handle(p packet) {
	switch {
	case p.verb == verbRefused:
		c.answer(p.number, p.text)
	case p.verb == verbDone:
		c.succeeded(p.number)
	case p.verb == verbKeep && p.fd >= 0:
		c.files.add(p.text, p.fd)
		return // the descriptor is theirs now
	case p.verb == verbDrop:
		c.files.drop(p.text)
	case p.verb == verbTurn && c.standby:
		select {
		case <-c.turn:
		default:
			close(c.turn)
		}
	}
	if p.fd >= 0 {
		closeAll([]int{p.fd})
	}
}

func (c *Control) close() {
	if c.conn == nil {
		return
	}
	c.conn.Close()
	c.tasks.Wait()
}
