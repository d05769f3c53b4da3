package supervise

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// binary is a program that the parent holds open: it can be executed again after
// its file was replaced or deleted, so that a failed upgrade has a way back.
type binary struct {
	path string // absolute
	fd   int
}

// openBinary opens the program at path; an empty path is the running program's.
func openBinary(path string) (*binary, error) {
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the running program: %w", err)
		}
		path = self
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open program %q: %w", path, err)
	}
	// O_PATH needs no permission to read, and executing through it is one to execute.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open program %s: %w", path, err)
	}
	b := &binary{path, fd}
	if err := b.check(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// check refuses what execve(2) would only call a matter of permissions.
func (b *binary) check() error {
	var s unix.Stat_t
	switch err := unix.Fstat(b.fd, &s); {
	case err != nil:
		return fmt.Errorf("look at program %s: %w", b.path, err)
	case s.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("program %s is no regular file", b.path)
	case s.Mode&0o111 == 0:
		return fmt.Errorf("program %s is not executable: set its mode, as by chmod +x", b.path)
	}
	return nil
}

// file is a path to the open file. It goes by the parent's number and not by
// "self": when a child resolves it, just before it becomes the program, it has
// moved the descriptors that it inherits into place, and one of them may have got
// this number.
func (b *binary) file() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), b.fd) }

func (b *binary) close() { unix.Close(b.fd) }
