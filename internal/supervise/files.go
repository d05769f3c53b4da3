package supervise

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Files are open descriptors by name; several may share one. They are numbers
// rather than files, because an [os.File] of a non-blocking descriptor would have
// the runtime's poller woken for every frame that arrives on it. They are in the
// state in which whoever had them before left them; O_NONBLOCK belongs to the
// open file, which another process may share, so leave it as it is.
//
// It is safe for use by several goroutines.
type Files struct {
	mu     sync.Mutex
	byName map[string][]int
}

// inheritFiles takes the descriptors from firstFD on.
func inheritFiles(names []string) (*Files, error) {
	f := &Files{byName: make(map[string][]int)}
	for i, name := range names {
		fd := firstFD + i
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			// What was there before it may be the runtime's own: close nothing.
			return nil, fmt.Errorf("descriptor %d (%q): %w", fd, name, err)
		}
		f.add(name, fd)
	}
	return f, nil
}

// Names lists the names of the descriptors that have not been taken, in order.
func (f *Files) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.byName))
}

// Take gives the descriptors of that name to the caller, who closes them; nil
// when there are none.
func (f *Files) Take(name string) []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	fds := f.byName[name]
	delete(f.byName, name)
	return fds
}

// Close closes the descriptors that were not taken.
func (f *Files) Close() {
	for _, name := range f.Names() {
		f.drop(name)
	}
}

func (f *Files) add(name string, fd int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byName[name] = append(f.byName[name], fd)
}

func (f *Files) drop(name string) {
	for _, fd := range f.Take(name) {
		unix.Close(fd)
	}
}
