package host

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"

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
	log     *slog.Logger
	sysctl  string   // directory
	ns      *os.File // the namespace of the thread that called Open
	table   *nftables.Table
	changes *netlink.Conn // hears of each transaction in the namespace; nil after it has failed

	mu       sync.Mutex
	closed   bool
	localnet map[string]bool  // links whose route_localnet we have set
	applied  *Config          // what is to be there
	seen     string           // fingerprint of what Apply left
	warned   map[foreign]bool // foreign chains that the log has been told of
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
	}
	if t.changes, err = t.listen(); err == nil {
		_, err = t.conn().ListChainsOfTableFamily(nftables.TableFamilyINet)
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

// buffer is the room in bytes that a transaction with all ports published takes.
const buffer = 16 << 20

// conn is a fresh connection: one that an error interrupted may have answers left.
func (t *Table) conn() *nftables.Conn {
	room := nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(buffer), c.SetWriteBuffer(buffer))
	})
	c, _ := nftables.New(nftables.WithNetNSFd(int(t.ns.Fd())), room) // fails for lasting connections only
	return c
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
	return t.ns.Close()
}

// attempts bounds how often a transaction is made again that found the table
// changed by others since it was looked at.
const attempts = 5

// Apply makes the kernel forward as c says, or leaves everything as it was.
// Connections that are not affected by a difference do not notice. Links need not
// be there, but one that is made anew has lost its settings: apply c again then.
func (t *Table) Apply(c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	c = Config{Segments: slices.Clone(c.Segments), Forwards: slices.Clone(c.Forwards)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return os.ErrClosed
	}
	if err := t.replace(c); err != nil {
		return err
	}
	if err := t.sysctls(c); err != nil {
		if t.applied != nil {
			err = errors.Join(err, t.replace(*t.applied))
		} else {
			err = errors.Join(err, t.drop())
		}
		return err
	}
	t.applied = &c
	t.warn()
	return nil
}

// replace puts the table of c in place of what is there, in one transaction.
func (t *Table) replace(c Config) (err error) {
	var r *ruleset
	for range attempts {
		r = newRuleset(t.table, c)
		if err = t.transact(r); !changedMeanwhile(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("replace the nftables table %q: %w", t.table.Name, err)
	}
	// Someone may have taken it away again before we look at it: what is seen then is
	// not to be taken for what should be there. Run has heard of that as well.
	seen, objects, err := t.look()
	if err != nil || objects != r.objects() {
		seen = unlike
	}
	t.seen = seen
	return nil
}

// unlike is no table's fingerprint; that of one which is not there is empty.
const unlike = "?"

// changedMeanwhile tells a transaction that spoke of something which is not there
// any more, or not yet.
func changedMeanwhile(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
}

// transact replaces all that is ours. Objects are removed and made again rather
// than changed, so that it does not matter what another version of us has left.
func (t *Table) transact(r *ruleset) error {
	conn := t.conn()
	if err := t.removeOwn(conn); err != nil {
		return err
	}
	conn.AddTable(r.table)
	for _, s := range r.sets {
		if err := conn.AddSet(s, nil); err != nil {
			return err
		}
		// A message's list of elements has a length of 16 bits.
		for part := range slices.Chunk(r.elements[s], 512) {
			if err := conn.SetAddElements(s, part); err != nil {
				return err
			}
		}
	}
	for _, c := range r.chains {
		conn.AddChain(c)
	}
	for _, rule := range r.rules {
		conn.AddRule(rule)
	}
	return conn.Flush()
}

// removeOwn has conn remove the chains and sets that are ours, if they are there.
func (t *Table) removeOwn(conn *nftables.Conn) error {
	chains, sets, err := t.own(conn)
	if err != nil {
		return err
	}
	for _, c := range chains {
		conn.FlushChain(c)
	}
	for _, c := range chains {
		conn.DelChain(c)
	}
	for _, s := range sets {
		conn.DelSet(s)
	}
	return nil
}

// own are our chains, without the user's, and our sets, as far as they are there.
func (t *Table) own(conn *nftables.Conn) (chains []*nftables.Chain, sets []*nftables.Set, err error) {
	exists, err := t.exists(conn)
	if err != nil || !exists {
		return nil, nil, err
	}
	allChains, err := conn.ListChainsOfTableFamily(t.table.Family)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range allChains {
		if c.Table.Name == t.table.Name && slices.Contains(ownChains, c.Name) {
			chains = append(chains, c)
		}
	}
	allSets, err := conn.GetSets(t.table)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range allSets {
		if slices.Contains(ownSets, s.Name) {
			sets = append(sets, s)
		}
	}
	return chains, sets, nil
}

func (t *Table) exists(conn *nftables.Conn) (bool, error) {
	tables, err := conn.ListTablesOfFamily(t.table.Family)
	return slices.ContainsFunc(tables, func(o *nftables.Table) bool { return o.Name == t.table.Name }), err
}

// Remove takes the table away. net.ipv4.ip_forward stays on. When the user's chain has rules or the table has chains that are not ours,
// those stay, out of use.
func (t *Table) Remove() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return os.ErrClosed
	}
	t.applied = nil
	return errors.Join(t.drop(), t.restoreSysctls())
}

func (t *Table) drop() (err error) {
	for range attempts {
		conn := t.conn()
		if err = t.removeOwn(conn); err != nil {
			break
		}
		var used bool
		if used, err = t.usersOwn(conn); err != nil {
			break
		}
		if !used {
			conn.AddTable(t.table) // it may be gone: then there is nothing to delete
			conn.DelTable(t.table)
		}
		if err = conn.Flush(); !changedMeanwhile(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("remove the nftables table %q: %w", t.table.Name, err)
	}
	return nil
}

// usersOwn says whether there is anything of the user's in the table.
func (t *Table) usersOwn(conn *nftables.Conn) (bool, error) {
	chains, err := conn.ListChainsOfTableFamily(t.table.Family)
	if err != nil {
		return false, err
	}
	for _, c := range chains {
		switch {
		case c.Table.Name != t.table.Name || slices.Contains(ownChains, c.Name):
		case c.Name != UserChain:
			return true, nil
		default:
			rules, err := t.rules(t.table, c.Name)
			return len(rules) > 0, err
		}
	}
	return false, nil
}
