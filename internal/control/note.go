package control

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A container changes its interface as often as it likes. Of each kind of change the log gets
// noteBurst lines about a port, and then one in noteEvery: the latest.
const (
	noteBurst = 10
	noteEvery = 10 * time.Second
)

// notes are the lines that the log gets about what a container does to its interface.
type notes struct {
	mu      sync.Mutex
	kinds   map[noteOf]*noteKind
	stopped bool
}

// noteOf is a kind of change.
type noteOf int

const (
	noteName noteOf = iota
	noteUp
	noteMAC
	noteQueue
)

// noteKind is the lines about one kind of change.
type noteKind struct {
	pace       *rate.Limiter
	suppressed int         // lines that were not written, with the latest
	latest     func(n int) // writes the latest one, and how many before it were not written
	timer      *time.Timer // writes the latest; nil: none waits
}

// note logs what p's container has done to its interface, now or when it is its turn among those
// of its kind.
func (c *core) note(p *port, kind noteOf, level slog.Level, msg string, args ...any) {
	args = append([]any{"port", p.record.Name}, args...)
	p.notes.add(kind, func(suppressed int) {
		if suppressed > 0 {
			args = append(args, "suppressed", suppressed)
		}
		c.log.Log(context.Background(), level, msg, args...)
	})
}

func (n *notes) add(kind noteOf, write func(suppressed int)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.kinds[kind]
	if k == nil {
		k = &noteKind{pace: rate.NewLimiter(rate.Every(noteEvery), noteBurst)}
		if n.kinds == nil {
			n.kinds = make(map[noteOf]*noteKind)
		}
		n.kinds[kind] = k
	}
	switch {
	case n.stopped:
		return
	case k.timer == nil && k.pace.Allow():
		write(0)
		return
	}
	k.suppressed++
	k.latest = write
	if k.timer == nil {
		k.timer = time.AfterFunc(k.pace.Reserve().Delay(), func() { n.writeLatest(k) })
	}
}

func (n *notes) writeLatest(k *noteKind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return
	}
	k.latest(k.suppressed - 1)
	k.timer, k.latest, k.suppressed = nil, nil, 0
}

// stop forgets the lines that wait.
func (n *notes) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	for _, k := range n.kinds {
		if k.timer != nil {
			k.timer.Stop()
		}
	}
}
