package control

import (
	"cmp"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"vswitch/internal/control/kernel"
	"vswitch/internal/frame"
	"vswitch/internal/netns"
	"vswitch/internal/wellformed"
)

// links follows what becomes of the ports' interfaces in their namespaces.
type links struct {
	*core
	neighbours *neighbours
	ports      *ports
	watcher    kernel.LinkWatcher // nil: there is none
	byLink     map[linkKey]*port  // ports whose links are watched
}

// link is what the kernel says of a port's link in its namespace.
type link struct {
	namespace int    // its number at the watcher
	where     string // the id of that namespace
	index     int
	down      bool // set down by whoever is in the namespace
	mac       frame.MAC
	addrs     []netip.Addr // set there
	watched   bool
	name      string         // as the kernel has it; empty until it was looked at
	unread    string         // why it could not be read last, as the log has said
	pinned    bool           // our descriptor keeps the namespace alive: it was opened inside
	process   kernel.Process // by whose end we let go of a pinned namespace
	look      *time.Timer    // runs when the link is about to be looked at
	looked    time.Time      // when that was last done
	took      time.Duration  // how long that took
	pause     time.Duration  // before it is done next
}

// stop ends what runs for the link.
func (l *link) stop() {
	if l.process != nil {
		_ = l.process.Close()
	}
	if l.look != nil {
		l.look.Stop()
		l.look = nil
	}
}

// linkKey finds a port by an event.
type linkKey struct{ namespace, index int }

// watch begins to follow p's link, which is in ns.
func (ls *links) watch(p *port, ns kernel.Namespace) {
	p.link.watched, p.link.where = true, ns.ID()
	if ls.watcher != nil {
		number, err := ls.watcher.Watch(ns)
		if err != nil {
			ls.log.Warn("changes of the interface made in the namespace will go unnoticed", "port", p.record.Name, "error", err)
		} else {
			p.link.namespace = number
			ls.byLink[linkKey{number, p.link.index}] = p
		}
	}
	if p.link.pinned && p.record.NetNS == "" {
		ls.watchProcess(p)
	}
}

func (ls *links) unwatch(p *port) {
	if key := (linkKey{p.link.namespace, p.link.index}); ls.byLink[key] == p {
		delete(ls.byLink, key)
	}
	p.link.stop()
	// As often as the container moves it, it is not looked at more often.
	p.link = link{
		looked: p.link.looked, took: p.link.took, pause: p.link.pause, unread: p.link.unread,
	}
}

// watchProcess loses p when the process ends that its namespace was named by.
func (ls *links) watchProcess(p *port) {
	process, err := ls.openProcess(p)
	if err != nil {
		watch := func() (loss, bool) {
			if p.link.pinned && p.link.process == nil {
				ls.watchProcess(p)
			}
			return loss{}, false
		}
		ls.ports.again(p, "the end of the port's process would go unnoticed", err, watch)
		return
	}
	p.link.process = process
	go func() {
		if process.Wait() != nil {
			return // closed
		}
		ls.ports.found(func() (l loss, lost bool) {
			return loss{p, lostNamespace}, !ls.closed && p.link.process == process
		})
	}()
}

// openProcess opens the process that p's namespace was named by. An error says that this is not
// known, and nothing of the process.
func (ls *links) openProcess(p *port) (kernel.Process, error) {
	process, err := ls.kernel.OpenProcess(p.record.PID)
	if errors.Is(err, netns.ErrNoNamespace) {
		return endedProcess{}, nil
	}
	if err != nil {
		return nil, err
	}
	exists, err := ls.namespaceExists(p)
	if err != nil {
		_ = process.Close()
		return nil, err
	}
	if !exists { // the id is another process's by now
		_ = process.Close()
		return endedProcess{}, nil
	}
	return process, nil
}

// endedProcess is a process that has ended before it could be watched.
type endedProcess struct{}

func (endedProcess) Wait() error  { return nil }
func (endedProcess) Close() error { return nil }

// A link is looked at lookDelay after its first change, which gathers those that come
// together. As long as more keep coming the delay doubles up to maxLookDelay, so that a
// container that flaps its interface cannot keep the daemon busy. The more addresses the
// container gives its interface, the longer a look takes: the pause after it is at least
// lookPause times as long.
const (
	lookDelay    = 20 * time.Millisecond
	maxLookDelay = time.Second
	lookPause    = 10
)

// nextPause is how long to wait before the link is looked at again.
func (l *link) nextPause() time.Duration {
	since := time.Since(l.looked)
	if since > 2*maxLookDelay {
		l.pause = 0
	}
	l.pause = min(max(2*l.pause, lookDelay), maxLookDelay)
	return max(l.pause, lookPause*l.took-since)
}

// linkChanged follows one event.
func (ls *links) linkChanged(e netns.LinkEvent) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if e.Missed {
		for _, p := range ls.allPorts {
			ls.lookSoon(p)
		}
	} else if p := ls.byLink[linkKey{e.Namespace, e.Index}]; p != nil {
		ls.lookSoon(p)
	}
}

// lookSoon looks at p's link when the changes under way have been made.
func (ls *links) lookSoon(p *port) {
	if ls.closed || p.lost() || p.link.look != nil {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(p.link.nextPause(), func() {
		ls.lock()
		defer ls.unlockSoon()
		if p.link.look == timer {
			start := time.Now()
			p.link.look, p.link.looked = nil, start
			ls.lookAtLink(p)
			p.link.took = time.Since(start)
		}
	})
	p.link.look = timer
}

// lookAtLink follows what p's link is now, and begins to watch it.
func (ls *links) lookAtLink(p *port) {
	if p.lost() {
		return
	}
	ns, err := ls.kernel.NamespaceOf(p.device, p.record.Name)
	if err != nil {
		ls.notRead(p, err)
		return
	}
	defer ns.Close()
	if p.link.watched && p.link.where != ns.ID() { // it was moved, and may have another index
		pinned := p.link.pinned
		ls.unwatch(p)
		p.link.pinned = pinned
	}
	if p.record.Handover {
		ls.followHandover(p, ns)
		return
	}
	l, err := ls.watchedLink(p, ns)
	if err != nil {
		if !p.link.watched {
			ls.lookSoon(p) // it is being renamed
		} else {
			ls.notRead(p, err)
		}
		return
	}
	ls.follow(p, l)
}

// notRead follows that p's link could not be read. If it has ended, its descriptor tells.
func (ls *links) notRead(p *port, err error) {
	if errors.Is(err, netns.ErrNoLink) {
		return
	}
	if why := err.Error(); why != p.link.unread {
		p.link.unread = why
		ls.log.Warn("the port's interface cannot be read, which is tried again",
			"port", p.record.Name, "error", err)
	}
	ls.lookSoon(p)
}

// watchedLink returns what p's link in ns is. One that is not watched yet is from then on.
func (ls *links) watchedLink(p *port, ns kernel.Namespace) (netns.Link, error) {
	if p.link.watched {
		return ns.LinkByIndex(p.link.index)
	}
	l, err := watchThenLook(ns, p.device.LinkName, func(index int) {
		p.link.index, p.link.mac = index, p.record.MAC
		ls.watch(p, ns)
	})
	if err == nil && !ls.stillThere(p, ns, l) {
		err = errLinkMoved
	}
	if err != nil && p.link.watched {
		pinned := p.link.pinned
		ls.unwatch(p)
		p.link.pinned = pinned
	}
	return l, err
}

// errLinkMoved says that a link was moved or renamed while it was looked up.
var errLinkMoved = errors.New("the interface is being moved or renamed")

// stillThere says whether l, which was found in ns by its name, is p's. Another link may have
// that name where the device was a moment before.
func (ls *links) stillThere(p *port, ns kernel.Namespace, l netns.Link) bool {
	name, err := p.device.LinkName()
	if err != nil || name != l.Name {
		return false
	}
	now, err := ls.kernel.NamespaceOf(p.device, p.record.Name)
	if err != nil {
		return false
	}
	defer now.Close()
	return now.ID() == ns.ID()
}

// watchThenLook finds a link by the name that it has now, has its index watched, and returns
// what the link is after that. In this order no change is missed: what comes before the watch is
// seen, what comes after it is an event.
func watchThenLook(
	in kernel.LinkFinder, currentName func() (string, error), watch func(index int),
) (netns.Link, error) {
	name, err := currentName()
	if err != nil {
		return netns.Link{}, err
	}
	l, err := in.LinkByName(name)
	if err != nil {
		return netns.Link{}, err
	}
	watch(l.Index)
	return in.LinkByIndex(l.Index)
}

// follow brings the port's state in line with that of its link.
func (ls *links) follow(p *port, l netns.Link) {
	ls.followName(p, l.Name)
	ls.followQueue(p, l)
	if down := !l.Up; down != p.link.down {
		ls.note(p, noteUp, slog.LevelInfo, "interface set in its namespace", "up", l.Up)
		p.link.down = down
		if down {
			ls.sw.Flush(p.segment.sw, p.sw)
		}
	}
	p.link.addrs, p.link.unread = l.Addrs, ""
	if l.Changing {
		ls.lookSoon(p)
	}
	if mac, ok := macOf(l); ok && mac != p.link.mac {
		ls.neighbours.followMAC(p, mac)
	}
}

// followName follows a change of the interface's name. One that cannot be stored is shown all the
// same.
func (ls *links) followName(p *port, name string) {
	from := cmp.Or(p.link.name, p.record.IfName)
	p.link.name = name
	if name == from {
		return
	}
	ls.note(p, noteName, slog.LevelInfo, "interface renamed in its namespace",
		"from", wellformed.Clean(from), "to", wellformed.Clean(name))
	if p.rename(name) && !p.record.Handover {
		ls.storeSoon(p)
	}
}

// rename puts the interface's name into p's record, unless that could not be stored with it, or
// the interface could not be made again: a container could keep its port from being changed
// otherwise.
func (p *port) rename(name string) bool {
	record := p.record
	record.IfName = name
	if record.Check() != nil || name == "" {
		return false
	}
	p.record = record
	return true
}

// followQueue sets the length of the interface's queue back: what waits there is the host's memory,
// which no container is charged for.
func (ls *links) followQueue(p *port, l netns.Link) {
	if l.TxQueueLen == txQueueLen {
		return
	}
	err := ls.setQueue(p, l.Index)
	ls.note(p, noteQueue, slog.LevelWarn, "length of the interface's queue changed in its namespace, and set back",
		"from", l.TxQueueLen, "to", txQueueLen, "error", err)
}

func (ls *links) setQueue(p *port, index int) error {
	ns, err := ls.kernel.NamespaceOf(p.device, p.record.Name)
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.SetTxQueueLen(index, txQueueLen)
}

func macOf(l netns.Link) (mac frame.MAC, ok bool) {
	ok = copy(mac[:], l.MAC) == len(mac)
	return mac, ok
}
