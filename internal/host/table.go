package host

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"sync"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// DefaultName is the name of our table, of the family inet.
const DefaultName = "vswitch"

// ErrMissing says that the kernel has no nftables, or not enough of it.
var ErrMissing = errors.New("nftables is missing")

// Options say how a [Table] is to be.
type Options struct {
	// Name of the table; "" is [DefaultName].
	Name string
	// Log is told of foreign rules that are in the way, and of repairs; nil: nobody.
	Log *slog.Logger
	// SysctlDir is where the kernel's settings are, when not in [DefaultSysctlDir], as
	// in a container whose /proc/sys is read-only.
	SysctlDir string
}

// Table is our table in one network namespace. Its methods may be called
// concurrently.
type Table struct {
	log    *slog.Logger
	sysctl string   // directory
	ns     *os.File // the namespace of the thread that called Open
	table  *nftables.Table

	changed  chan struct{}             // filled when somebody may have changed the table
	foreign  chan struct{}             // filled when the rules of others may be other ones
	inTheWay atomic.Pointer[[]Foreign] // what the last look at the rules of others has found

	editorPort atomic.Uint32 // the netlink port of editor; 0 when there is none

	mu       sync.Mutex
	changes  *netlink.Conn // receives each transaction in the namespace; nil after it has failed
	closed   bool
	localnet map[string]bool // links whose route_localnet we have set
	applied  bool            // Apply has succeeded, and Remove was not called since
	others   others          // none if the host forwarded before us
	recalled bool            // others was looked for in the table of a process before
	noDrop   bool            // Config.NoDrop of the last Apply
	version  uint64          // grows with each change that we make
	left     snapshot        // what the last change has left in the kernel
	intact   bool            // the kernel still has that, for all we know
	editor   *session        // for changes of elements; nil before the first and after a failure
}

// snapshot is what the table consists of.
type snapshot struct {
	objects string  // a text that names all chains and rules; see [session.look]
	content content // nil when there is no table
}

// Open looks whether the kernel can do what is needed, in the network namespace of
// the calling thread. It changes nothing. Close the table after use, whether or not
// it is removed.
func Open(o Options) (*Table, error) {
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open the network namespace: %w", err)
	}
	t := &Table{
		log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), ns: ns,
		sysctl:   cmp.Or(o.SysctlDir, DefaultSysctlDir),
		table:    &nftables.Table{Name: cmp.Or(o.Name, DefaultName), Family: nftables.TableFamilyINet},
		localnet: make(map[string]bool),
		changed:  make(chan struct{}, 1), foreign: make(chan struct{}, 1),
	}
	if t.changes, err = t.listen(); err == nil {
		err = t.talk(func(s *session) error {
			_, err := s.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
			return err
		})
	}
	if err != nil {
		_ = t.Close()
		return nil, explain(err)
	}
	return t, nil
}

// explain tells what is missing from how the kernel refuses: a protocol that it
// does not have, or a part of nfnetlink that nobody registered (nfnetlink_rcv_msg
// in net/netfilter/nfnetlink.c).
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: %w; the way out needs a kernel with nf_tables, its inet family, fib and nat: load those modules or do without an uplink", ErrMissing, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("nftables may not be used: %w; it takes CAP_NET_ADMIN in the network namespace", err)
	default:
		return fmt.Errorf("use nftables: %w", err)
	}
}

// Close gives back what the table holds of the process. The rules stay; Run ends.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	if t.changes != nil {
		_ = t.changes.Close()
	}
	t.closeEditor()
	return t.ns.Close()
}

// Apply makes the kernel forward as c says, or leaves everything as it was. While the table is
// as the last call has left it, one transaction adds and removes the elements that differ;
// otherwise all of it is built anew. Connections that are not affected by a difference go on.
// Links need not exist, but one that is made anew has lost its settings: apply c again then.
func (t *Table) Apply(c Config) error {
	want := contentOf(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return os.ErrClosed
	}
	before, others := t.left.content, t.others
	if err := t.survey(c); err != nil {
		return err
	}
	want.addOthers(t.others, c.NoDrop)
	if err := t.update(want); err != nil {
		return err
	}
	if err := t.sysctls(c); err != nil {
		return errors.Join(err, t.revert(before, others, c.NoDrop))
	}
	if !t.applied {
		note(t.foreign) // from now on what others drop is of interest
	}
	t.applied, t.noDrop = true, c.NoDrop
	return nil
}

// revert puts back the content and the others from before an Apply that has failed. Where it has
// had the host forward all the same, those stay that are kept apart.
func (t *Table) revert(before content, others others, noDrop bool) error {
	if value, err := read(t.forwardingPath()); err != nil || value != "1" {
		t.others = others
	}
	if before == nil && len(t.others) == 0 {
		return t.drop()
	}
	want := make(content, len(before))
	maps.Copy(want, before)
	want.addOthers(t.others, noDrop)
	return t.update(want)
}

// update changes the table's content to want, or nothing.
func (t *Table) update(want content) error {
	if t.intact {
		remove, add := difference(t.left.content, want)
		err := t.change(remove, add)
		if err == nil {
			t.version++
			t.left.content = want
			return nil
		}
		// Others have changed it, or the kernel's answer was lost.
		t.intact = false
		note(t.changed)
		t.log.Warn("elements of the nftables table not changed: it is built anew",
			"table", t.table.Name, "error", err)
	}
	return t.build(want)
}

// change removes elements and adds others, in one transaction. Its socket stays open: the kernel
// lets whoever closes one wait until it has freed what a transaction removed, which takes an RCU
// grace period (nft_rcv_nl_event in net/netfilter/nf_tables_api.c).
func (t *Table) change(remove, add []element) (err error) {
	if t.editor == nil {
		err = t.inNamespace(t.openEditor)
	}
	if err == nil {
		err = t.editor.change(remove, add)
	}
	if err != nil {
		t.closeEditor() // it may have answers left
	}
	return err
}

func (t *Table) openEditor(ns int) (err error) {
	t.editor, err = t.newSession(ns, nftables.AsLasting(), nftables.WithSockOptions(
		func(c *netlink.Conn) error {
			port, err := portOf(c)
			t.editorPort.Store(port)
			return err
		}))
	return err
}

func (t *Table) closeEditor() {
	t.editorPort.Store(0) // another socket may get it
	if t.editor != nil {
		_ = t.editor.conn.CloseLasting() // nothing is under way
		t.editor = nil
	}
}

// build puts a new table with this content in place of what is there, in one transaction.
func (t *Table) build(want content) error {
	err := t.retry(func(s *session) error { return s.build(want) })
	if err != nil {
		return fmt.Errorf("build the nftables table %q: %w", t.table.Name, err)
	}
	t.version++
	t.left, t.intact = snapshot{unlike, want}, false
	// Somebody may have changed it again before we look: what is found then is not what should be
	// there. Run has heard of that as well.
	return t.talk(func(s *session) error {
		found, objects, err := s.look()
		if err == nil && objects == s.objects() && found.content.equal(want) {
			t.left.objects, t.intact = found.objects, true
		}
		return nil
	})
}

// unlike is no table's objects; those of one which is not there are empty.
const unlike = "?"

// attempts bounds how often a transaction is made again that found the table
// changed by others since it was looked at.
const attempts = 5

// retry makes a transaction until it finds all that it speaks of, and nothing that it makes.
func (t *Table) retry(transaction func(*session) error) (err error) {
	for range attempts {
		err = t.talk(transaction)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return err
}

// Remove takes the table away. net.ipv4.ip_forward stays on. Where the host did not forward
// before, the table stays, without anything of segments, and keeps it from forwarding between its
// other networks, unless the last [Config] has NoDrop. When the user's chain has rules or the table
// has chains that are not ours, those stay, out of use.
func (t *Table) Remove() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return os.ErrClosed
	}
	t.applied = false
	err := t.recall()
	if len(t.others) > 0 && !t.noDrop {
		rest := make(content)
		rest.addOthers(t.others, false)
		err = errors.Join(err, t.update(rest))
	} else {
		err = errors.Join(err, t.drop())
	}
	return errors.Join(err, t.restoreSysctls())
}

func (t *Table) drop() error {
	t.version++
	t.left, t.intact = snapshot{}, false
	if err := t.retry((*session).drop); err != nil {
		return fmt.Errorf("remove the nftables table %q: %w", t.table.Name, err)
	}
	return nil
}
