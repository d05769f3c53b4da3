package host

import (
	"errors"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// session is a connection to the kernel's nf_tables, with what our table is to be. Unless it is a
// lasting one, it opens a socket for each request: one that was used before may have answers left,
// since rules are echoed.
type session struct {
	*ruleset
	ns   int // descriptor of the network namespace; of no use in a lasting session
	conn *nftables.Conn
}

func (t *Table) newSession(ns int, options ...nftables.ConnOption) (*session, error) {
	options = append(options, nftables.WithNetNSFd(ns), nftables.WithSockOptions(setBuffers))
	conn, err := nftables.New(options...)
	if err != nil {
		return nil, err
	}
	return &session{newRuleset(t.table), ns, conn}, nil
}

// talk calls do with a session, and holds the namespace open meanwhile. It needs no lock.
func (t *Table) talk(do func(*session) error) error {
	return t.inNamespace(func(ns int) error {
		s, err := t.newSession(ns)
		if err != nil {
			return err
		}
		return do(s)
	})
}

// portOf returns the netlink port of a socket, which the kernel names as the author of what is
// done through it, and which is its own while it is open (netlink(7)).
func portOf(c *netlink.Conn) (port uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	closed := raw.Control(func(fd uintptr) {
		var address unix.Sockaddr
		if address, err = unix.Getsockname(int(fd)); err == nil {
			port = address.(*unix.SockaddrNetlink).Pid
		}
	})
	return port, errors.Join(closed, err)
}

// inNamespace calls do with a descriptor of the table's network namespace, which stays valid
// until do returns even if the table is closed.
func (t *Table) inNamespace(do func(ns int) error) (err error) {
	raw, err := t.ns.SyscallConn()
	if err != nil {
		return err
	}
	if closed := raw.Control(func(fd uintptr) { err = do(int(fd)) }); closed != nil {
		return os.ErrClosed
	}
	return err
}

// buffer is the room in bytes that a transaction with all ports published takes.
const buffer = 16 << 20

func setBuffers(c *netlink.Conn) error {
	return errors.Join(c.SetReadBuffer(buffer), c.SetWriteBuffer(buffer))
}

// change removes elements and adds others, in one transaction.
func (s *session) change(remove, add []element) error {
	if err := s.edit(remove, s.conn.SetDeleteElements); err != nil {
		return err
	}
	if err := s.edit(add, s.conn.SetAddElements); err != nil {
		return err
	}
	return s.conn.Flush()
}

// listLimit bounds the elements of one message, whose list has a length of 16 bits. The library
// sends what is longer cut off and says nothing.
const listLimit = 512

// edit queues how for elements, which are in the order of their sets.
func (s *session) edit(
	elements []element, how func(*nftables.Set, []nftables.SetElement) error,
) error {
	for len(elements) > 0 {
		set, n := elements[0].set, 0
		var list []nftables.SetElement
		for n < len(elements) && elements[n].set == set && len(list) < listLimit {
			list = append(list, elements[n].encode()...)
			n++
		}
		if err := how(&nftables.Set{Table: s.table, Name: kinds[set].name}, list); err != nil {
			return err
		}
		elements = elements[n:]
	}
	return nil
}

// build replaces all that is ours, in one transaction. Chains are removed and made again rather
// than changed, so that it does not matter what another version of us has left. Sets of the right
// shape stay, since rules of the user's may speak of them.
func (s *session) build(want content) error {
	if err := s.removeChains(); err != nil {
		return err
	}
	s.conn.AddTable(s.table)
	for id, set := range s.sets {
		set.Size = want.room(setID(id))
		if err := s.replaceSet(set); err != nil {
			return err
		}
	}
	_, all := difference(nil, want)
	if err := s.edit(all, s.conn.SetAddElements); err != nil {
		return err
	}
	for _, c := range s.chains {
		s.conn.AddChain(c)
	}
	for _, rule := range s.rules {
		s.conn.AddRule(rule)
	}
	return s.conn.Flush()
}

// replaceSet queues what makes set an empty one.
func (s *session) replaceSet(set *nftables.Set) error {
	old, err := s.conn.GetSetByName(s.table, set.Name)
	switch {
	case missing(err):
	case err == nil && sameShape(old, set):
		s.conn.FlushSet(set)
		return nil
	default: // also one that the library cannot make out
		s.conn.DelSet(set)
	}
	return s.conn.AddSet(set, nil)
}

// sameShape reports whether old can hold all that set is to hold, in the same way.
func sameShape(old, set *nftables.Set) bool {
	same := func(a, b nftables.SetDatatype) bool {
		return a.Bytes == b.Bytes && a.GetNFTMagic() == b.GetNFTMagic()
	}
	return same(old.KeyType, set.KeyType) && same(old.DataType, set.DataType) &&
		old.IsMap == set.IsMap && old.Interval == set.Interval &&
		old.Concatenation == set.Concatenation && !old.HasTimeout && !old.Dynamic && !old.Constant &&
		(old.Size == 0) == (set.Size == 0) && old.Size >= set.Size
}

// drop removes the table, but for what is the user's. Then our sets stay too, without elements:
// rules of the user's may speak of them.
func (s *session) drop() error {
	used, err := s.usersOwn()
	if err != nil {
		return err
	}
	if !used {
		s.conn.AddTable(s.table) // it may be gone: then there is nothing to delete
		s.conn.DelTable(s.table)
		return s.conn.Flush()
	}
	if err := s.removeChains(); err != nil {
		return err
	}
	for _, set := range s.sets {
		if _, err := s.conn.GetSetByName(s.table, set.Name); !missing(err) {
			s.conn.FlushSet(set)
		}
	}
	return s.conn.Flush()
}

// removeChains queues the removal of the chains that are ours, if they are there.
func (s *session) removeChains() error {
	chains, err := s.ownChains()
	if err != nil {
		return err
	}
	for _, c := range chains {
		s.conn.FlushChain(c)
	}
	for _, c := range chains {
		s.conn.DelChain(c)
	}
	return nil
}

// ownChains are our chains, without the user's, as far as they are there.
func (s *session) ownChains() (chains []*nftables.Chain, err error) {
	all, err := s.conn.ListChainsOfTableFamily(s.table.Family)
	for _, c := range all {
		if c.Table.Name == s.table.Name && slices.Contains(ownChains, c.Name) {
			chains = append(chains, c)
		}
	}
	return chains, err
}

// usersOwn reports whether there is anything of the user's in the table.
func (s *session) usersOwn() (bool, error) {
	chains, err := s.conn.ListChainsOfTableFamily(s.table.Family)
	if err != nil {
		return false, err
	}
	for _, c := range chains {
		switch {
		case c.Table.Name != s.table.Name || slices.Contains(ownChains, c.Name):
		case c.Name != UserChain:
			return true, nil
		default:
			rules, err := s.listRules(s.table, c.Name)
			return len(rules) > 0, err
		}
	}
	return false, nil
}
