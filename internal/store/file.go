package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// makeDir makes dir and what is missing above it, so that it is still there after
// a power cut.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fmt.Errorf("%s is not a directory: choose another --state-dir", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// syncDir brings the names in dir to disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// openLocked opens and locks the file at path, and makes it if it is missing.
func openLocked(path string, o Options) (*os.File, error) {
	timeout := o.LockTimeout
	if timeout == 0 {
		timeout = DefaultLockTimeout
	}
	const attempts = 4 // others may make the file, or replace it, at the same time
	for range attempts {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			if err := create(path, o); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		err = lock(f, timeout)
		if err == nil && isAt(f, path) { // what was moved away meanwhile is not the state any more
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("it is replaced time and again, or a link to nothing: see to it that it stays")
}

// isAt says whether f is still the file at path.
func isAt(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// lock takes the lock that bbolt would take, but before the file is read. It goes
// with the last descriptor and memory map of this opening.
func lock(f *os.File, timeout time.Duration) error {
	const retry = 20 * time.Millisecond
	deadline := time.Now().Add(timeout)
	for {
		//nolint:forbidigo // package os has no locks, and bbolt locks a file only in the call that also maps it
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return ErrLocked
		}
		time.Sleep(min(left, retry))
	}
}

// unlock gives the lock back while something still refers to the file.
func unlock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) //nolint:forbidigo // as in lock
}

// create makes an empty state file at path. It appears there complete or not at
// all; the error is an [fs.ErrExist] when there is one already.
func create(path string, o Options) error {
	return publish(path, func(f *os.File) error {
		bolt, err := openBolt(f, o.pageSize)
		if err != nil {
			return err
		}
		err = bolt.Update(func(tx *bbolt.Tx) error { return initialise(tx, o.steps()) })
		return cmp.Or(err, bolt.Close())
	})
}

// publish makes a file at path of what write brings to disk, unless there is one
// already. Before, it has another name in the same directory; write closes it.
func publish(path string, write func(*os.File) error) error {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, name+".new-*") // has mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	// A link, since a rename would replace what another process has put there.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}
