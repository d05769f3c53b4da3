package supervise

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// trust refuses a program that anyone but root may have put there or may change, as sshd and
// sudo do with their files: it and all directories above it must be root's, and writable by
// nobody else. It must be built from the package that the running one is built from, since
// root's programs include those that stop the machine. The program is the open one, whatever
// its path leads to by now.
func (b *binary) trust() error {
	path, err := os.Readlink(b.file())
	if err != nil {
		return fmt.Errorf("find where program %s is: %w", b.path, err)
	}
	if err := b.rootOwned(path); err != nil {
		return fmt.Errorf("program %s is not trusted from anyone but root: %w", b.path, err)
	}
	return b.samePackage()
}

// rootOwned walks from the root of the file system to the program at its real path, each step
// from the directory that has been checked.
func (b *binary) rootOwned(path string) error {
	at, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /: %w", err)
	}
	defer func() { unix.Close(at) }()
	status, err := ownedByRoot(at, "/")
	if err != nil {
		return err
	}
	walked := ""
	for name := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		walked += "/" + name
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", walked, err)
		}
		unix.Close(at)
		at = next
		if status, err = ownedByRoot(at, walked); err != nil {
			return err
		}
	}
	var opened unix.Stat_t
	if err := unix.Fstat(b.fd, &opened); err != nil {
		return fmt.Errorf("look at it: %w", err)
	}
	if opened.Dev != status.Dev || opened.Ino != status.Ino {
		return fmt.Errorf("%s is another file by now", path)
	}
	return nil
}

// ownedByRoot wants a file or a directory that root alone may change.
func ownedByRoot(fd int, path string) (unix.Stat_t, error) {
	var s unix.Stat_t
	switch err := unix.Fstat(fd, &s); {
	case err != nil:
		return s, fmt.Errorf("look at %s: %w", path, err)
	case s.Uid != 0:
		return s, fmt.Errorf("%s belongs to user %d: want root", path, s.Uid)
	case s.Mode&0o022 != 0: // with an access control list the group's bits are its mask
		return s, fmt.Errorf("%s has mode %04o: want one by which only root may write", path, s.Mode&0o7777)
	}
	return s, nil
}

// samePackage wants a program of the package that the running one is of.
func (b *binary) samePackage() error {
	own, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("program %s is taken from root alone: this one does not know its package", b.path)
	}
	f, err := os.Open(b.file())
	if err != nil {
		return fmt.Errorf("read program %s: %w", b.path, err)
	}
	defer f.Close()
	other, err := buildinfo.Read(f)
	if err != nil {
		return fmt.Errorf("program %s is taken from root alone: want a build of %s: %w", b.path, own.Path, err)
	}
	if other.Path != own.Path {
		return fmt.Errorf("program %s is taken from root alone: it is a build of %s, want one of %s",
			b.path, other.Path, own.Path)
	}
	return nil
}
