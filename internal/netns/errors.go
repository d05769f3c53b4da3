package netns

import "errors"

// What callers tell apart by [errors.Is].
var (
	ErrNoNamespace  = errors.New("no such network namespace")
	ErrNotNamespace = errors.New("not a network namespace")
	ErrNoLink       = errors.New("no such interface")
	ErrLinkExists   = errors.New("interface exists")
	ErrOutOfSight   = errors.New("out of sight")
	ErrNotOurs      = errors.New("file of somebody else's")
)

// kindError says in its own words what one of the sentinels says in general.
type kindError struct {
	message string
	kind    error
}

func (e *kindError) Error() string { return e.message }
func (e *kindError) Unwrap() error { return e.kind }
