package netns

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// namedDirs are where ip-netns(8) keeps named namespaces. The second is the
// first on most systems.
var namedDirs = [...]string{"/run/netns", "/var/run/netns"}

// Ref says which namespace is meant: by name, by path or by process. The zero
// Ref means none and cannot be opened.
type Ref struct {
	name string // under namedDirs
	path string // absolute
	pid  int
}

// ParseRef reads a name as "ip netns list" shows it, or an absolute path such as
// /proc/1234/ns/net. Whether there is such a namespace is for [Open] to find out.
func ParseRef(s string) (Ref, error) {
	switch {
	case s == "":
		return Ref{}, errors.New(`the network namespace is empty: give a name from "ip netns list" or an absolute path`)
	case strings.ContainsRune(s, 0):
		return Ref{}, fmt.Errorf("network namespace %q holds a zero byte: give a name or an absolute path", s)
	case filepath.IsAbs(s):
		return Ref{path: filepath.Clean(s)}, nil
	case strings.ContainsRune(s, '/') || s == "." || s == "..":
		return Ref{}, fmt.Errorf("network namespace %q is neither a name nor an absolute path: give one of them", s)
	}
	return Ref{name: s}, nil
}

// PID is the network namespace of a process, by its id in the caller's
// /proc.
func PID(n int) Ref { return Ref{pid: n} }

// Process returns the id of the process that r names; 0: it names none.
func (r Ref) Process() int { return r.pid }

// String is a form that [ParseRef] reads back as the same namespace; for a
// process, the path under /proc.
func (r Ref) String() string {
	switch {
	case r.name != "":
		return r.name
	case r.pid != 0:
		return fmt.Sprintf("/proc/%d/ns/net", r.pid)
	}
	return r.path
}

// paths are the files to try, in order.
func (r Ref) paths() []string {
	if r.name == "" {
		return []string{r.String()}
	}
	var paths []string
	for _, dir := range namedDirs {
		paths = append(paths, filepath.Join(dir, r.name))
	}
	return paths
}

// missing is the error for a namespace that is not there.
func (r Ref) missing() error {
	var message string
	switch {
	case r.name != "":
		message = fmt.Sprintf(`network namespace %q does not exist: create it with "ip netns add %s" or give a path`, r.name, r.name)
	case r.pid != 0:
		message = fmt.Sprintf("process %d is not running: give the id of a process that is", r.pid)
	default:
		message = fmt.Sprintf("network namespace %q does not exist: give the path of one that does", r.path)
	}
	return &kindError{message, ErrNoNamespace}
}

// Means reports whether the namespace that r means has this ID (see [Namespace.ID]). It costs a
// stat(2), and is certain as long as the namespace of that ID lives.
func (r Ref) Means(id string) bool {
	for _, path := range r.paths() {
		var stat unix.Stat_t
		err := unix.Stat(path, &stat)
		if err == nil {
			return idOf(&stat) == id
		}
		if !isMissing(err) {
			return false
		}
	}
	return false
}
