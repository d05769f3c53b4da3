package supervise

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// maxNames bounds the length of all names in a store with one byte between each
// two: they go to the child in one variable, which with its own name must fit
// into MAX_ARG_STRLEN (include/uapi/linux/binfmts.h), 128 KiB.
const maxNames = 127 << 10

// entry is a descriptor that a store owns. Its number tells it from a later one
// of the same name.
type entry struct {
	number uint64
	name   string
	fd     int
}

// store holds descriptors by name, in the order in which they came; several may
// share a name. It belongs to the parent's loop.
type store struct {
	entries []entry
	last    uint64
	length  int // of all names, each with a separator
}

// add takes fd, and closes it when it cannot be kept. It says whether fd is new:
// one that refers to the same open file as another of that name is not kept
// twice, where the kernel (6.10 and later) can tell.
func (s *store) add(name string, fd int) (added bool, err error) {
	if err := checkName(name); err != nil {
		unix.Close(fd)
		return false, err
	}
	for _, e := range s.entries {
		if e.name == name && sameFile(e.fd, fd) {
			unix.Close(fd)
			return false, nil
		}
	}
	if s.length+len(name)+1 > maxNames {
		unix.Close(fd)
		return false, fmt.Errorf("keep descriptor %q: the store is full: it has %d, "+
			"whose names may take %d bytes, so drop some or give shorter names",
			name, len(s.entries), maxNames)
	}
	s.last++
	s.length += len(name) + 1
	s.entries = append(s.entries, entry{s.last, name, fd})
	return true, nil
}

func (s *store) drop(name string) {
	s.entries = slices.DeleteFunc(s.entries, func(e entry) bool {
		if e.name != name {
			return false
		}
		unix.Close(e.fd)
		s.length -= len(name) + 1
		return true
	})
}

// snapshot lists what the store has now; the descriptors remain the store's.
func (s *store) snapshot() []entry { return slices.Clone(s.entries) }

// changes says what makes a set that was equal to s before into what s is now:
// first forget all of the dropped names, then add the others.
func (s *store) changes(before []entry) (dropped []string, added []entry) {
	for _, e := range before {
		if !holds(s.entries, e) && !slices.Contains(dropped, e.name) {
			dropped = append(dropped, e.name)
		}
	}
	for _, e := range s.entries {
		if !holds(before, e) {
			added = append(added, e)
		}
	}
	return dropped, added
}

func holds(entries []entry, e entry) bool {
	_, found := slices.BinarySearchFunc(entries, e, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	return found
}

func (s *store) close() {
	for _, e := range s.entries {
		unix.Close(e.fd)
	}
	*s = store{}
}

// sameFile says whether two descriptors share one open file, by F_DUPFD_QUERY of
// fcntl(2); false where the kernel does not know it.
func sameFile(a, b int) bool {
	same, err := unix.FcntlInt(uintptr(a), unix.F_DUPFD_QUERY, b)
	return err == nil && same == 1
}

// duplicate is a descriptor of its own for the open file of f. Unlike [os.File.Fd]
// it leaves O_NONBLOCK as it is.
func duplicate(f *os.File) (int, error) {
	if f == nil {
		return -1, errors.New("no file")
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var failure error
	if err := raw.Control(func(of uintptr) {
		fd, failure = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, firstFD)
	}); err != nil {
		return -1, err
	}
	return fd, failure
}
