package netns

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// maxSymlinks is how many symbolic links a path may have (MAXSYMLINKS, include/linux/namei.h).
const maxSymlinks = 40

// procRoot is the inode of the root of a procfs (PROC_ROOT_INO, fs/proc/internal.h).
const procRoot = 1

// walk follows a path as the process of a [World] would, component by component: openat2(2) with
// RESOLVE_IN_ROOT does not follow the links to namespaces, and what /proc/self is depends on who
// looks.
type walk struct {
	world *World
	// dirs are the directories on the way from the root, opened by O_PATH; the last one is where
	// it has come to.
	dirs   []int
	jumped bool // the first of them is not the root but the target of a link of /proc
	links  int  // symbolic links that were followed
}

// openFile opens a file of w by its absolute path, if it is of a namespace.
func (w *World) openFile(path string) (int, error) {
	k := &walk{world: w}
	defer k.close()
	if err := k.toRoot(); err != nil {
		return -1, err
	}
	if err := k.follow(path); err != nil {
		return -1, err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(k.here(), &fs); err != nil {
		return -1, err
	}
	if fs.Type != unix.NSFS_MAGIC { // to open a device may do something
		return -1, errOtherFile
	}
	return openFile(fmt.Sprintf("/proc/self/fd/%d", k.here()))
}

func (k *walk) here() int { return k.dirs[len(k.dirs)-1] }

func (k *walk) close() {
	for _, fd := range k.dirs {
		_ = unix.Close(fd)
	}
	k.dirs = nil
}

// toRoot goes to the root.
func (k *walk) toRoot() error { return k.jump(int(k.world.root.Fd()), ".", false) }

// jump goes to where name in the directory dir leads. When that is by a link of /proc, what is
// above is not known.
func (k *walk) jump(dir int, name string, byLink bool) error {
	fd, err := openAt(dir, name)
	if err != nil {
		return err
	}
	k.close()
	k.dirs, k.jumped = []int{fd}, byLink
	return nil
}

// openAt opens what name in the directory dir leads to, only to go on from there.
func openAt(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_PATH|unix.O_CLOEXEC, 0)
}

// follow follows a path from where k is.
func (k *walk) follow(path string) error {
	rest := strings.Split(path, "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if err := k.up(); err != nil {
				return err
			}
			continue
		}
		link, err := k.step(name)
		if err != nil {
			return err
		}
		if link == "" {
			continue
		}
		if k.links++; k.links > maxSymlinks {
			return unix.ELOOP
		}
		if strings.HasPrefix(link, "/") {
			if err := k.toRoot(); err != nil {
				return err
			}
		}
		rest = append(strings.Split(link, "/"), rest...)
	}
	return nil
}

// up goes to the directory above. That of the root is the root.
func (k *walk) up() error {
	switch last := len(k.dirs) - 1; {
	case last > 0:
		_ = unix.Close(k.dirs[last])
		k.dirs = k.dirs[:last]
	case k.jumped:
		return fmt.Errorf("%w: \"..\" behind a link of /proc", unix.EXDEV)
	}
	return nil
}

// step goes to what has this name in the directory where k is, or returns what the symbolic link
// of that name says.
func (k *walk) step(name string) (link string, err error) {
	fd, err := unix.Openat(k.here(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	var stat, dir unix.Stat_t
	var fs unix.Statfs_t
	for _, err := range []error{
		unix.Fstat(fd, &stat), unix.Fstat(k.here(), &dir), unix.Fstatfs(k.here(), &fs),
	} {
		if err != nil {
			_ = unix.Close(fd)
			return "", err
		}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		k.dirs = append(k.dirs, fd)
		return "", nil
	}
	defer unix.Close(fd)
	switch inProc, atRoot := fs.Type == unix.PROC_SUPER_MAGIC, dir.Ino == procRoot; {
	case inProc && atRoot && name == "self":
		return "", k.stepTo(".")
	case inProc && atRoot && name == "thread-self":
		return "", k.stepTo(fmt.Sprintf("task/%d", k.world.pid))
	case inProc && !atRoot: // it leads to a file that has no path, such as a namespace
		return "", k.jump(k.here(), name, true)
	}
	return readlink(fd)
}

// stepTo goes to a directory of the process of k's world in our /proc, whose files mean the same
// as in any other.
func (k *walk) stepTo(name string) error {
	fd, err := openAt(int(k.world.proc.Fd()), name)
	if err == nil {
		k.dirs = append(k.dirs, fd)
	}
	return err
}

// readlink returns what a symbolic link says, which was opened by O_PATH and O_NOFOLLOW.
func readlink(fd int) (string, error) {
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", text)
	return string(text[:max(n, 0)]), err
}
