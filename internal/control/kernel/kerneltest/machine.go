// Package kerneltest is a machine in memory: its kernel, disk and supervisor, for tests of what
// runs on them. It outlives the processes that a test starts on it, and fails where a test wants
// it to. It knows no process: who that is, the test says by what it does with [Machine].
package kerneltest

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vswitch/internal/control/model"
	"vswitch/internal/host"
	"vswitch/switch/switchtest"
)

// Machine is what a process finds around it. [Kernel], [Store] and [Keeper] are what it calls.
type Machine struct {
	tb testing.TB

	OnMove   func(to string) // called when a link is about to be moved to a namespace; nil: nothing
	OnForget func()          // called when flows are about to be forgotten; nil: nothing

	failing sync.Mutex
	fails   map[string]error // of calls; guarded by failing

	Mu     sync.Mutex // guards all below, with what is in it
	steps  []string   // all that was asked of the machine since the last plan, in order
	failAt int        // the step that fails, from 1 on; 0: none
	dieAt  int        // the step at which the process dies; 0: none
	dead   bool       // the process is dead: nothing that it asks for happens

	BootID string    // of this boot of the machine; empty: nothing tells boots apart
	Booted time.Time // when that began

	Own       *Namespace            // of the process itself
	Named     map[string]*Namespace // the others
	Processes map[int]*Process      // that run, by their ids
	Devices   map[int]*Device       // that are open, by descriptor
	nextIndex int
	nextFd    int

	Links     *Watcher // that the latest process has made, of the links in containers
	HostLinks *Watcher // likewise, of those of its own namespace
	Looks     int      // how often a link was looked up
	mounts    chan struct{}

	HostNet      netip.Prefix      // a route of the host
	Aliases      map[string]string // of the host links, by name
	SetUps       int               // how often a host link was set up
	Sockets      []*Socket         // of host links, also those that are closed
	Reserved     map[HostPort]bool // ports that are in use
	Shared       []uint16          // reserved ports that leave room for sockets of ours
	Forgot       []string          // flows of UDP that the kernel was to forget: ADDRESS:FIRST-LAST
	ResolvConfs  map[string]string // of namespaces, by name: the port's id and the nameserver
	Rules        host.Config       // what the firewall does
	RulesThere   bool              // it has our table
	RulesWatched int               // how often somebody began to watch that
	Foreign      []host.Foreign    // tables of others that are in the way

	State *model.State   // on the disk
	Kept  map[string]int // descriptors that the supervisor has, by name
	given map[string]int // those of them that the process has not taken yet
}

// HostPort is a port of the host.
type HostPort struct {
	Protocol host.Protocol
	At       netip.AddrPort // of no address: of all
}

// New returns a machine with an empty disk, and no namespace but that of the process.
func New(tb testing.TB) *Machine {
	m := &Machine{
		tb: tb, fails: make(map[string]error), Named: make(map[string]*Namespace),
		Processes: make(map[int]*Process), Devices: make(map[int]*Device), nextFd: 1000,
		mounts: make(chan struct{}), Aliases: make(map[string]string),
		Reserved: make(map[HostPort]bool), ResolvConfs: make(map[string]string),
		State: model.Empty(), Kept: make(map[string]int),
		BootID: "first boot", Booted: time.Now(),
	}
	m.Own = newNamespace(m, "own")
	return m
}

// Kernel returns the machine's kernel.
func (m *Machine) Kernel() Kernel { return Kernel{m} }

// Store returns the machine's disk.
func (m *Machine) Store() Store { return Store{m} }

// Keeper returns the machine's supervisor.
func (m *Machine) Keeper() Keeper { return Keeper{m} }

// ErrStep is the error of the step that fails, and of all steps of a process that is dead.
var ErrStep = errors.New("the step fails")

// step is one change that the machine is asked for. The error says that it did not happen.
func (m *Machine) step(format string, args ...any) error {
	if m.dead {
		return ErrStep
	}
	m.steps = append(m.steps, fmt.Sprintf(format, args...))
	switch len(m.steps) {
	case m.failAt:
		return ErrStep
	case m.dieAt:
		m.dead = true
		return ErrStep
	}
	return nil
}

// Plan begins to count steps anew. The one at failAt fails, at dieAt the process dies; 0 is none.
func (m *Machine) Plan(failAt, dieAt int) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	m.steps, m.failAt, m.dieAt = nil, failAt, dieAt
}

// Taken returns the steps since the last [Machine.Plan].
func (m *Machine) Taken() []string {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	return slices.Clone(m.steps)
}

// HasFailed reports whether the step has come that fails since the last [Machine.Plan].
func (m *Machine) HasFailed() bool {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	return m.failAt > 0 && len(m.steps) >= m.failAt
}

// FailCall has the calls fail whose description begins so, as "create vst-" or "reserve"; nil ends
// it. The comments of [Kernel]'s methods have the descriptions.
func (m *Machine) FailCall(call string, err error) {
	m.failing.Lock()
	defer m.failing.Unlock()
	if err == nil {
		delete(m.fails, call)
		return
	}
	m.fails[call] = err
}

// failure returns the error that a call is to return.
func (m *Machine) failure(call string) error {
	m.failing.Lock()
	defer m.failing.Unlock()
	for prefix, err := range m.fails {
		if strings.HasPrefix(call, prefix) {
			return err
		}
	}
	return nil
}

// With calls f when nobody else changes the machine.
func (m *Machine) With(f func()) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	f()
}

// Die has nothing happen any more that the process asks for. [Machine.CloseAll] ends what it had.
func (m *Machine) Die() { m.With(func() { m.dead = true }) }

// Revive has the machine do again what it is asked for.
func (m *Machine) Revive() { m.With(func() { m.dead = false }) }

// CloseAll closes what the process that has died had open. The supervisor has what it keeps.
func (m *Machine) CloseAll() {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	for _, d := range m.Devices {
		d.closeLocked()
	}
	clear(m.Reserved)
}

// EndSupervisor closes what the supervisor keeps of a process that has ended.
func (m *Machine) EndSupervisor() {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	kept := slices.Collect(maps.Values(m.Kept))
	clear(m.Kept)
	for _, fd := range kept {
		if d := m.Devices[fd]; d != nil {
			d.closeLocked()
		}
	}
}

// Reboot has another boot of the machine begin. What else ends with the one before, the test says.
func (m *Machine) Reboot() { m.With(func() { m.BootID, m.Booted = "after "+m.BootID, time.Now() }) }

// Begin has the next process begin: it is given what the supervisor has kept.
func (m *Machine) Begin() {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	m.dead, m.given = false, maps.Clone(m.Kept)
}

// AddNamespace makes a container's namespace, which a reference to that name finds.
func (m *Machine) AddNamespace(name string) *Namespace { return m.AddNamespaceAs(name, name) }

// AddNamespaceAs makes one that takes a name which another may have had: the identity, which is
// its [Namespace.Name], tells them apart. The other stays as long as something else keeps it.
func (m *Machine) AddNamespaceAs(name, identity string) *Namespace {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	ns := newNamespace(m, identity)
	m.Named[name] = ns
	return ns
}

// RemoveNamespace ends one, and the links in it.
func (m *Machine) RemoveNamespace(name string) {
	m.Mu.Lock()
	ns := m.Named[name]
	delete(m.Named, name)
	m.Mu.Unlock()
	m.gone(func(l *Link) bool { return l.In == ns })
}

// gone tells the devices of links that these are no more.
func (m *Machine) gone(is func(*Link) bool) {
	m.Mu.Lock()
	var devices []*Device
	for _, d := range m.Devices {
		if d.Link != nil && is(d.Link) {
			d.Link = nil
			devices = append(devices, d)
		}
	}
	m.Mu.Unlock()
	for _, d := range devices {
		d.Wire.Break()
	}
}

// RemoveLink deletes a link of a namespace, as "ip link del" does.
func (m *Machine) RemoveLink(ns *Namespace, name string) {
	m.tb.Helper()
	l := ns.Link(name)
	m.With(func() { delete(ns.Links, l.Index) })
	m.gone(func(other *Link) bool { return other == l })
}

// AllLinks returns the names of all links, as NAMESPACE/LINK; that of the process is "own".
func (m *Machine) AllLinks() []string {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	var names []string
	for _, ns := range append(slices.Collect(maps.Values(m.Named)), m.Own) {
		for _, l := range ns.Links {
			names = append(names, ns.Name+"/"+l.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Wire returns what the container in a namespace has of the device of its only link.
func (m *Machine) Wire(namespace string) *switchtest.Device {
	m.tb.Helper()
	return m.WireOf(namespace, "")
}

// WireOf returns what the container in a namespace has of the device of a link; of any, if the
// link's name is empty.
func (m *Machine) WireOf(namespace, link string) *switchtest.Device {
	m.tb.Helper()
	m.Mu.Lock()
	defer m.Mu.Unlock()
	for _, d := range m.Devices {
		if d.Link != nil && d.Link.In == m.Named[namespace] && (link == "" || d.Link.Name == link) {
			return d.Wire
		}
	}
	m.tb.Fatalf("namespace %s has no link %s with a device", namespace, link)
	return nil
}

// StartProcess has a process run whose namespace /proc/PID/ns/net is.
func (m *Machine) StartProcess(pid int) {
	m.With(func() { m.Processes[pid] = &Process{ended: make(chan struct{})} })
	m.AddNamespace(fmt.Sprintf("/proc/%d/ns/net", pid))
}

// EndProcess ends it. Its namespace stays as long as something else keeps it.
func (m *Machine) EndProcess(pid int) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	delete(m.Named, fmt.Sprintf("/proc/%d/ns/net", pid))
	close(m.Processes[pid].ended)
	delete(m.Processes, pid)
}

// ChangeMounts tells the process that a mount has come or gone, and returns once it knows.
func (m *Machine) ChangeMounts() { m.mounts <- struct{}{} }
